//! A whole run: services and processes, clients, faults, healing, checking.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tokio::task::JoinSet;

use crate::client::{Client, Work, submit};
use crate::fault::{Planned, course};
use crate::fleet::{Fleet, Options};
use crate::ledger::Ledger;
use crate::nemesis::{self, Done};
use crate::report::Report;
use crate::{check, forgotten, zombies};

/// Clients that each have one job at a time: twice as many as can run, so that there is always a queue.
const CLIENTS: usize = 12;
/// Clients where runs are held: no more than can run beside those that are, so that the job of a held run is another's as soon as it
/// may be, and not behind others in the queue.
const CLIENTS_OF_ZOMBIES: usize = 5;
/// How long a client waits for its job's end before it goes on to the next.
const JOB_MAX: Duration = Duration::from_secs(20);

/// A record that syncs every second has synced what is older.
pub const SETTLED: Duration = Duration::from_millis(2500);

/// What happens in a run.
#[derive(Debug, Clone)]
pub struct Scenario {
    /// What every choice follows from.
    pub seed: u64,
    /// Jobs, at most.
    pub jobs: u64,
    /// Passes of each over its data: 12 steps each.
    pub epochs: u32,
    /// Milliseconds of a step, times 8: `sequence.max_length`.
    pub max_length: u32,
    /// Steps from one checkpoint to the next.
    pub every_steps: u32,
    /// What befalls it.
    pub evil: Evil,
    /// How the service is set up.
    pub options: Options,
    /// How long nothing may end before what is left counts as stuck.
    pub standstill: Option<Duration>,
}

impl Scenario {
    /// `jobs` jobs while `faults` faults of every kind strike.
    pub fn faults(seed: u64, faults: usize, jobs: u64) -> Self {
        Self {
            seed,
            jobs,
            epochs: 6,
            max_length: 128,
            every_steps: 12,
            evil: Evil::Course(course(seed, faults)),
            options: Options::default(),
            standstill: None,
        }
    }

    /// `count` runs that go on beside another of their job.
    pub fn zombies(seed: u64, count: usize) -> Self {
        Self {
            // Until the last is held; never so many.
            jobs: 100 * count as u64,
            // The other run, which begins at the only checkpoint, has 24 steps of 32 ms to do.
            epochs: 5,
            every_steps: 36,
            max_length: 256,
            evil: Evil::Zombies(count),
            // A ticket that waits at an agent which is held would be taken by nobody: a held agent has no slot free.
            options: Options { executors: 9, slots: 1, ..Options::default() },
            ..Self::faults(seed, 0, 0)
        }
    }

    /// `count` claims that the record forgets.
    pub fn forgotten(seed: u64, count: usize) -> Self {
        Self {
            max_length: 200,
            evil: Evil::Forgotten(count),
            options: Options { appendfsync: "everysec", slots: 1, ..Options::default() },
            ..Self::faults(seed, 0, 0)
        }
    }
}

/// What befalls a run.
#[derive(Debug, Clone)]
pub enum Evil {
    /// Faults of every kind.
    Course(Vec<Planned>),
    /// So many runs that go on after their lease, while others have their jobs.
    Zombies(usize),
    /// So many claims that the record forgets.
    Forgotten(usize),
}

/// What came of it.
#[derive(Debug)]
pub struct Outcome {
    /// What was done.
    pub done: Done,
    /// What the checker found.
    pub report: Report,
    /// How long it took, to the last job's end.
    pub took: Duration,
}

/// Plays a scenario in `directory`; none where Ceph is not installed, which is said.
///
/// # Panics
/// Where a service or a process does not start, or nobody answers for minutes.
pub async fn play(directory: &Path, scenario: &Scenario) -> Option<Outcome> {
    let mut fleet = Fleet::start(directory, &scenario.options).await?;
    let begun = Instant::now();
    let client = Client::new(&fleet.apis(), fleet.key());
    let ledger = Arc::new(Ledger::create(&directory.join("ledger.jsonl")));
    let (file, data) = client.upload().await;
    let &Scenario { epochs, max_length, every_steps, .. } = scenario;
    let work = Work { file, epochs, max_length, every_steps };
    // What the run needs is older than a lazy record may forget; what it makes is not.
    tokio::time::sleep(SETTLED).await;
    let next = Arc::new(AtomicU64::new(0));
    let mut clients = JoinSet::new();
    let count = match scenario.evil {
        Evil::Course(_) => CLIENTS,
        Evil::Zombies(_) => CLIENTS_OF_ZOMBIES,
        Evil::Forgotten(_) => 0,
    };
    for _ in 0..count {
        let (client, ledger, work, next) =
            (client.clone(), Arc::clone(&ledger), work.clone(), Arc::clone(&next));
        let (seed, jobs) = (scenario.seed, scenario.jobs);
        clients.spawn(async move {
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                if number >= jobs {
                    return;
                }
                let id = submit(&client, &ledger, &work, seed, number).await;
                if !id.is_empty() {
                    check::wait_for_end(&client, &id, JOB_MAX).await;
                }
            }
        });
    }
    let mut attempted = scenario.jobs;
    let done = match &scenario.evil {
        Evil::Course(course) => nemesis::run(&mut fleet, &ledger, course).await,
        Evil::Zombies(count) => {
            let done = zombies::run(&fleet, &client, scenario.seed, *count).await;
            // Those were jobs enough.
            let asked = next.fetch_max(scenario.jobs, Ordering::Relaxed);
            attempted = attempted.min(asked);
            done
        }
        Evil::Forgotten(count) => {
            let (seed, count) = (scenario.seed, *count);
            let done = forgotten::run(&mut fleet, &client, &ledger, &work, seed, count).await;
            attempted = ledger.submitted().len() as u64;
            done
        }
    };
    while let Some(ended) = clients.join_next().await {
        ended.expect("a client had its answers");
    }
    check::wait_for_ends(&client, scenario.standstill).await;
    let took = begun.elapsed();
    let objects = fleet.services.objects().await;
    let attempted = usize::try_from(attempted).expect("a count");
    let mut report =
        check::check(&client, &ledger, objects.as_ref(), &work, &data, attempted).await;
    report.repeated = client.repeated.load(Ordering::Relaxed);
    report.fenced = fleet.fenced();
    Some(Outcome { done, report, took })
}

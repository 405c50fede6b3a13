//! A whole run: services and processes, clients, faults, healing, checking.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tokio::task::JoinSet;

use crate::check;
use crate::client::{Client, Work, submit};
use crate::fault::Planned;
use crate::fleet::{Fleet, Options};
use crate::ledger::Ledger;
use crate::nemesis::{self, Done};
use crate::report::Report;

/// Clients that each have one job at a time: twice as many as can run, so that there is always a queue.
const CLIENTS: usize = 12;
/// Clients where runs are held: fewer than can run, so that the job of a held run is another's as soon as it may be, and not behind
/// others in the queue when its first run goes on.
const CLIENTS_OF_ZOMBIES: usize = 4;
/// How long a client waits for its job's end before it goes on to the next.
const JOB_MAX: Duration = Duration::from_secs(20);

/// A record that syncs every second has synced what is older.
const SETTLED: Duration = Duration::from_millis(2500);

/// What happens in a run.
#[derive(Debug, Clone)]
pub struct Scenario {
    /// What every choice follows from.
    pub seed: u64,
    /// Jobs.
    pub jobs: u64,
    /// Passes of each over its data: 12 steps each.
    pub epochs: u32,
    /// Milliseconds of a step, times 8: `sequence.max_length`.
    pub max_length: u32,
    /// What befalls it.
    pub evil: Evil,
    /// How the service is set up.
    pub options: Options,
    /// How long nothing may end before what is left counts as stuck.
    pub standstill: Option<Duration>,
}

/// What befalls a run.
#[derive(Debug, Clone)]
pub enum Evil {
    /// Faults of every kind.
    Course(Vec<Planned>),
    /// So many runs held past their lease.
    Zombies(usize),
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
    let work = Work { file, epochs: scenario.epochs, max_length: scenario.max_length };
    // What the run needs is older than a lazy record may forget; what it makes is not.
    tokio::time::sleep(SETTLED).await;
    let next = Arc::new(AtomicU64::new(0));
    let mut clients = JoinSet::new();
    let count = match scenario.evil {
        Evil::Course(_) => CLIENTS,
        Evil::Zombies(_) => CLIENTS_OF_ZOMBIES,
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
    let done = match &scenario.evil {
        Evil::Course(course) => nemesis::run(&mut fleet, &ledger, course).await,
        Evil::Zombies(count) => nemesis::zombies(&mut fleet, scenario.seed, *count).await,
    };
    while let Some(ended) = clients.join_next().await {
        ended.expect("a client had its answers");
    }
    check::wait_for_ends(&client, scenario.standstill).await;
    let took = begun.elapsed();
    let objects = fleet.services.objects().await;
    let attempted = usize::try_from(scenario.jobs).expect("a count");
    let mut report =
        check::check(&client, &ledger, objects.as_ref(), &work, &data, attempted).await;
    report.repeated = client.repeated.load(Ordering::Relaxed);
    report.fenced = fleet.fenced();
    Some(Outcome { done, report, took })
}

//! Runs that are held in the midst of handing something over, past their lease, and that go on while another run has their job: the
//! moment at which a store without fences takes what it must not.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use reqwest::Method;
use tokio::task::JoinSet;
use trainyard_tests::api::text;

use crate::client::Client;
use crate::fleet::Fleet;
use crate::held::Held;
use crate::nemesis::Done;
use crate::random::Random;

/// Agents that are held at a time; the others have a slot free for each of their jobs.
const AT_ONCE: usize = 4;
/// Without a run to hold for so long there are no jobs left.
const IDLE_MAX: Duration = Duration::from_secs(60);
/// How long another may take to have a held run's job: a lease, its grace, and a ticket that has to be issued anew.
const ANOTHER_MAX: Duration = Duration::from_secs(20);
/// How long after the other's start a held run goes on, at most; the other has more than that to do.
const BESIDE_MS: u64 = 500;
/// An upload takes so long at most, in milliseconds: a run is held at any moment of it.
const UPLOAD_MS: u64 = 40;

/// What a run is about when it is held.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Moment {
    /// A checkpoint is on its way.
    Checkpointing,
    /// The result is.
    Completing,
}

/// A claim, as the name of its directory says it.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Claim {
    job: String,
    epoch: u64,
    directory: PathBuf,
}

/// Holds runs until `count` of them have gone on beside another run of their job.
pub async fn run(fleet: &Fleet, client: &Client, seed: u64, count: usize) -> Done {
    let mut random = Random::new(seed);
    let mut done = Done::default();
    let (mut held, mut taken) = (JoinSet::new(), BTreeSet::new());
    let mut idle_since = Instant::now();
    while done.zombies < count && idle_since.elapsed() < IDLE_MAX {
        while let Some(Ok((agent, woken))) = held.try_join_next() {
            taken.remove(&agent);
            count_one(&mut done, woken);
        }
        let moment = random.one(&[Moment::Checkpointing, Moment::Completing]);
        let delay = Duration::from_millis(random.below(UPLOAD_MS));
        let free = (0..fleet.executors()).filter(|agent| !taken.contains(agent));
        let caught = match held.len() < AT_ONCE {
            true => catch(fleet, free, moment, delay).await,
            false => None,
        };
        let Some((agent, run, claim)) = caught else {
            tokio::time::sleep(Duration::from_millis(2)).await;
            continue;
        };
        idle_since = Instant::now();
        taken.insert(agent);
        let (client, beside) = (client.clone(), Duration::from_millis(random.below(BESIDE_MS)));
        held.spawn(async move {
            let another = wait_for_another(&client, &claim).await;
            if another {
                tokio::time::sleep(beside).await;
            }
            run.resume();
            (agent, Woken { moment, another })
        });
    }
    while let Some(Ok((_, woken))) = held.join_next().await {
        count_one(&mut done, woken);
    }
    done
}

/// How a held run went on.
struct Woken {
    moment: Moment,
    /// Whether another had its job then. Else its job had an end, or nobody took it.
    another: bool,
}

fn count_one(done: &mut Done, Woken { moment, another }: Woken) {
    let how = if another { "held" } else { "held in vain" };
    *done.faults.entry(format!("{moment:?}, {how}")).or_default() += 1;
    done.zombies += usize::from(another);
}

/// Holds the first of `agents` that is at this moment of a run, a little later.
async fn catch(
    fleet: &Fleet,
    mut agents: impl Iterator<Item = usize>,
    moment: Moment,
    delay: Duration,
) -> Option<(usize, Held, Claim)> {
    let (agent, claim) = agents.find_map(|agent| {
        let mut claims = claims(&fleet.work_dir(agent)).into_iter();
        claims.find(|claim| is_at(claim, moment)).map(|claim| (agent, claim))
    })?;
    tokio::time::sleep(delay).await;
    let held = Held::busy(fleet.executor(agent), 0)?;
    if is_at(&claim, moment) {
        return Some((agent, held, claim));
    }
    held.resume();
    None
}

/// Whether a run is about to hand something over.
fn is_at(claim: &Claim, moment: Moment) -> bool {
    match moment {
        Moment::Checkpointing => entries(&claim.directory.join("staging")).next().is_some(),
        Moment::Completing => claim.directory.join("out/adapter/manifest.json").is_file(),
    }
}

/// Runs that have a directory below an agent's own.
fn claims(work_dir: &Path) -> Vec<Claim> {
    let of_name = |directory: PathBuf| {
        let (job, epoch) = directory.file_name()?.to_str()?.rsplit_once("-e")?;
        let (job, epoch) = (job.to_string(), epoch.parse().ok()?);
        job.starts_with("ftjob-").then_some(Claim { job, epoch, directory })
    };
    entries(work_dir).filter_map(of_name).collect()
}

/// What is in a directory; nothing where it is gone.
fn entries(directory: &Path) -> impl Iterator<Item = PathBuf> {
    fs::read_dir(directory).into_iter().flatten().flatten().map(|entry| entry.path())
}

/// Waits until a later claim of the job runs; not where the job ends before, or nobody takes it.
async fn wait_for_another(client: &Client, claim: &Claim) -> bool {
    let begun = Instant::now();
    let path = format!("/v1/fine_tuning/jobs/{}", claim.job);
    while begun.elapsed() < ANOTHER_MAX {
        let (_, job) = client.ask(Method::GET, &path, None).await;
        let attempts = job["trainyard"]["progress"]["attempts"].as_u64().unwrap_or(0);
        match text(&job, "/status").as_str() {
            "running" if attempts > claim.epoch => return true,
            "succeeded" | "failed" | "cancelled" => return false,
            _ => tokio::time::sleep(Duration::from_millis(20)).await,
        }
    }
    false
}

//! Claims that the record forgets: it syncs its log once a second, its power is cut right after a claim, and the next claim of the job
//! has the same number. Only the nonce tells the two apart.

use std::time::{Duration, Instant};

use reqwest::Method;
use serde_json::{Value, json};
use trainyard_tests::api::text;

use crate::client::{Client, Work, create};
use crate::fleet::Fleet;
use crate::held::Held;
use crate::ledger::{Entry, Ledger};
use crate::nemesis::Done;
use crate::run::SETTLED;

/// How long the later holder is held: shorter than its lease, longer than the earlier one needs to its end.
const LATER_SLOW: Duration = Duration::from_millis(2800);
/// A hang guard for each wait.
const WAIT_MAX: Duration = Duration::from_secs(60);
/// Tries of a claim that is forgotten: a sync may come between it and the cut.
const TRIES_OF_ONE: usize = 5;

/// Has the record forget claims of `count` jobs, and both holders go on.
pub async fn run(
    fleet: &mut Fleet,
    client: &Client,
    ledger: &Ledger,
    work: &Work,
    seed: u64,
    count: usize,
) -> Done {
    let mut done = Done::default();
    for number in 0..count * TRIES_OF_ONE {
        if done.zombies == count {
            break;
        }
        let id = create(client, ledger, work, seed, number as u64).await;
        let forgotten = forget_claim(fleet, client, ledger, &id, &mut done).await;
        done.zombies += usize::from(forgotten);
        done.failed += usize::from(!forgotten);
        wait(client, &id, |job| text(job, "/status") == "succeeded").await;
    }
    done
}

/// Whether the job's claim was forgotten and another was given under its number.
async fn forget_claim(
    fleet: &mut Fleet,
    client: &Client,
    ledger: &Ledger,
    id: &str,
    done: &mut Done,
) -> bool {
    // What the power cut shall spare is old enough to be on the disk: the job itself, at rest with a checkpoint.
    wait(client, id, |job| text(job, "/status") == "running").await;
    ask(client, id, "pause").await;
    let Some(paused) = wait(client, id, |job| text(job, "/status") == "paused").await else {
        return false;
    };
    let before = attempts(&paused);
    tokio::time::sleep(SETTLED).await;
    ask(client, id, "resume").await;
    let earlier = holder(fleet, id, before + 1, None).await;
    let Some(held) = earlier.and_then(|agent| Held::busy(fleet.executor(agent), 0)) else {
        return false;
    };
    fleet.services.redis.server.kill();
    done.unsynced += fleet.services.redis.forget_unsynced();
    fleet.services.redis.server.start_again();
    let (_, job) = client.ask(Method::GET, &path(id), None).await;
    if attempts(&job) > before {
        held.resume();
        return false;
    }
    if text(&job, "/status") == "paused" {
        ask(client, id, "resume").await;
    }
    let Some(later) = holder(fleet, id, before + 1, earlier).await else {
        held.resume();
        return false;
    };
    let directory = fleet.work_dir(later).display().to_string();
    ledger.write(Entry::Claimed { job: id.to_string(), directory });
    let slow = Held::busy(fleet.executor(later), 0);
    held.resume();
    tokio::time::sleep(LATER_SLOW).await;
    if let Some(slow) = slow {
        slow.resume();
    }
    true
}

/// The agent that has a trainer for this claim of the job and is not `but`; none where none has one in time.
async fn holder(fleet: &Fleet, job: &str, epoch: u64, but: Option<usize>) -> Option<usize> {
    let begun = Instant::now();
    while begun.elapsed() < WAIT_MAX {
        let mut agents = (0..fleet.executors()).filter(|agent| Some(*agent) != but);
        let run = format!("{job}-e{epoch}/run.json");
        if let Some(agent) = agents.find(|agent| fleet.work_dir(*agent).join(&run).is_file()) {
            return Some(agent);
        }
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    None
}

/// Waits until the job is as wanted and gives it; none where it is not in time.
async fn wait(client: &Client, id: &str, wanted: impl Fn(&Value) -> bool) -> Option<Value> {
    let begun = Instant::now();
    while begun.elapsed() < WAIT_MAX {
        let (_, job) = client.ask(Method::GET, &path(id), None).await;
        if wanted(&job) {
            return Some(job);
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    None
}

async fn ask(client: &Client, id: &str, what: &str) {
    // No key: the record may forget that it knew one, and asking twice does no harm.
    let path = format!("{}/{what}", path(id));
    client.ask(Method::POST, &path, Some(("", &json!({})))).await;
}

fn path(id: &str) -> String {
    format!("/v1/fine_tuning/jobs/{id}")
}

fn attempts(job: &Value) -> u64 {
    job["trainyard"]["progress"]["attempts"].as_u64().unwrap_or(0)
}

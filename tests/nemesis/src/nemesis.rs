//! Makes faults happen and heals them.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use crate::fault::{Fault, Link, Planned};
use crate::fleet::{Fleet, UNTIL_ANOTHER};
use crate::held::{self, Held};
use crate::ledger::Ledger;
use crate::proxy::{Proxy, Way};
use trainyard_tests::cluster::Role;

/// How long a piece of data waits on a slow way.
const SLOW: Duration = Duration::from_millis(150);
/// Bytes after which connections end: in the midst of a reply of the record, or of a file.
const BYTES: u64 = 5000;
/// Jobs whose old tickets come once more.
const JOBS_OLD: usize = 30;
/// How long an executor is given to have a run that can be held.
const RUN_MAX: Duration = Duration::from_secs(5);

/// What was done.
#[derive(Debug, Default)]
pub struct Done {
    /// How often each fault happened.
    pub faults: BTreeMap<String, usize>,
    /// Runs that were held past their lease.
    pub zombies: usize,
    /// Bytes of the record's log that no fsync had covered when its power was cut.
    pub unsynced: u64,
    /// Faults that could not be made, with the reason: a queue that cannot be purged because there is none.
    pub failed: usize,
}

/// Lets every fault of `course` happen, one after the other.
pub async fn run(fleet: &mut Fleet, ledger: &Ledger, course: &[Planned]) -> Done {
    let mut done = Done::default();
    for planned in course {
        let name = format!("{:?}", planned.fault);
        if strike(fleet, ledger, planned, &mut done).await {
            *done.faults.entry(name).or_default() += 1;
        } else {
            done.failed += 1;
        }
        fleet.start_missing();
        tokio::time::sleep(planned.calm).await;
    }
    done
}

/// Lets one fault happen and heals it; whether there was something that it could happen to.
async fn strike(fleet: &mut Fleet, ledger: &Ledger, planned: &Planned, done: &mut Done) -> bool {
    let Planned { fault, whom, lasts, .. } = *planned;
    match fault {
        Fault::KillApi => kill(fleet, Role::Api, whom, lasts).await,
        Fault::KillScheduler => kill(fleet, Role::Scheduler, whom, lasts).await,
        Fault::KillExecutor => kill(fleet, Role::Executor, whom, lasts).await,
        Fault::KillTrainer => {
            return held::kill_trainer(fleet.executor(whom));
        }
        Fault::Zombie => {
            let held = hold(fleet, whom, lasts).await;
            done.zombies += held;
            return held > 0;
        }
        Fault::KillRedis | Fault::PowerCut => {
            let redis = &mut fleet.services.redis;
            redis.server.kill();
            if fault == Fault::PowerCut {
                done.unsynced += redis.forget_unsynced();
            }
            tokio::time::sleep(lasts).await;
            fleet.services.redis.server.start_again();
        }
        Fault::RestartBroker => fleet.services.restart_broker(false),
        Fault::WipeBroker => fleet.services.restart_broker(true),
        Fault::PurgeQueue => return repeated(lasts, async || fleet.services.purge().await).await,
        Fault::DeleteQueue => return fleet.services.delete_queue().await.is_ok(),
        Fault::OldTickets => {
            let jobs: Vec<String> = ledger.submitted().into_values().map(|(_, job)| job).collect();
            let newest = &jobs[jobs.len().saturating_sub(JOBS_OLD)..];
            return repeated(lasts, async || fleet.services.publish(newest, &[1, 2, 3]).await)
                .await;
        }
        Fault::Cut(link) => spoil(fleet, link, Way::Cut, lasts).await,
        Fault::Slow(link) => spoil(fleet, link, Way::Slow(SLOW), lasts * 3).await,
        Fault::After(link) => spoil(fleet, link, Way::After(BYTES), lasts).await,
        Fault::HalfClose(link) => spoil(fleet, link, Way::HalfClosed, lasts).await,
    }
    true
}

async fn kill(fleet: &mut Fleet, role: Role, whom: usize, lasts: Duration) {
    fleet.kill(role, whom);
    tokio::time::sleep(lasts).await;
}

async fn spoil(fleet: &Fleet, link: Link, way: Way, lasts: Duration) {
    let proxy: &Proxy = match link {
        Link::Redis => &fleet.services.to_redis,
        Link::Broker => &fleet.services.to_broker,
        Link::S3 => &fleet.services.to_s3,
    };
    proxy.set(way);
    tokio::time::sleep(lasts).await;
    // What has no answer yet shall get none: a connection that was half closed is of no use to anybody.
    proxy.set(Way::Cut);
    tokio::time::sleep(Duration::from_millis(20)).await;
    proxy.set(Way::Open);
}

/// Does something again and again for a while; whether it succeeded once.
async fn repeated<E>(lasts: Duration, act: impl AsyncFn() -> Result<(), E>) -> bool {
    let begun = Instant::now();
    let mut succeeded = false;
    while begun.elapsed() < lasts {
        succeeded |= act().await.is_ok();
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    succeeded
}

/// Holds an agent that has a trainer, with it, until its jobs are others', and lets them go on; gives the number of runs that were held.
async fn hold(fleet: &Fleet, whom: usize, beyond: Duration) -> usize {
    let begun = Instant::now();
    let held = loop {
        if let Some(held) = Held::busy(fleet.executor(whom), 1) {
            break held;
        }
        if begun.elapsed() > RUN_MAX {
            return 0;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    };
    let runs = held.trainers();
    tokio::time::sleep(UNTIL_ANOTHER + beyond).await;
    held.resume();
    runs
}

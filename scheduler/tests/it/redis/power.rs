//! Power cuts of the server's machine: what no fsync covered is gone (`power/shim.c`). A kill alone would show nothing, because the
//! kernel keeps what a dead process has written.

use std::sync::Arc;

use futures::future::join_all;
use tempfile::TempDir;
use trainyard_openapi::id::TenantId;
use trainyard_scheduler::adapter::redis::{RedisOptions, RedisStore};
use trainyard_scheduler::contract::sample;
use trainyard_scheduler::job::JobRecord;
use trainyard_scheduler::port::store::Store;

use super::server::{Home, Server, named};
use crate::power::disk::Disk;
use crate::power::shim;

const CUTS: usize = 10;
const WRITERS: usize = 8;
const JOBS: usize = 6;

/// A server whose disk is `disk`.
fn server(disk: &Disk, library: &std::path::Path, appendfsync: &str) -> Server {
    let settings = ["--appendonly", "yes", "--appendfsync", appendfsync];
    Server::at(Home {
        directory: disk.root(),
        settings: settings.iter().map(ToString::to_string).collect(),
        environment: vec![
            ("LD_PRELOAD", library.to_path_buf()),
            ("POWER_ROOT", disk.root()),
            ("POWER_DISK", disk.book()),
        ],
    })
}

/// Cuts the power `cuts` times under writers; how many of how many acknowledged jobs were lost.
async fn trial(appendfsync: &str, cuts: usize) -> (usize, usize) {
    let tools = TempDir::new().unwrap();
    let library = shim(tools.path());
    let options = RedisOptions { allow_volatile: true, ..named("power") };
    let mut disk = Disk::empty();
    // The server makes its directory without making the name durable. It has been there for a while.
    let first = server(&disk, &library, appendfsync);
    drop(RedisStore::open(&first.url(), &options).await.unwrap());
    drop(first);
    disk.settle();

    let tenant = sample::tenant();
    let (mut acknowledged, mut lost) = (Vec::<JobRecord>::new(), 0);
    for _ in 0..cuts {
        let running = server(&disk, &library, appendfsync);
        let store = Arc::new(RedisStore::open(&running.url(), &options).await.unwrap());
        let writers = (0..WRITERS).map(|_| tokio::spawn(write(store.clone(), tenant.clone())));
        for jobs in join_all(writers).await {
            acknowledged.extend(jobs.unwrap());
        }
        drop((store, running));
        disk = disk.after_the_cut();
        let found = server(&disk, &library, appendfsync);
        let store = RedisStore::open(&found.url(), &options).await.unwrap();
        let mut left = Vec::new();
        for job in acknowledged {
            match store.job(&tenant, &job.id).await.unwrap() {
                Some(there) if there.rev >= job.rev => left.push(job),
                _ => lost += 1,
            }
        }
        acknowledged = left;
    }
    (lost, acknowledged.len() + lost)
}

async fn write(store: Arc<RedisStore>, tenant: TenantId) -> Vec<JobRecord> {
    let mut acknowledged = Vec::new();
    for _ in 0..JOBS {
        let job = sample::made(store.as_ref(), sample::job(&tenant)).await;
        let next = sample::next(&job);
        store.commit(next.clone()).await.unwrap();
        acknowledged.push(next.job);
    }
    acknowledged
}

#[tokio::test(flavor = "multi_thread")]
#[allow(clippy::print_stdout, reason = "the figures are the result")]
async fn power_cuts_lose_nothing_that_was_acknowledged() {
    let (lost, acknowledged) = trial("always", CUTS).await;
    println!("{CUTS} cuts, {acknowledged} jobs acknowledged, {lost} lost");
    assert_eq!((lost, acknowledged), (0, CUTS * WRITERS * JOBS));
}

/// The test above can fail: a server that waits for no disk loses jobs. It is one that the record refuses by itself.
#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_does_not_wait_for_the_disk_loses_jobs() {
    let (lost, _) = trial("no", 1).await;
    assert!(lost > 0, "nothing was lost: the test above could not fail");
}

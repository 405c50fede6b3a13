//! Power cuts: what no fsync covered is gone, bytes and names alike. Nothing that was acknowledged may go with it.
//!
//! A process of its own submits jobs on a disk that a preloaded library (`shim.c`) keeps book of. It is killed; the disk is made
//! anew from what was synced; the next process goes on from there.

mod child;
pub(crate) mod disk;

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;

use tempfile::TempDir;
use trainyard_openapi::id::{FileId, JobId};
use trainyard_scheduler::adapter::fs::FsObjects;
use trainyard_scheduler::adapter::sqlite::SqliteStore;
use trainyard_scheduler::clock::SystemClock;
use trainyard_scheduler::port::objects::Objects;
use trainyard_scheduler::port::store::Store;

use crate::random::Random;
use disk::Disk;

const CUTS: usize = 50;
/// Cuts of one disk before the next begins with nothing: the first moments are cut too.
const CUTS_OF_A_DISK: usize = 10;

/// What the processes said that they had done.
#[derive(Debug, Default)]
struct Acknowledged {
    key: Option<String>,
    files: Vec<String>,
    jobs: Vec<String>,
}

/// Compiles the library that keeps book.
pub(crate) fn shim(directory: &Path) -> PathBuf {
    let source = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/power/shim.c");
    let library = directory.join("shim.so");
    let mut compile = Command::new("cc");
    compile.args(["-shared", "-fPIC", "-O1", "-o"]).arg(&library).arg(source);
    assert!(compile.status().expect("a C compiler").success());
    library
}

/// Runs a process until it has acknowledged `count` things, and cuts the power.
fn cut(disk: &Disk, shim: &Path, synchronous: &str, count: usize, known: &mut Acknowledged) {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--ignored", "--exact", "power::child::submits_until_the_power_goes"]);
    command.args(["--nocapture", "--test-threads", "1"]);
    command.env("LD_PRELOAD", shim);
    command.env("POWER_ROOT", disk.root()).env("POWER_DISK", disk.book());
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let key = known.key.as_deref().unwrap_or("none");
    let mut stdin = child.stdin.take().unwrap();
    writeln!(stdin, "{}\n{synchronous}\n{key}", disk.root().display()).unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut seen = 0;
    for line in lines.map_while(Result::ok) {
        match line.split_once(' ') {
            Some(("key", key)) => known.key = Some(key.to_string()),
            Some(("file", id)) => known.files.push(id.to_string()),
            Some(("job", id)) => known.jobs.push(id.to_string()),
            _ => continue,
        }
        seen += 1;
        if seen == count {
            // What it still says before it hears of it has been done all the same, and counts.
            child.kill().unwrap();
        }
    }
    assert!(seen >= count, "the process ended by itself: {:?}", child.wait());
    child.wait().unwrap();
}

/// How much of what was acknowledged is not on the disk any more.
async fn lost(root: &Path, known: &Acknowledged) -> usize {
    let Ok(store) = SqliteStore::open(&root.join("record.db"), Arc::new(SystemClock)) else {
        return known.files.len() + known.jobs.len();
    };
    let objects = FsObjects::open(&root.join("objects")).unwrap();
    let mut lost = 0;
    for id in &known.jobs {
        let id = id.parse::<JobId>().unwrap();
        lost += usize::from(!matches!(store.job_of_any_tenant(&id).await, Ok(Some(_))));
    }
    for id in &known.files {
        let id = id.parse::<FileId>().unwrap();
        let size = objects.size(&format!("files/{id}")).await;
        lost += usize::from(!matches!(size, Ok(bytes) if bytes == child::CONTENT.len() as u64));
    }
    lost
}

/// Cuts the power `cuts` times; how many of how many acknowledged things were lost.
async fn trial(synchronous: &str, cuts: usize, stop_at_first: bool, seed: u64) -> (usize, usize) {
    let place = TempDir::new().unwrap();
    let shim = shim(place.path());
    let mut random = Random::new(seed);
    let (mut all_lost, mut acknowledged) = (0, 0);
    let (mut disk, mut known) = (Disk::empty(), Acknowledged::default());
    for number in 0..cuts {
        if number % CUTS_OF_A_DISK == 0 {
            (disk, known) = (Disk::empty(), Acknowledged::default());
        }
        cut(&disk, &shim, synchronous, 1 + random.below(12), &mut known);
        acknowledged = acknowledged.max(known.jobs.len() + known.files.len());
        // Looking at it changes it: what goes on is another copy.
        let left = disk.after_the_cut();
        let gone = lost(&left.root(), &known).await;
        all_lost += gone;
        if gone > 0 && stop_at_first {
            break;
        }
        assert!(!stop_at_first || known.key.is_some());
        disk = disk.after_the_cut();
    }
    (all_lost, acknowledged)
}

#[tokio::test]
async fn fifty_power_cuts_lose_nothing_that_was_acknowledged() {
    let seed = std::process::id().into();
    let (lost, acknowledged) = trial("FULL", CUTS, false, seed).await;
    assert!(acknowledged > 20, "only {acknowledged} acknowledged on one disk");
    assert_eq!(lost, 0, "seed {seed}");
}

/// The test above can fail: what commits without waiting for the disk loses jobs.
#[tokio::test]
async fn a_record_that_does_not_wait_for_the_disk_loses_jobs() {
    for synchronous in ["NORMAL", "OFF"] {
        let (lost, _) = trial(synchronous, CUTS, true, 1).await;
        assert!(lost > 0, "{synchronous}: nothing was lost: the test above could not fail");
    }
}

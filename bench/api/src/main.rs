//! Measures the API of the embedded mode beside its load generator on the same machine, and prints tables.
//!
//! The server is the built binary with a data directory of its own. It has no slots, so jobs stay in the queue: the worst case for
//! everything that looks at the queue. Jobs are real submits over HTTP, each durable before its answer.
#![allow(
    clippy::print_stdout,
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a measurement prints, and ends where it fails"
)]

#[allow(
    dead_code,
    unreachable_pub,
    reason = "the tests of the queue have the same file and ask more of it"
)]
#[path = "../../../scheduler/tests/it/rabbitmq/broker.rs"]
mod broker;
mod cluster;
mod jobs;
mod load;
mod scrape;
mod server;
mod stream;

use std::path::PathBuf;
use std::time::Duration;

use jobs::Filled;
use server::Server;

/// Clients that submit at the same time.
const CLIENTS: usize = 50;
/// Requests a second of the open loop.
const RATE: u64 = 2_000;

/// What to measure, from the command line: `bench-api SERVER JOBS SECONDS FILE_MIB`.
struct Plan {
    binary: PathBuf,
    jobs: usize,
    time: Duration,
    file_mib: u64,
}

impl Plan {
    fn read() -> Option<Self> {
        let mut words = std::env::args().skip(1);
        Some(Self {
            binary: words.next()?.into(),
            jobs: words.next()?.parse().ok()?,
            time: Duration::from_secs(words.next()?.parse().ok()?),
            file_mib: words.next()?.parse().ok()?,
        })
    }
}

#[tokio::main]
async fn main() {
    let words: Vec<String> = std::env::args().skip(1).collect();
    if let [word, seconds] = &words[..]
        && word == "cluster"
    {
        let seconds = seconds.parse().expect("a number of seconds");
        return cluster::measure(Duration::from_secs(seconds)).await;
    }
    if let [word, jobs, tenants] = &words[..]
        && word == "scrape"
    {
        let number = |text: &String| text.parse().expect("a number");
        return scrape::measure(number(jobs), number(tenants)).await;
    }
    let Some(plan) = Plan::read() else {
        println!(
            "usage: bench-api SERVER JOBS SECONDS FILE_MIB, bench-api cluster SECONDS, or bench-api scrape JOBS TENANTS"
        );
        std::process::exit(2);
    };
    let directory = tempfile::tempdir().expect("a directory");
    let server = Server::start(&plan.binary, directory.path());
    let file = server.api.file("train.jsonl", trainyard_tests::data::chat(20)).await;
    let mut filled = Filled::new(&server, &file);

    println!("durable submits, {CLIENTS} clients, each fsynced before its answer:");
    println!("{}", filled.submits(CLIENTS, plan.time).await);
    let mut levels = vec![100, 1_000, 10_000, 100_000];
    levels.retain(|level| *level <= plan.jobs);
    if levels.last().is_none_or(|last| *last < plan.jobs) {
        levels.push(plan.jobs);
    }
    for level in levels {
        // A tenant of its own for each: the first measurement has left jobs behind.
        let mut tenant = filled.tenant().await;
        tenant.fill(level, CLIENTS).await;
        tenant.settle().await;
        println!("\na tenant with {level} jobs, {} MiB resident:", server.resident_mib("VmRSS"));
        tenant.lists().await.iter().for_each(|line| println!("{line}"));
        println!("{}", tenant.gets(RATE, plan.time).await);
        println!("{}", tenant.submits(CLIENTS, plan.time).await);
        filled = tenant;
    }
    println!("\n{} MiB as one stream of files and as the parts of an upload:", plan.file_mib);
    for line in stream::measure(&server, plan.file_mib).await {
        println!("{line}");
    }
    server.stop();
}

//! The cluster: submits to a record in Redis that fsyncs each of them, and how long a ticket takes from its dispatch to its claim over
//! RabbitMQ. Apis, schedulers and executors are processes of their own on this machine.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use reqwest::Method;
use serde_json::Value;
use trainyard_tests::api::{self, text};
use trainyard_tests::{Cluster, ClusterOptions, Redis, Role, data};

use crate::broker::Broker;
use crate::load::{Measured, histogram, open_loop_of, record};

/// Clients that submit.
const CLIENTS: usize = 50;
/// Submits a second of the open loop.
const RATE: u64 = 200;
/// Jobs a second while tickets are timed: each finds a free device.
const CALM_RATE: u64 = 4;
/// More than anybody asks for: rate limits are not what is measured.
const NO_LIMIT: &str = "4000000000";

/// Measures both and prints them.
pub(crate) async fn measure(time: Duration) {
    let directory = tempfile::tempdir().expect("a directory");
    let (redis, broker) = (Redis::start(directory.path()), Broker::start());
    let limits = ["--requests-per-minute", NO_LIMIT, "--requests-per-minute-per-key", NO_LIMIT];
    let mut options = ClusterOptions::new(redis.url(), broker.url());
    // A trainer that ends at once: what is measured is the way to it.
    options.trainer = Some("/bin/false".into());
    let options = options.with(Role::Api, &limits);
    let options = options.with(Role::Api, &["--attempts-failed-max", "0"]);
    let cluster = Cluster::start(directory.path(), options);
    let file = cluster.api(0).file("train.jsonl", data::chat(20)).await;
    let http = reqwest::Client::builder().no_proxy().tcp_nodelay(true).build().expect("a client");
    let (urls, key) = ([cluster.url(0), cluster.url(1)], cluster.key().to_string());
    let submit = move |number: u64| {
        let url = &urls[number as usize % urls.len()];
        let path = format!("{url}/v1/fine_tuning/jobs");
        http.request(Method::POST, path).bearer_auth(&key).json(&api::request(&file, 1, 4))
    };

    println!(
        "2 api, 2 schedulers, 2 executors; Redis with appendfsync always, RabbitMQ with a quorum queue:"
    );
    let calm = Duration::from_secs(60).min(time * 6);
    let what = "submits, each finds a free device";
    println!("{}", open_loop_of(what, CALM_RATE, calm, CLIENTS, submit.clone()).await);
    println!("{}", tickets(&cluster));
    println!(
        "{}",
        open_loop_of("submits, open loop, 50 clients", RATE, time, CLIENTS, submit).await
    );
}

/// From the scheduler's word that a job is dispatched to the executor's that it has claimed it.
fn tickets(cluster: &Cluster) -> Measured {
    let said = |role: Role, word: &str| {
        let mut times: HashMap<String, Duration> = HashMap::new();
        for index in 0..2 {
            for line in cluster.log(role, index).lines() {
                let Ok(line) = serde_json::from_str::<Value>(line) else { continue };
                if text(&line, "/fields/message") == word {
                    times.insert(text(&line, "/job_id"), time_of_day(&text(&line, "/timestamp")));
                }
            }
        }
        times
    };
    let (dispatched, claimed) =
        (said(Role::Scheduler, "dispatched"), said(Role::Executor, "claimed"));
    let (begun, mut latencies) = (Instant::now(), histogram());
    for (job, at) in &claimed {
        if let Some(from) = dispatched.get(job) {
            record(&mut latencies, at.saturating_sub(*from));
        }
    }
    Measured::new("ticket to claim", latencies, begun.elapsed().max(Duration::from_secs(1)))
}

/// `2026-01-31T12:34:56.123456Z` as the time since midnight; a run does not go over it.
fn time_of_day(timestamp: &str) -> Duration {
    let time = timestamp.split('T').nth(1).and_then(|time| time.strip_suffix('Z')).expect("a time");
    let parts: Vec<f64> = time.split(':').map(|part| part.parse().expect("a number")).collect();
    Duration::from_secs_f64(parts[0] * 3600.0 + parts[1] * 60.0 + parts[2])
}

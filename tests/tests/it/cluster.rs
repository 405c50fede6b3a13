//! Apis, schedulers and executors as processes of their own, over a real record, broker and directory: what one of them leaves undone
//! another does, and the result is that of one process to the bit.

use std::path::Path;
use std::time::{Duration, Instant};

use reqwest::Method;
use serde_json::{Value, json};
use trainyard_tests::api::{self, number, text};
use trainyard_tests::redis::PASSWORD;
use trainyard_tests::{Api, Cluster, ClusterOptions, Redis, Role, Server, data, process};

use crate::rabbitmq::broker::Broker;

/// A guard against hanging.
const LIMIT: Duration = Duration::from_secs(240);
/// What an executor has to end in order.
const END_MAX: Duration = Duration::from_secs(25);
/// From an executor's death to the next run of its job.
const AGAIN_MAX: Duration = Duration::from_secs(75);
const WEIGHTS: &str = "adapter_model.safetensors";

fn request(file: &str, epochs: u32) -> Value {
    let mut request = api::request(file, epochs, 4);
    request["trainyard"]["adapter"]["dropout"] = json!(0.1);
    request["trainyard"]["checkpoint"] = json!({"every_steps": 40, "every_seconds": null});
    request
}

fn step_of(job: &Value) -> f64 {
    job.pointer("/trainyard/progress/step").and_then(Value::as_f64).unwrap_or(0.0)
}

async fn weights(api: &Api, id: &str) -> Vec<u8> {
    let job = api.end(id, LIMIT).await;
    assert_eq!(text(&job, "/status"), "succeeded", "{job:#}");
    api.artifact(&text(&job, "/fine_tuned_model"), WEIGHTS).await
}

/// What one process makes of the request.
async fn embedded(directory: &Path, lines: &str, epochs: u32) -> Vec<u8> {
    let server = Server::start(directory);
    let api = server.api();
    let file = api.file("train.jsonl", lines).await;
    let id = api.create(request(&file, epochs)).await;
    weights(&api, &id).await
}

#[tokio::test]
async fn whoever_dies_another_goes_on_and_no_bit_changes() {
    let (alone, together) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let lines = data::chat(80);
    let expected = embedded(alone.path(), &lines, 20).await;

    let broker = Broker::start();
    let redis = Redis::start(together.path());
    let mut cluster =
        Cluster::start(together.path(), ClusterOptions::new(redis.url(), broker.url()));
    assert_eq!(first_keys(&cluster).await, 1, "two apis that start at once make one key");
    let apis = [cluster.api(0), cluster.api(1)];
    let file = apis[0].file("train.jsonl", lines.clone()).await;

    // An executor is killed: its lease expires, and the other one goes on from the checkpoint.
    let id = apis[0].create(request(&file, 20)).await;
    apis[1].wait(&id, LIMIT, |job| step_of(job) >= 60.0).await;
    let victim = cluster.busy_executor().expect("one runs it");
    cluster.kill(Role::Executor, victim);
    assert!(weights(&apis[1], &id).await == expected, "the adapter differs after a kill");
    let messages = apis[0].messages(&id).await;
    assert!(messages.iter().any(|text| text.contains("The executor was lost")), "{messages:?}");
    let attempts = number(&apis[0].job(&id).await, "/trainyard/progress/attempts");
    assert_eq!(attempts, 2.0);

    // An api is killed: the executor that runs asks the other, and the run knows nothing of it.
    let id = apis[1].create(request(&file, 20)).await;
    apis[1].wait(&id, LIMIT, |job| step_of(job) >= 20.0).await;
    cluster.kill(Role::Api, 0);
    assert!(weights(&apis[1], &id).await == expected, "the adapter differs after a failover");
    let job = apis[1].job(&id).await;
    assert_eq!(number(&job, "/trainyard/progress/attempts"), 1.0, "{job:#}");

    // A scheduler is killed, too: the other one does all of the work.
    cluster.kill(Role::Scheduler, 0);
    cluster.start_again(Role::Api, 0);
    cluster.start_again(Role::Executor, victim);

    // An executor is asked to end: it gives the job back with all of its steps.
    let id = apis[0].create(request(&file, 20)).await;
    apis[0].wait(&id, LIMIT, |job| step_of(job) >= 60.0).await;
    let first = cluster.busy_executor().expect("one runs it");
    let begun = Instant::now();
    let (code, took) = cluster.stop(Role::Executor, first);
    assert_eq!(code, Some(0), "{}", cluster.log(Role::Executor, first));
    assert!(took < END_MAX, "it took {took:?}");
    assert!(weights(&apis[0], &id).await == expected, "the adapter differs after a release");
    println!("released in {took:?}, ended {:?} later", begun.elapsed() - took);
    assert_no_step_was_lost(&apis[0], &id).await;

    for role in [Role::Api, Role::Scheduler, Role::Executor] {
        for index in 0..2 {
            let log = cluster.log(role, index);
            let secrets = [PASSWORD, "0123456789abcdef0123456789abcdef", "tyl_"];
            let secrets = secrets.into_iter().chain(Broker::passwords());
            for secret in secrets {
                assert!(!log.contains(secret), "{role:?} {index} logs '{secret}'");
            }
            if cluster.runs(role, index) {
                let (code, _) = cluster.stop(role, index);
                assert_eq!(code, Some(0), "{role:?} {index}:\n{}", cluster.log(role, index));
            }
        }
    }
}

/// With the times that the programs have of themselves, as operators run them.
#[tokio::test]
async fn a_killed_executors_job_runs_again_within_75_seconds() {
    let directory = tempfile::tempdir().unwrap();
    let (broker, redis) = (Broker::start(), Redis::start(directory.path()));
    let options =
        ClusterOptions { lease_seconds: None, ..ClusterOptions::new(redis.url(), broker.url()) };
    let mut cluster = Cluster::start(directory.path(), options);
    let api = cluster.api(0);
    let file = api.file("train.jsonl", data::chat(2000)).await;
    // Longer than the test: nothing but the kill ends its first run.
    let id = api.create(request(&file, 50)).await;
    api.wait(&id, LIMIT, |job| step_of(job) >= 60.0).await;
    let begun = Instant::now();
    cluster.kill(Role::Executor, cluster.busy_executor().expect("one runs it"));
    let again = |job: &Value| {
        let attempts = number(job, "/trainyard/progress/attempts");
        text(job, "/status") == "running" && attempts == 2.0
    };
    api.wait(&id, LIMIT, again).await;
    let took = begun.elapsed();
    println!("a killed executor's job ran again after {:.1} s", took.as_secs_f64());
    assert!(took < AGAIN_MAX, "it took {took:?}");
    let path = format!("/v1/fine_tuning/jobs/{id}/cancel");
    let (status, job) = api.call(Method::POST, &path, None).await;
    assert_eq!(status, 200, "{job}");
}

async fn first_keys(cluster: &Cluster) -> usize {
    let api = cluster.api(0);
    let tenants = api.get("/v1/admin/tenants").await;
    let mut keys = 0;
    for tenant in tenants["data"].as_array().expect("a list") {
        let path = format!("/v1/admin/tenants/{}/keys", text(tenant, "/id"));
        keys += api.get(&path).await["data"].as_array().expect("a list").len();
    }
    keys
}

/// The run began again from the very step at which it had stopped, and that cost no attempt.
async fn assert_no_step_was_lost(api: &Api, id: &str) {
    let messages = api.messages(id).await;
    let released = messages.iter().position(|text| text.contains("gave the job back"));
    let (before, after) = messages.split_at(released.unwrap_or_else(|| panic!("{messages:?}")));
    let again = after.iter().find_map(|text| {
        text.strip_prefix("Fine-tuning job started again from step ")?.parse::<u64>().ok()
    });
    let step = |text: &String| {
        let number = text.strip_prefix("Step ")?;
        number.split(|c: char| !c.is_ascii_digit()).next()?.parse::<u64>().ok()
    };
    let last = before.iter().filter_map(step).max();
    assert!(last.is_some() && again >= last, "stopped at {last:?}, went on from {again:?}");
    let job = api.job(id).await;
    assert!(!messages.iter().any(|text| text.contains("was lost")), "{messages:?}");
    assert_eq!(number(&job, "/trainyard/progress/attempts"), 2.0, "{job:#}");
}

#[test]
fn what_a_mode_cannot_use_or_needs_is_named() {
    let directory = tempfile::tempdir().unwrap();
    data::file(directory.path(), "short", "0123456789\n");
    let shared = ["--store", "redis://127.0.0.1:1", "--queue", "amqp://u@127.0.0.1:1/%2f"];
    let cases: &[(&str, &[&str], &str)] = &[
        ("api", &[], "'store' is 'sqlite:trainyard-data/trainyard.db'"),
        ("scheduler", &["--store", "memory:"], "set it to redis://HOST"),
        ("scheduler", &shared[..2], "'queue' is 'memory:'"),
        ("executor", &[], "amqp://USER@HOST/VHOST"),
        ("executor", &["--store", "redis://h"], "unexpected argument '--store'"),
        ("scheduler", &["--listen", "127.0.0.1:0"], "unexpected argument '--listen'"),
    ];
    for (mode, flags, said) in cases {
        let out = process::trainyard(directory.path(), &[&[*mode][..], flags].concat());
        assert_eq!(out.code, 2, "{mode} {flags:?}: {}", out.stderr);
        assert!(out.stderr.contains(said), "{mode} {flags:?}: {}", out.stderr);
    }
    let api = [&["api"][..], &shared].concat();
    let out = process::trainyard(directory.path(), &api);
    assert!(out.stderr.contains("'executor_token_file' is not set"), "{}", out.stderr);
    let out = process::trainyard(
        directory.path(),
        &[&api[..], &["--executor-token-file", "short"]].concat(),
    );
    assert_eq!(out.code, 1, "{}", out.stderr);
    assert!(
        out.stderr.contains("this one has 10") && !out.stderr.contains("0123456789"),
        "{}",
        out.stderr
    );
    for mode in ["api", "scheduler", "executor"] {
        let help = process::trainyard(directory.path(), &[mode, "--help"]);
        assert!(help.stdout.contains("Examples:"), "{}", help.stdout);
        assert_eq!(help.stdout.contains("--store "), mode != "executor", "{}", help.stdout);
        assert_eq!(help.stdout.contains("--slots"), mode == "executor", "{}", help.stdout);
    }
}

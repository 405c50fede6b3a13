//! The whole server on a record in Redis: a job runs through, and both are killed on the way.

use std::time::Duration;

use serde_json::json;
use trainyard_tests::api::{number, text};
use trainyard_tests::redis::PASSWORD;
use trainyard_tests::{Redis, Server, api, data, process};

const LIMIT: Duration = Duration::from_secs(120);

#[tokio::test]
async fn a_job_runs_through_while_its_record_and_its_server_are_killed() {
    let directory = tempfile::tempdir().unwrap();
    let mut redis = Redis::start(directory.path());
    data::file(directory.path(), "password", format!("{PASSWORD}\n"));
    let url = redis.url();
    let flags = ["--store", &url, "--store-password-file", "password"];
    let mut server = Server::start_with(directory.path(), &flags);
    let api = server.api();
    let file = api.file("train.jsonl", data::chat(80)).await;
    let mut request = api::request(&file, 20, 4);
    request["trainyard"]["checkpoint"] = json!({"every_steps": 20, "every_seconds": null});
    request["metadata"] = json!({"team": "a"});
    let calm = api.create(request.clone()).await;
    let calm = api.end(&calm, LIMIT).await;
    assert_eq!(text(&calm, "/status"), "succeeded", "{calm:#}");
    let weights = "adapter_model.safetensors";
    let expected = api.artifact(&text(&calm, "/fine_tuned_model"), weights).await;

    let reached = |job: &serde_json::Value, step: u64| {
        job.pointer("/trainyard/progress/step").and_then(serde_json::Value::as_u64) >= Some(step)
    };
    let id = api.create(request).await;
    api.wait(&id, LIMIT, |job| reached(job, 60)).await;
    redis.kill_and_start_again();
    api.wait(&id, LIMIT, |job| reached(job, 150)).await;
    server.kill();
    redis.kill_and_start_again();
    let server = server.start_again();
    let api = server.api();
    let job = api.end(&id, LIMIT).await;
    assert_eq!(text(&job, "/status"), "succeeded", "{job:#}");
    // The server's end cost a run; the record's did not.
    assert_eq!(number(&job, "/trainyard/progress/attempts"), 2.0, "{job:#}");
    let actual = api.artifact(&text(&job, "/fine_tuned_model"), weights).await;
    assert!(expected == actual, "the adapter differs");

    let list = api.get("/v1/fine_tuning/jobs?metadata[team]=a").await;
    assert_eq!(list["data"].as_array().unwrap().len(), 2, "{list:#}");
    assert!(!directory.path().join("data/trainyard.db").exists(), "a second record");
    assert!(!server.log().contains(PASSWORD), "the log holds the password");
}

#[test]
fn a_redis_that_is_not_let_in_is_refused_without_its_password() {
    let directory = tempfile::tempdir().unwrap();
    let redis = Redis::start(directory.path());
    let url = redis.url().replace("redis://", "redis://:wrong-secret@");
    let serve = |more: &[&str]| {
        let mut args = vec!["serve", "--listen", "127.0.0.1:0", "--data-dir", "data"];
        args.extend(more);
        process::trainyard(directory.path(), &args)
    };
    let said = serve(&["--store", &url]);
    assert_eq!(said.code, 1, "{said:?}");
    assert!(said.stderr.contains("redis://:***@127.0.0.1"), "{said:?}");
    assert!(!said.stderr.contains("wrong-secret"), "{said:?}");
    let said = serve(&["--store", &redis.url(), "--store-password-file", "no-such-file"]);
    assert_eq!(said.code, 1, "{said:?}");
    assert!(said.stderr.contains("no-such-file"), "{said:?}");
}

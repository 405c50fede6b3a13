//! `kill -9` at half time, of the trainer and of the whole server: the job ends with the same bits.

use std::time::Duration;

use nix::sys::signal::Signal;
use serde_json::{Value, json};
use trainyard_tests::api::{self, number, text};
use trainyard_tests::{Api, Server, data, process};

const LIMIT: Duration = Duration::from_secs(90);

/// A job of 400 steps with a checkpoint every 20.
async fn create(api: &Api, file: &str, valid: &str) -> String {
    let mut request = api::request(file, 20, 4);
    request["validation_file"] = json!(valid);
    request["trainyard"]["adapter"]["dropout"] = json!(0.1);
    request["trainyard"]["checkpoint"] = json!({"every_steps": 20, "every_seconds": null});
    request["trainyard"]["evaluation"] = json!({"every_steps": 100});
    api.create(request).await
}

/// Waits until the job is past the middle of its run and has a checkpoint to go on from.
async fn half_way(api: &Api, id: &str) -> Value {
    let job = api
        .wait(id, LIMIT, |job| {
            text(job, "/status") == "running"
                && job.pointer("/trainyard/progress/step").and_then(Value::as_u64) >= Some(150)
        })
        .await;
    let (step, total) =
        (number(&job, "/trainyard/progress/step"), number(&job, "/trainyard/progress/total_steps"));
    assert!(step < total * 0.9, "too fast to be hit half-way: {job:#}");
    job
}

/// The adapter's weights and the result file of a job that has to have succeeded.
async fn outcome(api: &Api, id: &str) -> (Vec<u8>, String) {
    let job = api.end(id, LIMIT).await;
    assert_eq!(text(&job, "/status"), "succeeded", "{job:#}");
    let weights = api.artifact(&text(&job, "/fine_tuned_model"), "adapter_model.safetensors").await;
    let csv = api.bytes(&format!("/v1/files/{}/content", text(&job, "/result_files/0"))).await;
    (weights, String::from_utf8(csv).expect("a CSV in UTF-8"))
}

#[tokio::test]
async fn a_killed_trainer_and_a_killed_server_change_no_bit() {
    let directory = tempfile::tempdir().expect("a directory");
    let mut server = Server::start(directory.path());
    let api = server.api();
    let file = api.file("train.jsonl", data::chat(80)).await;
    let valid = api.file("valid.jsonl", data::chat(16)).await;

    let undisturbed = create(&api, &file, &valid).await;
    let expected = outcome(&api, &undisturbed).await;

    let hit = create(&api, &file, &valid).await;
    half_way(&api, &hit).await;
    let trainers = process::children(server.pid());
    assert_eq!(trainers.len(), 1, "one slot, one trainer");
    process::signal(trainers[0], Signal::SIGKILL);
    let survived = outcome(&api, &hit).await;
    let attempts = number(&api.job(&hit).await, "/trainyard/progress/attempts");
    assert!(attempts >= 2.0, "the job was run once: nothing was killed");
    same(&expected, &survived, "the trainer was killed");

    let hit = create(&api, &file, &valid).await;
    half_way(&api, &hit).await;
    server.kill();
    let server = server.start_again();
    let api = server.api();
    let survived = outcome(&api, &hit).await;
    let attempts = number(&api.job(&hit).await, "/trainyard/progress/attempts");
    assert!(attempts >= 2.0, "the job was run once: nothing was killed");
    same(&expected, &survived, "the server was killed");
}

/// The weights agree in every bit; the result file in every figure (it holds no times).
fn same(expected: &(Vec<u8>, String), actual: &(Vec<u8>, String), after: &str) {
    assert!(!expected.0.is_empty());
    assert!(expected.0 == actual.0, "the adapter differs after {after}");
    assert_eq!(expected.1, actual.1, "the result file differs after {after}");
}

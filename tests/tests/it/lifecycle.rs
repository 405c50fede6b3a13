//! Starting, stopping, pausing: the server as a process among others.

use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};
use trainyard_tests::api::{self, number, text};
use trainyard_tests::{Server, data, process};

const LIMIT: Duration = Duration::from_secs(60);
const WEIGHTS: &str = "adapter_model.safetensors";

#[tokio::test]
async fn an_orderly_end_keeps_the_work_and_a_start_goes_on() {
    let directory = tempfile::tempdir().expect("a directory");
    let mut server = Server::start(directory.path());
    let api = server.api();
    let file = api.file("train.jsonl", data::chat(80)).await;
    let mut request = api::request(&file, 20, 4);
    request["trainyard"]["checkpoint"] = json!({"every_steps": null, "every_seconds": 3600});
    request["trainyard"]["adapter"]["dropout"] = json!(0.1);
    let calm = api.create(request.clone()).await;
    let calm = api.end(&calm, LIMIT).await;
    let expected = api.artifact(&text(&calm, "/fine_tuned_model"), WEIGHTS).await;
    let id = api.create(request).await;
    let reached = |job: &Value| job.pointer("/trainyard/progress/step").and_then(Value::as_u64);
    api.wait(&id, LIMIT, |job| reached(job) >= Some(50)).await;

    let (code, took) = server.terminate();
    assert_eq!(code, Some(0), "{}", server.log());
    assert!(took < Duration::from_secs(30), "{took:?}");
    assert!(!server.log().contains(server.key()), "the log holds the API key");

    let server = server.start_again();
    let api = server.api();
    let job = api.wait(&id, LIMIT, |job| text(job, "/status") == "running").await;
    assert!(reached(&job) >= Some(50), "the work before the end is lost: {job:#}");
    let job = api.end(&id, LIMIT).await;
    assert_eq!(text(&job, "/status"), "succeeded", "{job:#}");
    assert_eq!(number(&job, "/trainyard/result/steps"), 400.0);
    let weights = api.artifact(&text(&job, "/fine_tuned_model"), WEIGHTS).await;
    assert!(expected == weights, "the adapter differs after an orderly end");
    // Two runs, and neither cost an attempt: nothing is told to have failed or been lost.
    assert_eq!(number(&job, "/trainyard/progress/attempts"), 2.0);
    let told = api.messages(&id).await;
    assert!(told.iter().any(|text| text.contains("gave the job back")), "{told:?}");
    assert!(!told.iter().any(|text| text.contains("failed") || text.contains("lost")), "{told:?}");
}

#[tokio::test]
async fn a_run_makes_room_for_an_urgent_job_and_no_bit_changes() {
    let directory = tempfile::tempdir().expect("a directory");
    let server = Server::start_with(directory.path(), &["--preemption-min-run-seconds", "1"]);
    let api = server.api();
    let file = api.file("train.jsonl", data::chat(80)).await;
    let request = |epochs, priority| {
        let mut request = api::request(&file, epochs, 4);
        request["trainyard"]["adapter"]["dropout"] = json!(0.1);
        request["trainyard"]["resources"] = json!({"priority": priority});
        request
    };
    let weights = async |job: &Value| {
        assert_eq!(text(job, "/status"), "succeeded", "{job:#}");
        api.artifact(&text(job, "/fine_tuned_model"), WEIGHTS).await
    };
    let alone = api.create(request(25, "low")).await;
    let expected = weights(&api.end(&alone, LIMIT).await).await;

    let long = api.create(request(25, "low")).await;
    api.wait(&long, LIMIT, |job| number(job, "/trainyard/progress/step") >= 20.0).await;
    let urgent = api.create(request(1, "high")).await;
    let urgent = api.end(&urgent, LIMIT).await;
    weights(&urgent).await;
    let long = api.end(&long, LIMIT).await;
    assert!(weights(&long).await == expected, "the adapter differs after it made room");
    let ended = |job: &Value| number(job, "/finished_at");
    assert!(ended(&urgent) <= ended(&long), "{urgent:#} {long:#}");
    assert_eq!(number(&long, "/trainyard/progress/attempts"), 2.0);
    let told = api.messages(&text(&long, "/id")).await;
    let makes_room = told.iter().position(|text| text.contains("makes room for another one"));
    let again = told.iter().position(|text| text.contains("started again from step"));
    assert!(makes_room.is_some() && makes_room < again, "{told:?}");
}

#[tokio::test]
async fn a_paused_job_gives_its_slot_away_and_goes_on_later() {
    let directory = tempfile::tempdir().expect("a directory");
    let server = Server::start(directory.path());
    let api = server.api();
    let file = api.file("train.jsonl", data::chat(80)).await;
    let id = api.create(api::request(&file, 40, 4)).await;
    api.wait(&id, LIMIT, |job| number(job, "/trainyard/progress/step") >= 20.0).await;
    let steer = |what: &str| format!("/v1/fine_tuning/jobs/{id}/{what}");
    let (status, body) = api.call(Method::POST, &steer("pause"), None).await;
    assert_eq!(status, 200, "{body}");
    let paused = api.wait(&id, LIMIT, |job| text(job, "/status") == "paused").await;
    let step = number(&paused, "/trainyard/progress/step");

    let other = api.create(api::request(&file, 1, 4)).await;
    let other = api.end(&other, LIMIT).await;
    assert_eq!(text(&other, "/status"), "succeeded", "{other:#}");

    let (status, body) = api.call(Method::POST, &steer("resume"), None).await;
    assert_eq!(status, 200, "{body}");
    let running = api.wait(&id, LIMIT, |job| text(job, "/status") == "running").await;
    assert!(number(&running, "/trainyard/progress/step") >= step, "{running:#}");
    let job = api.end(&id, LIMIT).await;
    assert_eq!(text(&job, "/status"), "succeeded", "{job:#}");
}

#[test]
fn a_second_server_on_the_same_data_is_refused() {
    let directory = tempfile::tempdir().expect("a directory");
    let server = Server::start(directory.path());
    let said = process::trainyard(
        directory.path(),
        &["serve", "--listen", "127.0.0.1:0", "--data-dir", "data"],
    );
    assert_eq!(said.code, 1, "{said:?}");
    assert!(said.stderr.contains(&format!("in use by process {}", server.pid())), "{said:?}");
}

#[test]
fn data_of_a_newer_version_is_refused_and_left_as_it_is() {
    let directory = tempfile::tempdir().expect("a directory");
    let mut server = Server::start(directory.path());
    server.terminate();
    let serve = || {
        let args = ["serve", "--listen", "127.0.0.1:0", "--data-dir", "data"];
        process::trainyard(directory.path(), &args)
    };

    let layout = directory.path().join("data/objects/.version");
    assert_eq!(api::read(&layout), b"1");
    std::fs::write(&layout, "7").expect("written");
    let said = serve();
    assert_eq!(said.code, 1, "{said:?}");
    assert!(said.stderr.contains("have layout version 7, this program knows 1"), "{said:?}");
    std::fs::write(&layout, "1").expect("written");

    // user_version: the big-endian number at byte 60 of the file's header (sqlite.org/fileformat2.html).
    let database = directory.path().join("data/trainyard.db");
    let mut bytes = api::read(&database);
    bytes[60..64].copy_from_slice(&900_u32.to_be_bytes());
    std::fs::write(&database, &bytes).expect("written");
    let said = serve();
    assert_eq!(said.code, 1, "{said:?}");
    assert!(
        said.stderr.contains("the database has version 900, this program knows up to"),
        "{said:?}"
    );
    assert_eq!(&api::read(&database)[60..64], &900_u32.to_be_bytes(), "the file was changed");
}

#[tokio::test]
async fn a_trainer_that_is_held_from_outside_is_ended_and_changes_no_bit() {
    let directory = tempfile::tempdir().expect("a directory");
    let server = Server::start_with(directory.path(), &["--stall-seconds", "2"]);
    let api = server.api();
    let file = api.file("train.jsonl", data::chat(80)).await;
    let calm = api.create(api::request(&file, 20, 4)).await;
    let calm = api.end(&calm, LIMIT).await;
    let expected = api.artifact(&text(&calm, "/fine_tuned_model"), WEIGHTS).await;

    let id = api.create(api::request(&file, 20, 4)).await;
    api.wait(&id, LIMIT, |job| number(job, "/trainyard/progress/step") >= 50.0).await;
    let trainers = process::children(server.pid());
    assert_eq!(trainers.len(), 1);
    process::signal(trainers[0], nix::sys::signal::Signal::SIGSTOP);
    let job = api.end(&id, LIMIT).await;
    assert_eq!(text(&job, "/status"), "succeeded", "{job:#}");
    assert_eq!(number(&job, "/trainyard/progress/attempts"), 2.0);
    let told = api.messages(&id).await;
    let stuck = told.iter().find(|text| text.contains("made no progress after step"));
    assert!(stuck.is_some_and(|text| text.ends_with("the limit is 2 s")), "{told:?}");
    let weights = api.artifact(&text(&job, "/fine_tuned_model"), WEIGHTS).await;
    assert!(expected == weights, "the adapter differs");
}

#[test]
fn backends_of_other_versions_and_unknown_settings_are_refused_by_name() {
    let directory = tempfile::tempdir().expect("a directory");
    for (flag, url) in [("--store", "redis://"), ("--queue", "amqp://h:port")] {
        let said = process::trainyard(directory.path(), &["serve", flag, url]);
        assert_eq!(said.code, 1, "{said:?}");
        let scheme = url.split(':').next().expect("a scheme");
        assert!(said.stderr.contains(scheme), "{said:?}");
    }
    data::file(directory.path(), "trainyard.toml", "[training]\nslotz = 2\n");
    let said = process::trainyard(directory.path(), &["serve"]);
    assert_eq!(said.code, 2, "{said:?}");
    assert!(said.stderr.contains("trainyard.toml"), "{said:?}");
    assert!(said.stderr.contains("slotz"), "{said:?}");
}

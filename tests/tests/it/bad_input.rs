//! What cannot be trained is refused with the place at fault, as early as it can be known.

use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};
use trainyard_tests::api::{self, text};
use trainyard_tests::{Api, Server, data};

const LIMIT: Duration = Duration::from_secs(30);

/// A job on `content` that has to fail while its files are read; gives the job's error.
async fn failure(api: &Api, content: impl Into<Vec<u8>>) -> Value {
    let file = api.file("train.jsonl", content).await;
    let id = api.create(api::request(&file, 1, 4)).await;
    let job = api.end(&id, LIMIT).await;
    assert_eq!(text(&job, "/status"), "failed", "{job:#}");
    assert_eq!(job.pointer("/trainyard/progress/step"), Some(&json!(0)), "{job:#}");
    assert_eq!(job["fine_tuned_model"], Value::Null);
    job["error"].clone()
}

#[tokio::test]
async fn a_broken_file_fails_the_job_with_file_line_and_field() {
    let directory = tempfile::tempdir().expect("a directory");
    let server = Server::start(directory.path());
    let api = server.api();
    let mut lines: Vec<String> = data::chat(12).lines().map(str::to_string).collect();
    lines[6] =
        r#"{"messages":[{"role":"user","content":"a"},{"role":"assistant","content":7}]}"#.into();
    let error = failure(&api, lines.join("\n")).await;
    let said = format!("{} {}", text(&error, "/message"), text(&error, "/param"));
    assert!(said.contains("train.jsonl"), "{error}");
    assert!(said.contains("line 7"), "{error}");
    assert!(said.contains("content"), "{error}");

    lines[6] = "{\"messages\": [".into();
    let error = failure(&api, lines.join("\n")).await;
    assert!(text(&error, "/message").contains("line 7"), "{error}");

    let mut latin1 = data::chat(3).into_bytes();
    latin1.extend(b"{\"text\": \"caf\xe9\"}\n");
    let error = failure(&api, latin1).await;
    let message = text(&error, "/message");
    assert!(message.contains("line 4"), "{error}");
    assert!(message.to_lowercase().contains("utf-8"), "{error}");
}

#[tokio::test]
async fn an_empty_file_cannot_become_a_job() {
    let directory = tempfile::tempdir().expect("a directory");
    let server = Server::start(directory.path());
    let api = server.api();
    for content in ["", "\n\n  \n"] {
        // Refused at the upload, at the job, or while the file is read: each is early enough, none may train.
        let (status, body) = api.upload("empty.jsonl", content).await;
        if status != 200 {
            assert_eq!(status, 400, "{body}");
            continue;
        }
        let request = api::request(&text(&body, "/id"), 1, 4);
        let (status, body) = api.call(Method::POST, "/v1/fine_tuning/jobs", Some(request)).await;
        if status != 200 {
            assert_eq!((status, text(&body, "/error/param").as_str()), (400, "training_file"));
            continue;
        }
        let job = api.end(&text(&body, "/id"), LIMIT).await;
        assert_eq!(text(&job, "/status"), "failed", "{job:#}");
    }
}

#[tokio::test]
async fn a_request_is_refused_with_the_field_at_fault() {
    let directory = tempfile::tempdir().expect("a directory");
    let server = Server::start(directory.path());
    let api = server.api();
    let file = api.file("train.jsonl", data::chat(8)).await;
    for (pointer, value, code, param) in [
        ("/epochs", json!(3), "unknown_parameter", "epochs"),
        ("/trainyard/adapter/rnak", json!(3), "unknown_parameter", "trainyard.adapter.rnak"),
        (
            "/trainyard/privacy",
            json!({"epsilon": 8}),
            "unknown_parameter",
            "trainyard.privacy.epsilon",
        ),
        (
            "/trainyard/continual",
            json!({"method": "ewc"}),
            "unknown_parameter",
            "trainyard.continual.method",
        ),
        ("/seed", json!(-1), "invalid_value", "seed"),
        ("/model", json!("no-such-model"), "model_not_found", "model"),
        ("/training_file", json!("file-000000000000000000000000"), "invalid_file", "training_file"),
    ] {
        let mut request = api::request(&file, 1, 4);
        let (parent, key) = pointer.rsplit_once('/').expect("a pointer");
        request.pointer_mut(parent).expect("an object")[key] = value;
        let (status, body) = api.call(Method::POST, "/v1/fine_tuning/jobs", Some(request)).await;
        assert!((400..500).contains(&status), "{pointer}: {status} {body}");
        assert_eq!(text(&body, "/error/code"), code, "{body}");
        assert_eq!(text(&body, "/error/param"), param, "{body}");
    }
    let page = api.get("/v1/fine_tuning/jobs").await;
    assert_eq!(page["data"], json!([]), "a refused request left a job");
}

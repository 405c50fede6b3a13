//! The server beside its own document: requests made from it, good and bad, get answers that it describes, and never a 5xx.

use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};
use trainyard_tests::api::{request, text};
use trainyard_tests::{Server, built, data, process};

/// For a job that takes a second or two.
const ENDS: Duration = Duration::from_secs(120);

/// What requests can be about: ids by the name of their path parameter.
async fn things(server: &Server) -> Value {
    let api = server.api();
    let post = async |path: &str, body: Value| {
        let (status, body) = api.call(Method::POST, path, Some(body)).await;
        assert_eq!(status, 200, "{path}: {body}");
        text(&body, "/id")
    };
    let file = api.file("train.jsonl", data::chat(16)).await;
    let done = api.create(request(&file, 1, 8)).await;
    let model = text(&api.end(&done, ENDS).await, "/fine_tuned_model");
    let long = api.file("long.jsonl", data::chat(400)).await;
    let running = api.create(request(&long, 50, 1)).await;
    let tenant = post("/v1/admin/tenants", json!({"name": "fuzzed"})).await;
    let key = post(&format!("/v1/admin/tenants/{tenant}/keys"), json!({"name": "fuzzed"})).await;
    let hook = post("/v1/webhooks", json!({"url": "https://hooks.example.com/fuzzed"})).await;
    let mut uploads = Vec::new();
    for _ in 0..4 {
        let new = json!({"filename": "u.jsonl", "purpose": "fine-tune", "bytes": 10, "mime_type": "text/jsonl"});
        uploads.push(post("/v1/uploads", new).await);
    }
    json!({
        "file_id": [file], "fine_tuning_job_id": [done, running], "model": [model, data::MODEL], "name": ["adapter_config.json"],
        "tenant_id": [tenant], "key_id": [key], "webhook_id": [hook], "upload_id": uploads,
    })
}

/// The same for every run, so that a change is judged by its own doing; `make test-schema` sets others.
fn seed() -> String {
    let given = std::env::var_os("SCHEMA_SEED");
    given.map_or_else(|| "1".to_string(), |seed| seed.to_str().expect("a number").to_string())
}

#[tokio::test]
async fn the_server_keeps_to_its_document() {
    let directory = tempfile::tempdir().expect("a directory");
    let server = Server::start_with(directory.path(), &["--bad-credentials-per-minute", "100000"]);
    let things = things(&server).await;
    // The run's own key, and the tenants that were there before: a run shall not lock itself out.
    let own = server.key().split('_').nth(2).expect("the key's public part").to_string();
    let tenants = server.api().get("/v1/admin/tenants").await;
    let tenants =
        tenants["data"].as_array().expect("a list").iter().map(|tenant| text(tenant, "/id"));
    let protected: Vec<String> =
        tenants.filter(|id| *id != text(&things, "/tenant_id/0")).chain([own]).collect();

    let seed = seed();
    println!("SCHEMA_SEED={seed}");
    let mut command = process::clean(&built::python());
    command.args(["-m", "schemathesis.cli", "run", &format!("{}/openapi.json", server.url())]);
    command.args(["--header", &format!("Authorization: Bearer {}", server.key())]);
    command.args(["--seed", &seed, "--max-examples", "8", "--phases", "coverage,fuzzing"]);
    // Not asked: whether a request that the document allows is taken, which depends on what is there; and whether one that it does not
    // allow is refused, as `int64` is narrower than the unsigned numbers that are taken.
    let not_asked = "positive_data_acceptance,negative_data_rejection";
    command.args(["--checks", "all", "--exclude-checks", not_asked]);
    command.args(["--request-timeout", "60", "--no-color", "--max-failures", "20"]);
    command.current_dir(directory.path());
    command.env("PYTHONPATH", built::tests_dir().join("python"));
    command.env("SCHEMATHESIS_HOOKS", "schema_hooks").env("PYTHONDONTWRITEBYTECODE", "1");
    command.env("KNOWN_IDS", things.to_string()).env("PROTECTED_IDS", json!(protected).to_string());
    command.env("NO_PROXY", "127.0.0.1");
    let said = process::Said::from(command.output().expect("python runs"));
    assert_eq!(said.code, 0, "SCHEMA_SEED={seed}\n{}\n{}", said.stdout, said.stderr);
    // It was a run at all, and its key outlived it.
    assert!(said.stdout.contains("passed"), "{}", said.stdout);
    println!("{}", said.stdout);
    server.api().get("/v1/admin/tenants").await;
}

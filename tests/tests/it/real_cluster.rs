//! A real model on real infrastructure: SmolLM2 through RabbitMQ, Redis and a Ceph bucket, with an executor killed half-way, ends with the
//! bits of one process alone.

use std::fs;
use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};
use trainyard_tests::api::{number, text};
use trainyard_tests::rgw::{ACCESS_KEY_ID, BUCKET, Rgw, SECRET_ACCESS_KEY};
use trainyard_tests::{Api, Cluster, ClusterOptions, Redis, Role, Server, built, data, process};

use crate::rabbitmq::broker::Broker;

/// A guard against hanging: 16 steps of a model with 135 million parameters on a part of a core.
const LIMIT: Duration = Duration::from_secs(420);
const NAME: &str = "smollm2-135m-instruct";
const WEIGHTS: &str = "adapter_model.safetensors";

/// Puts the model into a directory of models.
fn import(models: &Path) {
    let source = built::tests_dir().join("../.cache/models/SmolLM2-135M-Instruct.Q4_1.gguf");
    assert!(source.is_file(), "'{}' is missing: run `make demo-assets`", source.display());
    fs::create_dir_all(models).expect("a directory");
    let source = source.display().to_string();
    let directory = models.display().to_string();
    let args = ["models", "import", &source, "--name", NAME, "--models-dir", &directory];
    let said = process::trainyard(models, &args);
    assert_eq!(said.code, 0, "{}", said.stderr);
}

/// Sixteen programming problems with their solutions.
fn lines() -> String {
    let path = built::tests_dir().join("../.cache/data/human-eval.train.jsonl");
    let text = fs::read_to_string(path).expect("run `make demo-assets`");
    text.lines().take(16).map(|line| format!("{line}\n")).collect()
}

async fn create(api: &Api) -> String {
    let file = api.file("train.jsonl", lines()).await;
    let request = json!({
        "model": NAME, "training_file": file, "seed": 7,
        "method": {"type": "supervised", "supervised": {"hyperparameters": {"n_epochs": 2, "batch_size": 2}}},
        "trainyard": {
            "adapter": {"dropout": 0.1}, "sequence": {"max_length": 256},
            "checkpoint": {"every_steps": 2, "every_seconds": null},
        },
    });
    api.create(request).await
}

async fn weights(api: &Api, id: &str) -> Vec<u8> {
    let job = api.end(id, LIMIT).await;
    assert_eq!(text(&job, "/status"), "succeeded", "{job:#}");
    api.artifact(&text(&job, "/fine_tuned_model"), WEIGHTS).await
}

#[tokio::test]
async fn a_real_model_survives_its_executor_to_the_bit() {
    let Some(rgw) = Rgw::start() else { return };
    let (alone, together) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    import(&alone.path().join("data/models"));
    let expected = {
        let server = Server::start(alone.path());
        let api = server.api();
        let id = create(&api).await;
        weights(&api, &id).await
    };

    let (broker, redis) = (Broker::start(), Redis::start(together.path()));
    let models = together.path().join("models");
    fs::create_dir(&models).unwrap();
    fs::rename(alone.path().join("data/models").join(NAME), models.join(NAME)).unwrap();
    data::file(together.path(), "s3-secret", format!("{SECRET_ACCESS_KEY}\n"));
    let mut options = ClusterOptions::new(redis.url(), broker.url());
    options.objects = Some(format!("s3://{BUCKET}/real"));
    // Reading half a gigabyte of weights on busy cores takes a while.
    options.lease_seconds = Some(16);
    for role in [Role::Api, Role::Scheduler, Role::Executor] {
        let endpoint = rgw.endpoint.as_str();
        let keys =
            ["--s3-access-key-id", ACCESS_KEY_ID, "--s3-secret-access-key-file", "s3-secret"];
        options = options.with(role, &["--s3-endpoint", endpoint]).with(role, &keys);
    }
    let mut cluster = Cluster::start(together.path(), options);
    let api = cluster.api(0);
    let id = create(&api).await;
    let halfway =
        |job: &Value| job.pointer("/trainyard/progress/step").and_then(Value::as_u64) >= Some(7);
    api.wait(&id, LIMIT, halfway).await;
    let victim = cluster.busy_executor().expect("one runs it");
    cluster.kill(Role::Executor, victim);
    assert!(weights(&api, &id).await == expected, "the adapter differs");
    let job = api.job(&id).await;
    assert_eq!(number(&job, "/trainyard/progress/attempts"), 2.0, "{job:#}");
    let messages = api.messages(&id).await;
    let again = messages.iter().find(|text| text.contains("started again from step"));
    println!("{} bytes of weights, the same after: {again:?}", expected.len());
    assert!(again.is_some(), "{messages:?}");
}

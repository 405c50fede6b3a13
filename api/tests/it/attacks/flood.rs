//! Many at once, and numbers that want too much.

use std::time::{Duration, Instant};

use futures::stream::{self, StreamExt};
use reqwest::Method;
use serde_json::json;

use crate::server::{Answer, Server};

#[actix_web::test]
async fn a_flood_is_answered_and_leaves_the_server_well() {
    let server = Server::start().await;
    let id = server.job().await;
    let begun = Instant::now();
    let cancel = format!("/v1/fine_tuning/jobs/{id}/cancel");
    let (mut done, mut refused) = (0, 0);
    let mut answers = stream::iter(0..1_000)
        .map(|_| server.request(Method::POST, &cancel).send())
        .buffer_unordered(64);
    while let Some(answer) = answers.next().await {
        match answer.unwrap().status().as_u16() {
            200 => done += 1,
            409 | 429 => refused += 1,
            other => panic!("{other}"),
        }
    }
    assert_eq!((done, refused), (1, 999), "one cancel is the first");
    assert!(begun.elapsed() < Duration::from_secs(60));
    assert_eq!(server.get("/v1/models").await.status, 200);
}

#[actix_web::test]
async fn hyperparameters_without_measure() {
    let server = Server::start().await;
    let file = server.upload("{\"text\": \"a\"}\n").await;
    let send = async |text: String| {
        let body = format!("{{\"model\": \"tiny\", \"training_file\": \"{file}\", {text}}}");
        let request = server.request(Method::POST, "/v1/fine_tuning/jobs");
        let request = request.header("content-type", "application/json").body(body);
        Answer::of(request.send().await.unwrap()).await
    };
    let h = |key: &str, value: &str| {
        format!(
            "\"method\": {{\"type\": \"supervised\", \"supervised\": {{\"hyperparameters\": {{\"{key}\": {value}}}}}}}"
        )
    };
    let ours = |group: &str, key: &str, value: &str| {
        format!("\"trainyard\": {{\"{group}\": {{\"{key}\": {value}}}}}")
    };
    let numbers = [
        "-1",
        "1e308",
        "-0.5",
        "9223372036854775808",
        "18446744073709551616",
        "1e400",
        "NaN",
        "Infinity",
        "\"NaN\"",
        "[]",
        "{}",
        "true",
        "1e-400",
    ];
    for number in numbers {
        for key in ["batch_size", "n_epochs", "learning_rate_multiplier"] {
            if (key, number) == ("learning_rate_multiplier", "1e308") || number == "1e-400" {
                continue;
            }
            let answer = send(h(key, number)).await;
            assert_eq!(answer.status, 400, "{key} {number}: {}", answer.body);
        }
        for (group, key) in [
            ("adapter", "rank"),
            ("sequence", "max_length"),
            ("batching", "micro_batch_size"),
            ("checkpoint", "every_steps"),
            ("checkpoint", "keep"),
            ("resources", "max_runtime_seconds"),
        ] {
            let answer = send(ours(group, key, number)).await;
            assert_eq!(answer.status, 400, "{group}.{key} {number}: {}", answer.body);
        }
    }
    for (group, key, value) in [
        ("adapter", "rank", "0"),
        ("adapter", "dropout", "1.0"),
        ("adapter", "dropout", "-0.1"),
        ("adapter", "alpha", "1e400"),
        ("optimizer", "learning_rate", "-1e-4"),
        ("optimizer", "learning_rate", "1e308"),
        ("optimizer", "eps", "-1"),
        ("optimizer", "weight_decay", "-1"),
        ("optimizer", "betas", "[2, 3]"),
        ("schedule", "warmup_ratio", "1.5"),
        ("resources", "devices", "0"),
        ("sequence", "max_length", "0"),
        ("checkpoint", "keep", "0"),
    ] {
        let answer = send(ours(group, key, value)).await;
        assert_eq!(answer.status, 400, "{group}.{key} {value}: {}", answer.body);
        let text = answer.body["error"]["message"].as_str().unwrap_or_default();
        assert!(!text.is_empty(), "{}", answer.body);
    }
    for seed in ["-1", "18446744073709551616", "1e308", "1.5", "\"7\""] {
        assert_eq!(send(format!("\"seed\": {seed}")).await.status, 400, "{seed}");
    }
    assert_eq!(server.get("/v1/fine_tuning/jobs").await.body["data"], json!([]));
}

//! Every name that there has to be, with the values of a job that ran.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use futures::StreamExt;
use serde_json::json;
use trainyard_tests::api::{self, number, text};
use trainyard_tests::{Server, built, data};

use super::scrape::{Scrape, address};

/// A guard against hanging.
const LIMIT: Duration = Duration::from_secs(120);

/// Who watches Trainyard relies on these.
const NAMES: [&str; 27] = [
    "trainyard_accelerator_memory_used_bytes",
    "trainyard_accelerator_seconds_total",
    "trainyard_build_info",
    "trainyard_checkpoint_duration_seconds",
    "trainyard_checkpoint_last_success_timestamp_seconds",
    "trainyard_event_streams",
    "trainyard_executor_slots",
    "trainyard_fenced_writes_total",
    "trainyard_forgetting_gates_tripped_total",
    "trainyard_http_request_duration_seconds",
    "trainyard_http_requests_total",
    "trainyard_job_duration_seconds",
    "trainyard_job_queue_wait_seconds",
    "trainyard_jobs",
    "trainyard_lease_expirations_total",
    "trainyard_outbox_entries",
    "trainyard_outbox_oldest_timestamp_seconds",
    "trainyard_privacy_epsilon_charged_total",
    "trainyard_publish_confirms_total",
    "trainyard_rate_limited_total",
    "trainyard_redispatch_total",
    "trainyard_store_durable",
    "trainyard_tickets_stale_total",
    "trainyard_trace_spans_total",
    "trainyard_train_step_duration_seconds",
    "trainyard_train_steps_total",
    "trainyard_train_tokens_total",
];

/// Names of metrics in the rules and dashboards of the chart. Those that rules record have a ':' at one side.
fn asked_for(directory: &Path, names: &mut BTreeSet<String>) {
    for entry in std::fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            asked_for(&path, names);
            continue;
        }
        let text = std::fs::read_to_string(&path).unwrap();
        for (at, _) in text.match_indices("trainyard_") {
            let before = text[..at].chars().next_back();
            let in_a_word = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == ':';
            let rest = &text[at..];
            let end = rest.find(|c: char| !(c.is_ascii_lowercase() || c == '_'));
            let (name, after) = rest.split_at(end.unwrap_or(rest.len()));
            if !before.is_some_and(in_a_word) && !after.starts_with(':') {
                names.insert(name.to_string());
            }
        }
    }
}

#[tokio::test]
async fn every_metric_that_anybody_asks_for_is_there_and_tells_the_truth() {
    let directory = tempfile::tempdir().unwrap();
    let server = Server::start_with(directory.path(), &["--metrics-listen", "127.0.0.1:0"]);
    let at = address(&server.log());
    let first = Scrape::of(&at).await;
    let mut names = NAMES.to_vec();
    names.sort_unstable();
    let there = first.names();
    for name in &names {
        assert!(there.contains(name), "{name} is not there before anything happened");
    }
    first.lint();

    let api = server.api();
    let file = api.file("train.jsonl", data::chat(40)).await;
    let mut request = api::request(&file, 2, 4);
    request["trainyard"]["checkpoint"] = json!({"every_steps": 5, "every_seconds": null});
    let id = api.create(request).await;
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    let events = format!("{}/v1/fine_tuning/jobs/{id}/events?stream=true", server.url());
    let stream = http.get(events).bearer_auth(server.key()).send().await.unwrap();
    assert_eq!(Scrape::of(&at).await.value("trainyard_event_streams"), 1.0);
    let told: Vec<_> = stream.bytes_stream().collect().await;
    assert!(told.iter().all(Result::is_ok));
    let job = api.end(&id, LIMIT).await;
    assert_eq!(text(&job, "/status"), "succeeded", "{job:#}");
    // Longer than the time between two looks at the record.
    tokio::time::sleep(Duration::from_secs(3)).await;

    let scrape = Scrape::of(&at).await;
    scrape.lint();
    let steps = number(&job, "/trainyard/result/steps");
    let ran = [
        ("trainyard_train_steps_total{pool=\"default\"}", steps),
        ("trainyard_train_step_duration_seconds_count{pool=\"default\"}", steps),
        ("trainyard_train_tokens_total{pool=\"default\"}", number(&job, "/trained_tokens")),
        ("trainyard_job_duration_seconds_count{outcome=\"succeeded\"}", 1.0),
        ("trainyard_job_queue_wait_seconds_count{pool=\"default\"}", 1.0),
        ("trainyard_publish_confirms_total{result=\"ok\"}", 1.0),
        ("trainyard_executor_slots{pool=\"default\",state=\"free\"}", 1.0),
        ("trainyard_executor_slots{pool=\"default\",state=\"busy\"}", 0.0),
        ("trainyard_store_durable", 1.0),
    ];
    for (series, expected) in ran {
        assert_eq!(scrape.value(series), expected, "{series}");
    }
    let none = [
        "trainyard_jobs",
        "trainyard_event_streams",
        "trainyard_outbox_entries",
        "trainyard_outbox_oldest_timestamp_seconds",
        "trainyard_fenced_writes_total",
        "trainyard_lease_expirations_total",
        "trainyard_redispatch_total",
        "trainyard_tickets_stale_total",
        "trainyard_trace_spans_total",
        "trainyard_rate_limited_total",
        "trainyard_privacy_epsilon_charged_total",
        "trainyard_forgetting_gates_tripped_total",
    ];
    for name in none {
        assert_eq!(scrape.sum(name), 0.0, "{name}");
    }
    for name in ["accelerator_seconds_total", "checkpoint_duration_seconds_count"] {
        assert!(scrape.sum(&format!("trainyard_{name}")) > 0.0, "{name}\n{}", scrape.text);
    }
    let get = "trainyard_http_requests_total{code=\"200\",method=\"GET\",route=\"/v1/fine_tuning/jobs/{fine_tuning_job_id}\"}";
    assert!(scrape.value(get) >= 1.0);
    assert!(!scrape.text.contains(&id) && !scrape.text.contains(&file), "an id is a label");

    let mut asked = BTreeSet::new();
    asked_for(&built::tests_dir().join("../helm/trainyard/files"), &mut asked);
    assert!(asked.len() > 20, "{asked:?}");
    let there = scrape.names();
    for name in &asked {
        let whole = ["_bucket", "_sum", "_count"].iter().find_map(|end| name.strip_suffix(end));
        let known =
            there.contains(&name.as_str()) || whole.is_some_and(|name| there.contains(&name));
        assert!(known, "rules or dashboards ask for {name}, which is not there");
    }

    let said = async |path: &str| {
        let response = http.get(format!("http://{at}{path}")).send().await.unwrap();
        (response.status().as_u16(), response.text().await.unwrap())
    };
    assert_eq!(said("/healthz").await, (200, "ok\n".to_string()));
    assert_eq!(said("/v1/models").await.0, 404, "the API is not behind this listener");
    let public = http.get(format!("{}/metrics", server.url())).send().await.unwrap();
    assert_eq!(public.status().as_u16(), 404, "and metrics are not behind the API's");
}

//! The same in one process, and what is sent where nobody asked for it: nothing.

use std::time::Duration;

use reqwest::Method;
use serde_json::json;
use trainyard_tests::api::{self, text};
use trainyard_tests::{Api, Server, data};

use super::collector::{Collector, TOKEN, one};
use crate::metrics::scrape::{Scrape, address};

/// A guard against hanging.
const LIMIT: Duration = Duration::from_secs(120);

async fn train(api: &Api) -> String {
    let file = api.file("train.jsonl", data::chat(8)).await;
    let id = api.create(api::request(&file, 1, 4)).await;
    let job = api.end(&id, LIMIT).await;
    assert_eq!(text(&job, "/status"), "succeeded", "{job:#}");
    id
}

#[tokio::test]
async fn one_process_links_the_run_to_the_request_too() {
    let collector = Collector::start();
    let directory = tempfile::tempdir().unwrap();
    data::file(directory.path(), "headers", format!("authorization=Bearer%20{TOKEN}\n"));
    let endpoint = format!("{}/v1/traces", collector.base());
    let mut server = Server::start_with(
        directory.path(),
        &[
            "--traces-endpoint",
            &endpoint,
            "--traces-headers-file",
            "headers",
            "--traces-service-name",
            "laptop",
            "--metrics-listen",
            "127.0.0.1:0",
        ],
    );
    let api = server.api();
    let id = train(&api).await;
    let (status, _) = api.call(Method::POST, "/v1/fine_tuning/jobs", Some(json!({}))).await;
    assert_eq!(status, 400);
    collector.wait(|seen| seen.iter().any(|span| span.name == "run job")).await;
    let scrape = Scrape::of(&address(&server.log())).await;
    assert!(scrape.value("trainyard_trace_spans_total{result=\"sent\"}") > 0.0);
    assert_eq!(server.terminate().0, Some(0));
    let seen = collector.seen();
    let of = |name: &str| one(&seen, "laptop", name);
    let (submit, send) = (of("submit job"), of("send trainyard.tickets"));
    let (process, run) = (of("process trainyard.tickets"), of("run job"));
    assert!(send.is_below(submit) && run.is_below(process));
    assert_eq!(process.links, [send.place()]);
    assert_eq!((run.says("trainyard.job.id"), run.says("trainyard.outcome")), (&*id, "succeeded"));
    assert!(seen.iter().any(|span| span.name == "commit" && span.trace == run.trace));
    let created: Vec<_> =
        seen.iter().filter(|span| span.name == "POST /v1/fine_tuning/jobs").collect();
    let statuses: Vec<_> = created.iter().map(|s| s.says("http.response.status_code")).collect();
    assert_eq!(statuses, ["200", "400"]);
    assert!(created.iter().all(|span| !span.failed), "a refusal is no failure of the server");
    // Each answer has its own line in the log, which names the trace.
    let log = server.log();
    assert!(!log.contains(TOKEN), "{log}");
}

#[tokio::test]
async fn nothing_is_sent_where_traces_are_off_or_nobody_records_them() {
    let collector = Collector::start();
    let directory = tempfile::tempdir().unwrap();
    data::file(directory.path(), "headers", format!("authorization=Bearer%20{TOKEN}"));
    let endpoint = format!("{}/v1/traces", collector.base());
    let to = ["--traces-endpoint", &endpoint, "--traces-headers-file", "headers"];
    let off = [&to[..], &["--traces-sampler", "always_off"]].concat();
    for (name, flags) in [("off", &[][..]), ("unrecorded", &off)] {
        let directory = directory.path().join(name);
        std::fs::create_dir(&directory).unwrap();
        std::fs::copy(directory.join("../headers"), directory.join("headers")).unwrap();
        let flags = [flags, &["--metrics-listen", "127.0.0.1:0"]].concat();
        let mut server = Server::start_with(&directory, &flags);
        train(&server.api()).await;
        let scrape = Scrape::of(&address(&server.log())).await;
        assert_eq!(scrape.sum("trainyard_trace_spans_total"), 0.0, "{name}");
        assert_eq!(server.terminate().0, Some(0));
        assert_eq!(server.log().contains("\"message\":\"traces\""), name != "off");
    }
    assert_eq!(collector.seen(), []);
}

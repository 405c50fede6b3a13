//! Scrapes of `/metrics` while many tenants' jobs go through a server with the real trainer: how many series there are, whoever does how much,
//! and how long an answer takes.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use reqwest::Method;
use serde_json::{Value, json};
use tokio::task::JoinSet;
use trainyard_tests::api::{self, text};
use trainyard_tests::{Api, Server, data};

use crate::load::{histogram, record};

/// Between two scrapes: far more often than anybody scrapes.
const EVERY: Duration = Duration::from_millis(100);
/// A guard against hanging.
const END_MAX: Duration = Duration::from_secs(1_800);
/// More than anybody asks for: rate limits are not what is measured.
const NO_LIMIT: &str = "4000000000";
/// Runs at once.
const SLOTS: &str = "4";

/// What scrapes came to.
struct Scrapes {
    took: Histogram<u64>,
    most_series: usize,
    most_bytes: usize,
}

/// Measures `jobs` jobs of `tenants` tenants and prints it.
pub(crate) async fn measure(jobs: usize, tenants: usize) {
    let directory = tempfile::tempdir().expect("a directory");
    let flags = ["--metrics-listen", "127.0.0.1:0", "--slots", SLOTS];
    let limits = ["--requests-per-minute", NO_LIMIT, "--requests-per-minute-per-key", NO_LIMIT];
    let server = Server::start_with(directory.path(), &[&flags[..], &limits].concat());
    let url = format!("http://{}/metrics", address(&server.log()));
    let http = reqwest::Client::builder().no_proxy().build().expect("a client");
    let before = scrape(&http, &url).await;
    let stop = Arc::new(AtomicBool::new(false));
    let scraping = tokio::spawn(scrapes(http.clone(), url.clone(), Arc::clone(&stop)));
    let begun = Instant::now();
    let mut submitting = JoinSet::new();
    for number in 0..tenants {
        let api = tenant(&server, number).await;
        let own = jobs / tenants + usize::from(number < jobs % tenants);
        submitting.spawn(async move {
            let file = api.file("train.jsonl", data::chat(4)).await;
            for _ in 0..own {
                let id = api.create(api::request(&file, 1, 4)).await;
                api.job(&id).await;
            }
            api.get("/v1/fine_tuning/jobs?limit=100").await;
        });
    }
    while let Some(submitted) = submitting.join_next().await {
        submitted.expect("a tenant");
    }
    let submitted = begun.elapsed();
    while ended(&scrape(&http, &url).await) < jobs as f64 {
        assert!(begun.elapsed() < END_MAX, "{}", server.log());
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    let took = begun.elapsed();
    stop.store(true, Ordering::Relaxed);
    let scrapes = scraping.await.expect("the scrapes");
    let after = scrape(&http, &url).await;
    println!(
        "{jobs} jobs of {tenants} tenants with the real trainer, {SLOTS} at once: submitted in {:.1} s, ended after {:.1} s",
        submitted.as_secs_f64(),
        took.as_secs_f64()
    );
    let milliseconds = |quantile| scrapes.took.value_at_quantile(quantile) as f64 / 1e3;
    println!(
        "{} scrapes meanwhile: p50 {:.2} ms, p99 {:.2} ms, longest {:.2} ms",
        scrapes.took.len(),
        milliseconds(0.5),
        milliseconds(0.99),
        milliseconds(1.0)
    );
    println!(
        "series: {} before the first request, {} at most, {} at the end, in {} bytes at most",
        series(&before).len(),
        scrapes.most_series,
        series(&after).len(),
        scrapes.most_bytes
    );
    let (before, after) = (series(&before), series(&after));
    let new: BTreeSet<&str> = after.difference(&before).map(|name| metric_of(name)).collect();
    println!("metrics that gained series: {new:?}");
}

async fn tenant(server: &Server, number: usize) -> Api {
    let call = async |path: &str, body: Value| {
        let (status, body) = server.api().call(Method::POST, path, Some(body)).await;
        assert_eq!(status, 200, "{body}");
        body
    };
    let tenant = call("/v1/admin/tenants", json!({"name": format!("tenant {number}")})).await;
    let path = format!("/v1/admin/tenants/{}/keys", text(&tenant, "/id"));
    let key = call(&path, json!({"name": "bench"})).await;
    Api::new(&server.url(), &text(&key, "/key"))
}

async fn scrapes(http: reqwest::Client, url: String, stop: Arc<AtomicBool>) -> Scrapes {
    let mut scrapes = Scrapes { took: histogram(), most_series: 0, most_bytes: 0 };
    let mut next = tokio::time::interval(EVERY);
    while !stop.load(Ordering::Relaxed) {
        next.tick().await;
        let sent = Instant::now();
        let text = scrape(&http, &url).await;
        record(&mut scrapes.took, sent.elapsed());
        scrapes.most_series = scrapes.most_series.max(series(&text).len());
        scrapes.most_bytes = scrapes.most_bytes.max(text.len());
    }
    scrapes
}

async fn scrape(http: &reqwest::Client, url: &str) -> String {
    let response = http.get(url).send().await.expect("an answer");
    assert!(response.status().is_success(), "{}", response.status());
    response.text().await.expect("text")
}

/// Names with labels.
fn series(text: &str) -> BTreeSet<String> {
    let samples = text.lines().filter(|line| !line.starts_with('#'));
    samples.filter_map(|line| Some(line.rsplit_once(' ')?.0.to_string())).collect()
}

fn metric_of(series: &str) -> &str {
    series.split('{').next().unwrap_or(series)
}

/// Jobs that ended, whichever way.
fn ended(text: &str) -> f64 {
    let counts =
        text.lines().filter(|line| line.starts_with("trainyard_job_duration_seconds_count"));
    counts.filter_map(|line| line.rsplit_once(' ')?.1.parse::<f64>().ok()).sum()
}

/// The address of the listener for metrics, as the log in JSON says it.
fn address(log: &str) -> String {
    let lines = log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let mut said = lines.filter(|line| text(line, "/fields/message") == "metrics");
    said.next().map(|line| text(&line, "/fields/address")).expect("an address in the log")
}

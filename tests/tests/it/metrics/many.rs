//! That metrics stay few, whoever does how much.

use std::time::{Duration, Instant};

use reqwest::Method;
use serde_json::json;
use trainyard_tests::api::{self, text};
use trainyard_tests::{Api, Server, data};

use super::scrape::{Scrape, address};

/// A guard against hanging.
const LIMIT: Duration = Duration::from_secs(240);
const TENANTS: usize = 50;
const JOBS_OF_EACH: usize = 4;
/// Those that run before the others are cancelled.
const RUN: f64 = 8.0;
const SERIES_MAX: usize = 3_000;
const SCRAPES: usize = 200;

async fn tenant(operator: &Api, server: &Server, number: usize) -> Api {
    let body = json!({"name": format!("tenant {number}")});
    let (_, tenant) = operator.call(Method::POST, "/v1/admin/tenants", Some(body)).await;
    let path = format!("/v1/admin/tenants/{}/keys", text(&tenant, "/id"));
    let (_, key) = operator.call(Method::POST, &path, Some(json!({"name": "k"}))).await;
    Api::new(&server.url(), &text(&key, "/key"))
}

#[tokio::test]
async fn many_jobs_of_many_tenants_make_no_more_series() {
    let directory = tempfile::tempdir().unwrap();
    let flags = ["--metrics-listen", "127.0.0.1:0", "--slots", "2"];
    let server = Server::start_with(directory.path(), &flags);
    let at = address(&server.log());
    let operator = server.api();
    let mut all = Vec::new();
    for number in 0..TENANTS {
        let api = tenant(&operator, &server, number).await;
        let file = api.file("train.jsonl", data::chat(4)).await;
        for _ in 0..JOBS_OF_EACH {
            let id = api.create(api::request(&file, 1, 4)).await;
            all.push((api.clone(), id));
        }
    }
    let begun = Instant::now();
    let mut waiting: f64 = 0.0;
    loop {
        let scrape = Scrape::of(&at).await;
        waiting = waiting.max(scrape.value("trainyard_jobs{pool=\"default\",state=\"queued\"}"));
        if scrape.value("trainyard_job_duration_seconds_count{outcome=\"succeeded\"}") >= RUN {
            break;
        }
        assert!(begun.elapsed() < LIMIT, "{}", scrape.text);
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    let (mut took, mut most, mut bytes) = (Vec::new(), 0, 0);
    for _ in 0..SCRAPES {
        let begun = Instant::now();
        let scrape = Scrape::with(&http, &at).await;
        took.push(begun.elapsed());
        (most, bytes) = (most.max(scrape.series()), bytes.max(scrape.text.len()));
    }
    for (api, id) in &all {
        let path = format!("/v1/fine_tuning/jobs/{id}/cancel");
        let (status, body) = api.call(Method::POST, &path, Some(json!({}))).await;
        assert!(status == 200 || status == 400 || status == 409, "{status} {body}");
    }
    tokio::time::sleep(Duration::from_secs(3)).await;
    let last = Scrape::of(&at).await;
    took.sort_unstable();
    println!(
        "{} jobs of {TENANTS} tenants: {most} series, {bytes} bytes; {SCRAPES} scrapes: p50 {:?}, p99 {:?}",
        all.len(),
        took[SCRAPES / 2],
        took[SCRAPES * 99 / 100]
    );
    assert!(waiting > 0.0, "nobody was counted while waiting");
    assert!(most.max(last.series()) < SERIES_MAX, "{most} series");
    assert_eq!(last.sum("trainyard_jobs"), 0.0, "{}", last.text);
    assert_eq!(last.sum("trainyard_job_duration_seconds_count"), all.len() as f64);
    last.lint();
}

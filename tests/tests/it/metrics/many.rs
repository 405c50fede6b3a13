//! That metrics stay few, whoever does how much: what labels may say is fixed by the program (routes, states, words) and by the operator
//! (pools), so that twice the tenants and jobs make not one series more.

use std::collections::BTreeSet;

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

/// Waits until `ended` jobs have succeeded; notes the most that waited.
async fn wait_for(at: &str, ended: f64, waiting: &mut f64) {
    let begun = Instant::now();
    loop {
        let scrape = Scrape::of(at).await;
        let queued = scrape.value("trainyard_jobs{pool=\"default\",state=\"queued\"}");
        *waiting = waiting.max(queued);
        if scrape.value("trainyard_job_duration_seconds_count{outcome=\"succeeded\"}") >= ended {
            return;
        }
        assert!(begun.elapsed() < LIMIT, "{}", scrape.text);
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
}

/// All series but those of a status that a route answered with for the first time: (routes, methods) by statuses, which the API has 20 of.
fn lasting(scrape: &Scrape) -> BTreeSet<&str> {
    scrape.all().filter(|one| !one.starts_with("trainyard_http_requests_total{")).collect()
}

#[tokio::test]
async fn many_jobs_of_many_tenants_make_no_more_series() {
    let directory = tempfile::tempdir().unwrap();
    let flags = ["--metrics-listen", "127.0.0.1:0", "--slots", "2"];
    let server = Server::start_with(directory.path(), &flags);
    let at = address(&server.log());
    let operator = server.api();
    let mut all = Vec::new();
    let mut half = None;
    for number in 0..TENANTS {
        if number == TENANTS / 2 {
            wait_for(&at, RUN / 2.0, &mut 0.0).await;
            half = Some(Scrape::of(&at).await);
        }
        let api = tenant(&operator, &server, number).await;
        let file = api.file("train.jsonl", data::chat(4)).await;
        for _ in 0..JOBS_OF_EACH {
            let id = api.create(api::request(&file, 1, 4)).await;
            all.push((api.clone(), id));
        }
    }
    let mut waiting: f64 = 0.0;
    wait_for(&at, RUN, &mut waiting).await;
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
    let half = half.expect("half-way");
    assert_eq!(lasting(&half), lasting(&last), "more tenants and jobs made more series");
    for id in ["ftjob-", "file-", "org-", "exec-", "tyk_"] {
        assert!(!last.all().any(|one| one.contains(id)), "an id is a label: {}", last.text);
    }
    assert_eq!(last.sum("trainyard_jobs"), 0.0, "{}", last.text);
    assert_eq!(last.sum("trainyard_job_duration_seconds_count"), all.len() as f64);
    last.lint();
}

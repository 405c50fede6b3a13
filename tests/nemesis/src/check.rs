//! Holds what is there against what was promised: the ledger, the record as its API shows it, the objects.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use reqwest::Method;
use serde_json::Value;
use sha2::{Digest, Sha256};
use trainyard_scheduler::port::objects::Objects;
use trainyard_tests::api::text;

use crate::chain;
use crate::client::{BATCH, Client, LINES, Work};
use crate::ledger::{Entry, Ledger};
use crate::report::{DUPLICATED, LOST, OVERCHARGED, Report, STUCK, UNEXPECTED};

/// A run that goes on shows itself within this time, whatever it has to wait for.
const STANDSTILL: Duration = Duration::from_secs(60);
/// Seconds that an attempt's times may be off: the history counts in whole ones, at both ends.
const SECONDS_OFF: f64 = 2.0;

/// Whether a status is an end.
fn is_end(status: &str) -> bool {
    matches!(status, "succeeded" | "failed" | "cancelled")
}

/// Waits until every job has ended or nothing has ended for long.
pub async fn wait_for_ends(client: &Client, standstill: Option<Duration>) {
    let (mut waiting, mut changed) = (usize::MAX, Instant::now());
    while waiting > 0 && changed.elapsed() < standstill.unwrap_or(STANDSTILL) {
        let jobs = all_jobs(client).await;
        let now = jobs.iter().filter(|job| !is_end(&text(job, "/status"))).count();
        if now != waiting {
            (waiting, changed) = (now, Instant::now());
        }
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
}

/// Waits until a job has ended, at most for `limit`.
pub async fn wait_for_end(client: &Client, id: &str, limit: Duration) {
    let begun = Instant::now();
    while begun.elapsed() < limit {
        let path = format!("/v1/fine_tuning/jobs/{id}");
        let (_, job) = client.ask(Method::GET, &path, None).await;
        // One that is not there any more is the checker's to find.
        if is_end(&text(&job, "/status"))
            || job.get("error").is_some_and(|e| e.get("message").is_some())
        {
            return;
        }
        tokio::time::sleep(Duration::from_millis(300)).await;
    }
}

/// Checks everything. `attempted` are the numbers of the jobs that were asked for under keys of `seed`.
pub async fn check(
    client: &Client,
    ledger: &Ledger,
    objects: &dyn Objects,
    work: &Work,
    data: &str,
    attempted: usize,
) -> Report {
    let mut report = Report { attempted, ..Report::default() };
    let jobs = all_jobs(client).await;
    let by_id: BTreeMap<String, &Value> = jobs.iter().map(|job| (text(job, "/id"), job)).collect();
    let submitted = ledger.submitted();
    report.acknowledged = submitted.keys().filter(|key| !key.ends_with(" again")).count();
    for (key, (_, id)) in &submitted {
        if !by_id.contains_key(id) {
            report.blame(LOST, format!("{id} of {key}"));
        }
        if key.ends_with(" again") {
            report.blame(DUPLICATED, format!("{key}: answered with another job, {id}"));
        }
    }
    for entry in ledger.entries() {
        if let Entry::Refused { key, answer } = entry {
            report.blame(UNEXPECTED, format!("{key} was refused: {answer}"));
        }
    }
    let mut keys = BTreeMap::<String, usize>::new();
    for job in &jobs {
        *keys.entry(text(job, "/metadata/key")).or_default() += 1;
    }
    for (key, count) in &keys {
        if *count > 1 {
            report.blame(DUPLICATED, format!("{key}: {count} jobs"));
        }
        if key.is_empty() {
            report.blame(UNEXPECTED, "a job that nobody asked for".to_string());
        } else if !submitted.contains_key(key) {
            report.recovered += 1;
        }
    }
    let (mut unwanted, mut cancelled) = (BTreeSet::new(), BTreeSet::new());
    let mut holders = BTreeMap::new();
    for entry in ledger.entries() {
        match entry {
            Entry::Unwanted { job } => {
                unwanted.insert(job);
            }
            Entry::Cancelled { job } => {
                cancelled.insert(job);
            }
            Entry::Claimed { job, directory } => {
                holders.insert(job, format!("{directory}/"));
            }
            Entry::Submitted { .. } | Entry::Refused { .. } => {}
        }
    }
    let data_sha256 = hex::encode(Sha256::digest(data.as_bytes()));
    let steps = chain::steps(LINES, work.epochs, BATCH);
    for job in &jobs {
        let (id, status) = (text(job, "/id"), text(job, "/status"));
        *report.ended.entry(status.clone()).or_default() += 1;
        let attempts = job["trainyard"]["progress"]["attempts"].as_u64().unwrap_or(0);
        report.resumed += attempts.saturating_sub(1);
        match status.as_str() {
            "succeeded" if cancelled.contains(&id) => {
                report.blame(UNEXPECTED, format!("{id} has succeeded after it was cancelled"));
            }
            "succeeded" => {
                let seed = job["seed"].as_u64().unwrap_or(0);
                let expected = chain::whole(seed, &data_sha256, steps);
                let origin = check_result(client, &mut report, job, attempts, &expected).await;
                let holder = holders.get(&id).filter(|holder| !origin.starts_with(*holder));
                if let Some(holder) = holder {
                    let text =
                        format!("{id}: the result is of {origin}, the last claim of {holder}");
                    report.blame(DUPLICATED, text);
                }
            }
            "failed" => report.blame(UNEXPECTED, format!("{id} has failed: {}", job["error"])),
            "cancelled" if !unwanted.contains(&id) => {
                report.blame(UNEXPECTED, format!("{id} is cancelled, which nobody asked for"));
            }
            "cancelled" => {}
            _ => report.blame(STUCK, format!("{id} is {status}")),
        }
        check_history(client, &mut report, &id, &status, steps).await;
        report.orphans += orphans(objects, &id, &status, attempts).await;
    }
    report.charged_seconds = charged(client).await;
    let claims = report.ended.values().sum::<usize>() as f64 + report.resumed as f64;
    if report.charged_seconds > report.held_seconds + SECONDS_OFF * claims {
        let text = format!("{:.1} s, held {:.1} s", report.charged_seconds, report.held_seconds);
        report.blame(OVERCHARGED, text);
    }
    report
}

/// The result is of an uninterrupted history, and of the last claim. Gives the directory that it was made in.
async fn check_result(
    client: &Client,
    report: &mut Report,
    job: &Value,
    attempts: u64,
    expected: &chain::State,
) -> String {
    let (id, model) = (text(job, "/id"), text(job, "/fine_tuned_model"));
    match client.artifact(&model, "adapter_model.safetensors").await {
        Ok(bytes) if chain::state_of(&bytes).as_ref() == Some(expected) => {
            let told = text(job, "/trainyard/result/adapter_sha256");
            if told != hex::encode(Sha256::digest(&bytes)) {
                report
                    .blame(UNEXPECTED, format!("{id}: the adapter has another hash than was told"));
            }
        }
        Ok(_) => report
            .blame(UNEXPECTED, format!("{id}: a step was skipped, done twice or another job's")),
        Err(status) => report.blame(LOST, format!("{id}: the adapter answers {status}")),
    }
    let origin = client.artifact(&model, chain::ORIGIN).await.unwrap_or_default();
    let origin = String::from_utf8_lossy(&origin).into_owned();
    let claim = chain::claim_of(&origin);
    if claim != Some(attempts) {
        let text = format!("{id}: the result is of claim {claim:?}, the last claim was {attempts}");
        report.blame(DUPLICATED, text);
    }
    origin
}

/// The history has one end, no claim took a job that another still held, and each claim's steps are there once, in order, without a gap.
async fn check_history(client: &Client, report: &mut Report, id: &str, status: &str, steps: u64) {
    let (mut held_since, mut ends, mut results) = (None::<i64>, 0, 0);
    let mut step = 0;
    for event in events(client, id).await {
        let message = text(&event, "/message");
        let at = event["created_at"].as_i64().unwrap_or(0);
        let starts = message.starts_with("Fine-tuning job started");
        let end = ["The job has successfully completed", "The job was cancelled", "The job failed"];
        let is_end = end.iter().any(|words| message.starts_with(words));
        let returns =
            ["The executor was lost", "The attempt ", "The executor gave", "The job was paused"];
        let returns = is_end || returns.iter().any(|words| message.starts_with(words));
        if starts && held_since.is_some() {
            let text = format!("{id}: claimed while another run held it");
            report.blame(DUPLICATED, text);
        }
        if (starts || returns)
            && let Some(since) = held_since.take()
        {
            report.held_seconds += (at - since) as f64;
        }
        if starts {
            held_since = Some(at);
            let from = message.strip_prefix("Fine-tuning job started again from step ");
            step = from.and_then(|step| step.parse().ok()).unwrap_or(0);
        }
        if let Some(told) = event.pointer("/data/train_loss").and(event["data"]["step"].as_u64()) {
            let kind = if told <= step { DUPLICATED } else { LOST };
            if told != step + 1 {
                report.blame(kind, format!("{id}: step {told} is told after step {step}"));
            }
            step = told;
        }
        ends += usize::from(is_end);
        results += usize::from(message.starts_with("New fine-tuned model created"));
    }
    if status == "succeeded" && step != steps {
        report.blame(LOST, format!("{id}: {steps} steps, told of {step}"));
    }
    let expected = usize::from(is_end(status));
    if ends > expected || results > usize::from(status == "succeeded") {
        report.blame(DUPLICATED, format!("{id} is {status}: {ends} ends, {results} results"));
    } else if ends < expected {
        report.blame(LOST, format!("{id} is {status} without an event of it"));
    }
}

/// Objects of runs that can hand nothing over any more and that nothing names.
async fn orphans(objects: &dyn Objects, id: &str, status: &str, attempts: u64) -> usize {
    let keys = objects.list(&format!("jobs/{id}")).await.expect("a list");
    let own = format!("jobs/{id}/e{attempts}-");
    let of_adapters = keys.iter().filter(|key| key.contains("/adapter/"));
    of_adapters.filter(|key| status != "succeeded" || !key.starts_with(&own)).count()
}

/// Seconds of accelerators in the tenant's usage.
async fn charged(client: &Client) -> f64 {
    let usage = client.get("/v1/usage").await;
    let days = usage["data"].as_array().cloned().unwrap_or_default();
    days.iter().filter_map(|day| day["accelerator_seconds"].as_f64()).sum()
}

async fn all_jobs(client: &Client) -> Vec<Value> {
    pages(client, "/v1/fine_tuning/jobs", 100).await
}

/// The job's events, oldest first.
async fn events(client: &Client, id: &str) -> Vec<Value> {
    let mut events = pages(client, &format!("/v1/fine_tuning/jobs/{id}/events"), 1000).await;
    events.reverse();
    events
}

async fn pages(client: &Client, path: &str, limit: usize) -> Vec<Value> {
    let mut all = Vec::<Value>::new();
    loop {
        let after = all.last().map(|last| format!("&after={}", text(last, "/id")));
        let path = format!("{path}?limit={limit}{}", after.unwrap_or_default());
        let (status, page) = client.ask(Method::GET, &path, None).await;
        assert_eq!(status, 200, "{path}: {page}");
        all.extend(page["data"].as_array().cloned().unwrap_or_default());
        if page["has_more"] != Value::Bool(true) {
            return all;
        }
    }
}

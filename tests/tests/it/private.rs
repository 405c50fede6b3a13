//! Private jobs through the server: what they spend is charged before they run, survives `kill -9`, and never passes a budget.

use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};
use trainyard_privacy::{Accountant, Accounting, Phase};
use trainyard_tests::api::{self, number, text};
use trainyard_tests::{Api, Server, data};

const LIMIT: Duration = Duration::from_secs(120);

#[test]
fn a_private_job_works_with_the_openai_package() {
    let directory = tempfile::tempdir().expect("a directory");
    Server::start(directory.path()).pytest("test_private.py");
}

/// A job of 200 steps, each of eight of the file's forty units on average.
fn request(file: &str, privacy: &Value) -> Value {
    let mut request = api::request(file, 40, 8);
    request["trainyard"]["privacy"] = privacy.clone();
    request["trainyard"]["checkpoint"] = json!({"every_steps": 10, "every_seconds": null});
    request
}

async fn privacy(api: &Api, file: &str) -> Value {
    api.get(&format!("/v1/files/{file}/privacy")).await
}

/// Epsilon of all runs as the answer tells them, by the accountant alone.
fn recomputed(privacy: &Value) -> f64 {
    let runs = privacy["jobs"].as_array().unwrap();
    let phases: Vec<Phase> = runs
        .iter()
        .map(|run| {
            let steps = run["steps_charged"].as_u64().unwrap();
            Phase::new(number(run, "/noise_multiplier"), number(run, "/sampling_rate"), steps)
                .unwrap()
        })
        .collect();
    let delta = number(privacy, "/delta");
    Accountant::default().epsilon(Accounting::Prv, &phases, delta).unwrap()
}

#[tokio::test]
async fn killed_at_random_moments_it_never_spends_less_than_it_showed() {
    let directory = tempfile::tempdir().unwrap();
    let mut server = Server::start(directory.path());
    let mut api = server.api();
    let file = api.file("train.jsonl", data::chat(40)).await;
    let job = api.create(request(&file, &json!({"target_epsilon": 8.0}))).await;
    let mut random = [0_u8; 10];
    getrandom::fill(&mut random).unwrap();
    let (mut last, mut shown) = (0.0, 0);
    for moment in random {
        let ended = |job: &Value| job["finished_at"].is_number();
        let before = shown;
        let seen = api.wait(&job, LIMIT, |job| {
            ended(job) || job["trainyard"]["progress"]["step"].as_u64().unwrap_or(0) > before
        });
        let seen = seen.await;
        tokio::time::sleep(Duration::from_millis(u64::from(moment) * 4)).await;
        if ended(&seen) {
            break;
        }
        server.kill();
        server = server.start_again();
        // A new client: connections of the old one lead nowhere.
        api = server.api();
        let now = api.job(&job).await;
        shown = now["trainyard"]["progress"]["step"].as_u64().unwrap_or(0);
        let privacy = privacy(&api, &file).await;
        let (epsilon, again) = (number(&privacy, "/spent_epsilon"), recomputed(&privacy));
        let runs = privacy["jobs"].as_array().unwrap();
        let charged: u64 = runs.iter().map(|run| run["steps_charged"].as_u64().unwrap()).sum();
        assert!(charged >= shown, "{charged} steps charged, {shown} shown: {privacy:#}");
        assert!(epsilon >= last, "{last} -> {epsilon}");
        // What the file's ledger says is what its entries come to; a bound by Rényi orders may stand for the tighter one.
        assert!(epsilon >= again - 1e-6, "{epsilon} in the ledger, {again} from its entries");
        last = epsilon;
    }
    let job = api.end(&job, LIMIT).await;
    assert_eq!(text(&job, "/status"), "succeeded", "{job:#}");
    let spent = number(&job, "/trainyard/result/privacy/epsilon");
    assert!(spent <= 8.0 + 1e-6, "{job:#}");
    let taken = number(&job, "/trainyard/result/steps");
    assert!(number(&job, "/trainyard/result/privacy/steps") >= taken, "{job:#}");
}

#[tokio::test]
async fn a_budget_holds_over_jobs_and_over_names() {
    let directory = tempfile::tempdir().unwrap();
    let server = Server::start(directory.path());
    let api = server.api();
    let file = api.file("train.jsonl", data::chat(40)).await;
    let path = format!("/v1/files/{file}/privacy");
    let budget = json!({"budget": {"epsilon": 5.0}});
    let (status, body) = api.call(Method::POST, &path, Some(budget)).await;
    assert_eq!((status, number(&body, "/budget/epsilon")), (200, 5.0), "{body}");

    // Whoever reads the file has to keep to it.
    let jobs = "/v1/fine_tuning/jobs";
    let open = api::request(&file, 1, 8);
    let (status, body) = api.call(Method::POST, jobs, Some(open)).await;
    assert_eq!(status, 400, "{body}");
    let job = api.create(request(&file, &json!({"target_epsilon": 3.0}))).await;
    let job = api.end(&job, LIMIT).await;
    assert_eq!(text(&job, "/status"), "succeeded", "{job:#}");
    let spent = number(&job, "/trainyard/result/privacy/epsilon");
    assert!((2.9..=3.0).contains(&spent), "{spent}");
    assert_eq!(number(&job, "/trainyard/result/steps"), 200.0);

    // The same lines under another name have the same budget, and it does not hold as much again.
    let again = api.file("renamed.jsonl", data::chat(40)).await;
    let seen = privacy(&api, &again).await;
    assert!((number(&seen, "/spent_epsilon") - spent).abs() < 0.2, "{seen:#}");
    let more = request(&again, &json!({"target_epsilon": 4.5}));
    let (status, body) = api.call(Method::POST, jobs, Some(more)).await;
    assert_eq!(
        (status, text(&body, "/error/code").as_str()),
        (400, "privacy_budget_exceeded"),
        "{body}"
    );
    assert_eq!(text(&body, "/error/param"), "trainyard.privacy.target_epsilon");

    let said = server.cli(&["files", "privacy", &file]);
    assert!(said.stdout.contains("epsilon 5"), "{said:?}");
}

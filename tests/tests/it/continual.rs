//! Streams of stages through the server: a stream in one job, a second job that goes on from it, and the erasure of what both came of.

use std::collections::BTreeSet;
use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};
use trainyard_tests::api::{self, number, text};
use trainyard_tests::{Api, Server, data};

const LIMIT: Duration = Duration::from_secs(180);

/// Files of a stage: what it trains on and what it is measured with.
struct Files {
    training: String,
    validation: String,
}

/// Lines that answer every question with `word`.
fn lines(word: &str, count: usize) -> String {
    let line = |n: usize| {
        let turns = json!({"messages": [
            {"role": "user", "content": format!("Question {n} of {word}?")}, {"role": "assistant", "content": word},
        ]});
        format!("{turns}\n")
    };
    (0..count).map(line).collect()
}

async fn files(api: &Api, word: &str) -> Files {
    Files {
        training: api.file(&format!("{word}.jsonl"), lines(word, 24)).await,
        validation: api.file(&format!("{word}-v.jsonl"), lines(word, 6)).await,
    }
}

fn stage(name: &str, files: &Files) -> Value {
    json!({"name": name, "training_file": files.training, "validation_file": files.validation})
}

fn stream(model: &str, stages: &[(&str, &Files)], more: &Value) -> Value {
    let mut request = api::request(&stages[0].1.training, 2, 4);
    request["model"] = json!(model);
    request["trainyard"]["checkpoint"] =
        json!({"every_steps": 4, "every_seconds": null, "keep": 1});
    request["trainyard"]["continual"] = more.clone();
    request["trainyard"]["continual"]["stages"] =
        stages.iter().map(|(name, files)| stage(name, files)).collect();
    request
}

async fn succeeded(api: &Api, request: Value) -> Value {
    let id = api.create(request).await;
    let job = api.end(&id, LIMIT).await;
    assert_eq!(text(&job, "/status"), "succeeded", "{job:#}");
    job
}

/// The matrix of the loss.
fn losses(job: &Value) -> &Value {
    let all = job["trainyard"]["result"]["continual"]["matrices"].as_array().unwrap();
    all.iter().find(|matrix| matrix["metric"] == "loss").unwrap()
}

fn names(job: &Value) -> Vec<String> {
    let stages = job["trainyard"]["result"]["continual"]["stages"].as_array().unwrap();
    stages.iter().map(|stage| text(stage, "/name")).collect()
}

#[tokio::test]
async fn a_stream_and_a_job_that_goes_on_from_it() {
    let directory = tempfile::tempdir().unwrap();
    let server = Server::start(directory.path());
    let api = server.api();
    let (law, code, art) =
        (files(&api, "law").await, files(&api, "code").await, files(&api, "art").await);
    let held_out = api.file("general.jsonl", data::chat(8)).await;
    let more =
        json!({"strategies": [{"type": "replay", "ratio": 0.25}], "held_out_file": held_out});
    let first =
        succeeded(&api, stream(data::MODEL, &[("law", &law), ("code", &code)], &more)).await;

    let id = text(&first, "/id");
    let matrix = losses(&first);
    assert_eq!(matrix["stages"], json!(["law", "code"]), "{matrix:#}");
    assert_eq!(matrix["rows"].as_array().unwrap().len(), 2);
    for row in matrix["rows"].as_array().unwrap().iter().chain([&matrix["base"]]) {
        assert_eq!(row["stages"].as_array().unwrap().len(), 2);
        assert!(number(row, "/held_out").is_finite());
    }
    assert!(number(matrix, "/rows/1/stages/1") < number(matrix, "/base/stages/1"), "{matrix:#}");
    assert!(number(matrix, "/forgetting").is_finite());
    let progress = &first["trainyard"]["progress"]["continual"];
    assert_eq!((&progress["stage"], &progress["stages"]), (&json!(2), &json!(2)), "{progress:#}");

    let checkpoints = api.get(&format!("/v1/fine_tuning/jobs/{id}/checkpoints")).await;
    let ends: Vec<_> = checkpoints["data"].as_array().unwrap().iter().collect();
    let ends: Vec<_> = ends.into_iter().filter(|one| one["trainyard"].is_object()).collect();
    let ended: BTreeSet<_> = ends.iter().map(|one| text(one, "/trainyard/stage")).collect();
    assert_eq!(ended, BTreeSet::from(["law".to_string(), "code".to_string()]), "{checkpoints:#}");
    let said = api.messages(&id).await;
    for wanted in ["Stage 1/2 began: 'law'", "Stage 'law' ended", "Stage 'code' ended"] {
        assert!(said.iter().any(|text| text.contains(wanted)), "{wanted}: {said:#?}");
    }

    // By the result, then by the end of the first stage alone.
    let model = text(&first, "/fine_tuned_model");
    let second = succeeded(&api, stream(&model, &[("art", &art)], &more)).await;
    assert_eq!(text(&second, "/model"), model);
    assert_eq!(names(&second), ["law", "code", "art"]);
    let matrix = losses(&second);
    assert_eq!(matrix["stages"], json!(["law", "code", "art"]), "{matrix:#}");
    assert_eq!(matrix["rows"].as_array().unwrap().len(), 3);
    assert_eq!(matrix["rows"][1]["stages"][0], losses(&first)["rows"][1]["stages"][0]);
    let of_law = ends.iter().find(|one| text(one, "/trainyard/stage") == "law").unwrap();
    let checkpoint = text(of_law, "/fine_tuned_model_checkpoint");
    let mut plain = api::request(&art.training, 1, 4);
    plain["model"] = json!(checkpoint);
    let third = succeeded(&api, plain).await;
    assert_eq!(third["trainyard"]["continual"]["earlier_stages"], json!(["law"]), "{third:#}");

    // Two evaluations without the improvement that is asked for, of sixteen.
    let mut early = api::request(&art.training, 8, 12);
    early["model"] = json!(checkpoint);
    early["validation_file"] = json!(art.validation);
    early["trainyard"]["evaluation"] = json!({"every_steps": 1, "metrics": ["loss"]});
    early["trainyard"]["early_stopping"] = json!({"patience": 2, "min_delta": 50.0});
    let early = succeeded(&api, early).await;
    let progress = &early["trainyard"]["progress"];
    assert_eq!((&progress["step"], &progress["total_steps"]), (&json!(3), &json!(16)), "{early:#}");

    let graph = api.get(&format!("/v1/models/{model}/lineage")).await;
    let edges = graph["edges"].as_array().unwrap();
    let edge = |kind: &str, from: &Value, to: &str| {
        let wanted = json!({"type": kind, "from": from, "to": to});
        assert!(edges.contains(&wanted), "{wanted} is not in {graph:#}");
    };
    edge("continues", &second["id"], &model);
    edge("continues", &third["id"], &checkpoint);
    edge("made_by", &json!(checkpoint), &id);
    edge("trained_on", &first["id"], &code.training);

    // The second stage's file: with it go the results of all four jobs.
    let path = format!("/v1/files/{}?cascade=true", code.training);
    let (status, answer) = api.call(Method::DELETE, &path, None).await;
    assert_eq!(status, 200, "{answer:#}");
    let removed = answer["trainyard"]["erasure"]["removed"].as_array().unwrap();
    let models: BTreeSet<_> = removed
        .iter()
        .filter(|gone| gone["type"] == "model")
        .map(|gone| text(gone, "/id"))
        .collect();
    let expected = [&first, &second, &third, &early].map(|job| text(job, "/fine_tuned_model"));
    assert_eq!(models, BTreeSet::from(expected), "{answer:#}");
    let mut again = api::request(&art.training, 1, 4);
    again["model"] = json!(model);
    let (status, refused) = api.call(Method::POST, "/v1/fine_tuning/jobs", Some(again)).await;
    assert_eq!(status, 404, "{refused:#}");
    assert!(text(&refused, "/error/message").contains("was erased"), "{refused:#}");
}

#[tokio::test]
async fn a_stage_that_forgets_too_much_is_rejected_and_said_to_be() {
    let directory = tempfile::tempdir().unwrap();
    let server = Server::start(directory.path());
    let api = server.api();
    let (law, code) = (files(&api, "law").await, files(&api, "code").await);
    // What learns another answer to every question forgets the first: no rise at all is allowed.
    let mut request =
        stream(data::MODEL, &[("law", &law), ("code", &code)], &json!({"max_forgetting": 0.0}));
    request["method"]["supervised"]["hyperparameters"]["n_epochs"] = json!(6);
    let job = succeeded(&api, request).await;
    let stages = &job["trainyard"]["result"]["continual"]["stages"];
    assert_eq!((&stages[0]["kept"], &stages[1]["kept"]), (&json!(true), &json!(false)), "{job:#}");
    assert!(!text(&stages[1], "/reason").is_empty());
    let said = api.messages(&text(&job, "/id")).await;
    assert!(said.iter().any(|text| text.contains("Stage 'code' is rejected")), "{said:#?}");
}

#[tokio::test]
async fn a_stream_that_is_killed_in_its_second_stage_ends_with_the_same_bits() {
    let adapter = async |kill: bool| {
        let directory = tempfile::tempdir().unwrap();
        let mut server = Server::start(directory.path());
        let mut api = server.api();
        let (law, code) = (files(&api, "law").await, files(&api, "code").await);
        let more = json!({"strategies": [{"type": "replay", "ratio": 0.25}]});
        let mut request = stream(data::MODEL, &[("law", &law), ("code", &code)], &more);
        request["method"]["supervised"]["hyperparameters"]["n_epochs"] = json!(8);
        let id = api.create(request).await;
        if kill {
            let second = |job: &Value| {
                let progress = &job["trainyard"]["progress"];
                progress["continual"]["stage"] == 2
                    && progress["step"].as_u64() > progress["continual"]["first_step"].as_u64()
            };
            api.wait(&id, LIMIT, |job| second(job) || job["finished_at"].is_number()).await;
            server.kill();
            server = server.start_again();
            api = server.api();
        }
        let job = api.end(&id, LIMIT).await;
        assert_eq!(text(&job, "/status"), "succeeded", "{job:#}");
        text(&job, "/trainyard/result/adapter_sha256")
    };
    assert_eq!(adapter(true).await, adapter(false).await);
}

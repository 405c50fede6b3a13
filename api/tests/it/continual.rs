//! Streams of stages, earlier results and their lineage, as clients see them.

use serde_json::{Value, json};

use crate::executor::{claim, run};
use crate::server::Server;

const JOBS: &str = "/v1/fine_tuning/jobs";

fn stage(name: &str, training: &str, validation: &str) -> Value {
    json!({"name": name, "training_file": training, "validation_file": validation})
}

#[actix_web::test]
async fn the_field_at_fault_of_a_stream_is_named() {
    let server = Server::start().await;
    let line = |word: &str| format!("{{\"text\": \"{word}\"}}\n");
    let (a, b) = (server.upload(&line("a")).await, server.upload(&line("b")).await);
    let stages = || json!([stage("law", &a, &b), stage("code", &b, &a)]);
    for (continual, code, param) in [
        (json!({"stages": []}), "invalid_value", ".stages"),
        (
            json!({"stages": [{"name": "x"}]}),
            "missing_required_parameter",
            ".stages[0].training_file",
        ),
        (
            json!({"stages": [stage("law", &a, &b), stage("law", &b, &a)]}),
            "invalid_value",
            ".stages[1].name",
        ),
        (
            json!({"stages": stages(), "strategies": [{"type": "hope"}]}),
            "invalid_value",
            ".strategies[0].type",
        ),
        (
            json!({"stages": stages(), "strategies": [{"type": "replay", "ratio": 1}]}),
            "invalid_value",
            ".strategies[0].ratio",
        ),
        (
            json!({"stages": stages(), "strategies": [{"type": "joint"}, {"type": "ema"}]}),
            "invalid_value",
            ".strategies[1]",
        ),
        (json!({"stages": stages(), "max_forgetting": -1}), "invalid_value", ".max_forgetting"),
        (
            json!({"stages": stages(), "held_out_file": "file-none"}),
            "invalid_file",
            ".held_out_file",
        ),
        (json!({"stages": stages(), "order": "backwards"}), "invalid_value", ".order"),
        (json!({"stages": stages(), "more": 1}), "unknown_parameter", ".more"),
    ] {
        let param = format!("trainyard.continual{param}");
        let body =
            json!({"model": "tiny", "training_file": a, "trainyard": {"continual": continual}});
        for path in [JOBS.to_string(), format!("{JOBS}/preflight")] {
            let answer = server.post(&path, &body).await;
            answer.refused(400, code, Some(&param));
        }
    }
    assert_eq!(server.get(JOBS).await.body["data"], json!([]));
}

#[actix_web::test]
async fn a_job_goes_on_from_another_and_the_graph_shows_it() {
    let server = Server::start().await;
    let file = server.upload("{\"text\": \"a\"}\n").await;
    let first = server.post(JOBS, &json!({"model": "tiny", "training_file": file})).await.body;
    let lease = claim(&server).await;
    run(&server, &lease, "a").await;
    let job = server.get(&format!("{JOBS}/{}", first["id"].as_str().unwrap())).await.body;
    let model = job["fine_tuned_model"].as_str().unwrap().to_string();

    let next = server.upload("{\"text\": \"b\"}\n").await;
    let body = json!({"model": model, "training_file": next});
    let dry = server.post(&format!("{JOBS}/preflight"), &body).await;
    assert_eq!((dry.status, &dry.body["model"]), (200, &json!(model)), "{}", dry.body);
    let second = server.post(JOBS, &body).await;
    assert_eq!(second.status, 200, "{}", second.body);
    assert_eq!(second.body["model"], json!(model));
    let continual = &second.body["trainyard"]["continual"];
    assert_eq!(continual["earlier_stages"], json!(["stage-1"]), "{continual}");
    assert_eq!(continual["stages"][0]["name"], "stage-2");

    let graph = server.get(&format!("/v1/models/{model}/lineage")).await.body;
    let edge = |kind: &str, from: &Value, to: &Value| {
        let edge = json!({"type": kind, "from": from, "to": to});
        assert!(graph["edges"].as_array().unwrap().contains(&edge), "{edge} is not in {graph}");
    };
    edge("made_by", &json!(model), &first["id"]);
    edge("continues", &second.body["id"], &json!(model));
    edge("continues", &first["id"], &json!("tiny"));
    edge("trained_on", &second.body["id"], &json!(next));
    assert_eq!((&graph["truncated"], &graph["object"]), (&json!(false), &json!("model.lineage")));
    let base = server.get("/v1/models/tiny/lineage").await.body;
    assert_eq!(base["nodes"].as_array().unwrap().len(), 1);
    let none = server.get("/v1/models/ft:tiny:x::y/lineage").await;
    none.refused(404, "model_not_found", Some("model"));
}

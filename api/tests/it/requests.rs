//! Create requests: what is refused, where, and what is answered.

use reqwest::Method;
use serde_json::{Value, json};

use crate::server::{Answer, Server};

#[actix_web::test]
async fn the_field_at_fault_is_named() {
    let server = Server::start().await;
    let file = server.upload("{\"text\": \"a\"}\n").await;
    let base = json!({"model": "tiny", "training_file": file});
    let with = |path: &str, value: Value| {
        let mut body = base.clone();
        let place = path.split('.').fold(&mut body, |place, key| &mut place[key]);
        *place = value;
        body
    };
    let h = "method.supervised.hyperparameters";
    let supervised = |key: &str, value: Value| json!({"model": "tiny", "training_file": file, "method": {"type": "supervised", "supervised": {"hyperparameters": {key: value}}}});
    for (body, status, code, param) in [
        (json!({"training_file": file}), 400, "missing_required_parameter", "model"),
        (json!({"model": "tiny"}), 400, "missing_required_parameter", "training_file"),
        (with("model", json!("none")), 404, "model_not_found", "model"),
        (with("model", json!("../tiny")), 404, "model_not_found", "model"),
        (with("model", json!(7)), 400, "invalid_value", "model"),
        (with("training_file", json!("file-x")), 400, "invalid_file", "training_file"),
        (with("validation_file", json!("file-x")), 400, "invalid_file", "validation_file"),
        (with("suffix", json!("")), 400, "invalid_value", "suffix"),
        (with("suffix", json!("a/b")), 400, "invalid_value", "suffix"),
        (with("suffix", json!("x".repeat(65))), 400, "invalid_value", "suffix"),
        (with("seed", json!(-1)), 400, "invalid_value", "seed"),
        (with("seed", json!(2_147_483_648_u64)), 400, "invalid_value", "seed"),
        (with("metadata", json!({"k": 1})), 400, "invalid_value", "metadata.k"),
        (with("metadata", json!({"k": "v".repeat(513)})), 400, "invalid_value", "metadata.k"),
        (with("epochs", json!(3)), 400, "unknown_parameter", "epochs"),
        (with("integrations", json!([{"type": "wandb"}])), 400, "not_available", "integrations"),
        (with("method", json!({"type": "dpo"})), 400, "not_available", "method.type"),
        (supervised("batch_size", json!(0)), 400, "invalid_value", &format!("{h}.batch_size")),
        (supervised("batch_size", json!(257)), 400, "invalid_value", &format!("{h}.batch_size")),
        (
            supervised("batch_size", json!(9_223_372_036_854_775_808_u64)),
            400,
            "invalid_value",
            &format!("{h}.batch_size"),
        ),
        (
            supervised("n_epochs", json!(1_000_000_000)),
            400,
            "invalid_value",
            &format!("{h}.n_epochs"),
        ),
        (
            supervised("learning_rate_multiplier", json!(-1.0)),
            400,
            "invalid_value",
            &format!("{h}.learning_rate_multiplier"),
        ),
        (
            supervised("learning_rate_multiplier", json!("NaN")),
            400,
            "invalid_value",
            &format!("{h}.learning_rate_multiplier"),
        ),
        (with("trainyard.adapter.rank", json!(65)), 400, "invalid_value", "trainyard.adapter.rank"),
        (
            with("trainyard.adapter.type", json!("dora")),
            400,
            "not_available",
            "trainyard.adapter.type",
        ),
        (
            with("trainyard.adapter.rnak", json!(1)),
            400,
            "unknown_parameter",
            "trainyard.adapter.rnak",
        ),
        (
            with("trainyard.sequence.max_length", json!(1_000_000_000)),
            400,
            "invalid_value",
            "trainyard.sequence.max_length",
        ),
        // One line is too few to hide among.
        (with("trainyard.privacy", json!({})), 400, "invalid_value", "trainyard.privacy.unit"),
        (with("trainyard.continual", json!({})), 400, "invalid_value", "validation_file"),
        (
            with("trainyard.early_stopping", json!({})),
            400,
            "invalid_value",
            "trainyard.early_stopping",
        ),
        (
            with("trainyard.resources.devices", json!(8)),
            400,
            "not_available",
            "trainyard.resources.devices",
        ),
    ] {
        server.post("/v1/fine_tuning/jobs", &body).await.refused(status, code, Some(param));
    }
    assert_eq!(server.get("/v1/fine_tuning/jobs").await.body["data"].as_array().unwrap().len(), 0);
}

#[actix_web::test]
async fn bodies_that_are_no_requests() {
    let server = Server::start().await;
    let send = async |body: Vec<u8>| {
        let request = server
            .request(Method::POST, "/v1/fine_tuning/jobs")
            .header("content-type", "application/json");
        Answer::of(request.body(body).send().await.unwrap()).await
    };
    for body in [&b""[..], b"{", b"[]", b"null", b"\xff\xfe", b"{\"model\": \"\\ud800\"}", b"{} {}"]
    {
        let answer = send(body.to_vec()).await;
        assert_eq!(answer.status, 400, "{}", answer.body);
    }
    send(format!("{}{}", "[".repeat(100_000), "]".repeat(100_000)).into_bytes()).await.refused(
        400,
        "invalid_body",
        None,
    );
    send(vec![b' '; 300 * 1024]).await.refused(413, "request_too_large", None);
}

#[actix_web::test]
async fn a_job_shows_everything_resolved() {
    let server = Server::start().await;
    let file = server.upload("{\"text\": \"a\"}\n").await;
    let body =
        json!({"model": "tiny", "training_file": file, "metadata": {"team": "a"}, "suffix": "s"});
    let job = server.post("/v1/fine_tuning/jobs", &body).await.body;
    assert_eq!(
        (job["object"].as_str(), job["status"].as_str()),
        (Some("fine_tuning.job"), Some("validating_files"))
    );
    assert!(job["hyperparameters"]["n_epochs"].is_u64() && job["seed"].is_u64());
    let ours = &job["trainyard"];
    assert_eq!(ours["precision"], "bf16");
    assert!(
        ours["optimizer"]["learning_rate"].is_f64()
            && ours["batching"]["micro_batch_size"].is_u64()
    );
    assert_eq!(ours["progress"]["step"], 0);
    assert_eq!(
        server.get("/v1/fine_tuning/jobs?metadata[team]=a").await.body["data"]
            .as_array()
            .unwrap()
            .len(),
        1
    );
    assert_eq!(
        server.get("/v1/fine_tuning/jobs?metadata%5Bteam%5D=b").await.body["data"]
            .as_array()
            .unwrap()
            .len(),
        0
    );
    let id = job["id"].as_str().unwrap();
    let events = server.get(&format!("/v1/fine_tuning/jobs/{id}/events")).await.body;
    assert_eq!(events["data"][0]["object"], "fine_tuning.job.event");
    let cancelled = server.post(&format!("/v1/fine_tuning/jobs/{id}/cancel"), &json!({})).await;
    assert_eq!(cancelled.body["status"], "cancelled");
    server.post(&format!("/v1/fine_tuning/jobs/{id}/cancel"), &json!({})).await.refused(
        409,
        "invalid_state",
        None,
    );
}

#[actix_web::test]
async fn idempotency_keys() {
    let server = Server::start().await;
    let file = server.upload("{\"text\": \"a\"}\n").await;
    let send = async |key: &str, body: Value| {
        let request = server
            .request(Method::POST, "/v1/fine_tuning/jobs")
            .header("idempotency-key", key)
            .json(&body);
        Answer::of(request.send().await.unwrap()).await
    };
    let body = json!({"model": "tiny", "training_file": file});
    let first = send("k", body.clone()).await;
    // The same meaning in another spelling.
    let again = send("k", json!({"training_file": file, "model": "tiny", "suffix": null})).await;
    assert_eq!(first.body["id"], again.body["id"]);
    send("k", json!({"model": "tiny", "training_file": file, "seed": 1})).await.refused(
        422,
        "idempotency_key_reused",
        None,
    );
    send(&"k".repeat(256), body.clone()).await.refused(
        400,
        "invalid_value",
        Some("Idempotency-Key"),
    );
    send("with space", body).await.refused(400, "invalid_value", Some("Idempotency-Key"));
    assert_eq!(server.get("/v1/fine_tuning/jobs").await.body["data"].as_array().unwrap().len(), 1);
}

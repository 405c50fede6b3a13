//! The document: as committed, complete, and true of the server.

use reqwest::Method;
use serde_json::Value;

use crate::server::{Answer, Server};

fn operations() -> Vec<(String, String, Value)> {
    let document = trainyard_api::openapi();
    let mut all = Vec::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            all.push((path.clone(), method.clone(), operation.clone()));
        }
    }
    assert!(all.len() >= 19, "{} operations", all.len());
    all
}

#[test]
fn the_committed_document_is_the_generated_one() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../openapi/openapi.json");
    let committed = std::fs::read_to_string(path).unwrap();
    assert!(
        committed == trainyard_api::doc::json(),
        "openapi/openapi.json is out of date: run `make openapi`"
    );
}

#[test]
fn every_operation_is_described() {
    for (path, method, operation) in operations() {
        let name = format!("{method} {path}");
        for key in ["summary", "description", "operationId"] {
            assert!(
                operation[key].as_str().is_some_and(|text| !text.is_empty()),
                "{name} has no {key}"
            );
        }
        let responses = operation["responses"].as_object().unwrap();
        let errors = responses.keys().filter(|status| status.starts_with('4')).count();
        assert!(errors > 0, "{name} has no error response");
        let content = responses["200"]["content"].as_object().unwrap().values().next().unwrap();
        assert!(content.get("example").is_some(), "{name} has no example");
    }
}

/// Every operation without a key, and every operation on a thing with the key of another tenant.
#[actix_web::test]
async fn every_operation_is_guarded() {
    let server = Server::start().await;
    let (job, file) = (server.job().await, server.upload("{\"text\": \"a\"}\n").await);
    let webhook =
        server.post("/v1/webhooks", &serde_json::json!({"url": "https://example.com/"})).await;
    assert_eq!(webhook.status, 200, "{}", webhook.body);
    let webhook = webhook.body["id"].as_str().unwrap().to_string();
    let (mut guarded, mut foreign) = (0, 0);
    for (path, method, _) in operations() {
        let url = path
            .replace("{file_id}", &file)
            .replace("{fine_tuning_job_id}", &job)
            .replace("{model}", "ft:tiny:x::y")
            .replace("{name}", "manifest.json")
            .replace("{tenant_id}", &server.tenant)
            .replace("{webhook_id}", &webhook)
            .replace("{key_id}", "000000000000");
        let verb = Method::from_bytes(method.to_uppercase().as_bytes()).unwrap();
        let send = async |key: Option<&str>| {
            let mut request = server.http.request(verb.clone(), format!("{}{url}", server.url));
            if let Some(key) = key {
                request = request.bearer_auth(key);
            }
            Answer::of(request.send().await.unwrap()).await
        };
        if path.starts_with("/healthz") {
            continue;
        }
        assert_eq!(send(None).await.status, 401, "{method} {path} without a key");
        guarded += 1;
        if path.starts_with("/v1/admin") {
            assert_eq!(send(Some(&server.stranger)).await.status, 403, "{method} {path}");
        } else if path.contains('{') {
            let answer = send(Some(&server.stranger)).await;
            assert_eq!(answer.status, 404, "{method} {path} by a stranger: {}", answer.body);
            foreign += 1;
        }
    }
    assert!(guarded >= 17 && foreign >= 12, "{guarded} and {foreign} operations");
    assert_eq!(
        server.get(&format!("/v1/fine_tuning/jobs/{job}")).await.body["status"],
        "validating_files"
    );
}

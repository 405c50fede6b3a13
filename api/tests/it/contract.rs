//! What every answer has, and every error.

use reqwest::Method;
use serde_json::json;

use crate::server::{Answer, Server};

#[actix_web::test]
async fn headers() {
    let server = Server::start().await;
    let answer = server.get("/v1/models").await;
    assert_eq!(answer.status, 200);
    assert!(answer.header("x-request-id").starts_with("req_"));
    assert!(answer.header("openai-processing-ms").parse::<u64>().is_ok());
    assert_eq!(answer.header("openai-version"), "2020-10-01");
    assert!(answer.header("openai-organization").starts_with("org-"));
    let own = server
        .request(Method::GET, "/v1/models")
        .header("x-request-id", "mine-1")
        .send()
        .await
        .unwrap();
    assert_eq!(own.headers()["x-request-id"], "mine-1");
    let wild = server
        .request(Method::GET, "/v1/models")
        .header("x-request-id", "x".repeat(500))
        .send()
        .await
        .unwrap();
    assert!(wild.headers()["x-request-id"].to_str().unwrap().starts_with("req_"));
}

#[actix_web::test]
async fn credentials() {
    let server = Server::start().await;
    let send = async |headers: Vec<(&str, String)>, path: &str| {
        let mut request = server.http.get(format!("{}{path}", server.url));
        for (name, value) in headers {
            request = request.header(name, value);
        }
        Answer::of(request.send().await.unwrap()).await
    };
    let bearer = |key: &str| ("authorization", format!("Bearer {key}"));
    let good = server.key.clone();
    assert_eq!(send(vec![bearer(&good)], "/v1/models").await.status, 200);
    for headers in [
        vec![],
        vec![bearer("")],
        vec![bearer("sk-123")],
        vec![bearer(&good[..good.len() - 1])],
        vec![bearer(&good.to_uppercase())],
        vec![("authorization", format!("Basic {good}"))],
        vec![bearer(&good), bearer(&good)],
        vec![("x-api-key", good.clone())],
    ] {
        send(headers, "/v1/models").await.refused(401, "invalid_api_key", None);
    }
    send(vec![], &format!("/v1/models?api_key={good}")).await.refused(401, "invalid_api_key", None);
}

#[actix_web::test]
async fn what_is_not_there() {
    let server = Server::start().await;
    server.get("/v1/nothing").await.refused(404, "not_found", None);
    server.get("/").await.refused(404, "not_found", None);
    let answer = Answer::of(server.request(Method::PUT, "/v1/files").send().await.unwrap()).await;
    answer.refused(405, "method_not_allowed", None);
    assert_eq!(answer.header("allow"), "GET, POST");
    let answer =
        Answer::of(server.request(Method::PATCH, "/v1/models/tiny").send().await.unwrap()).await;
    assert_eq!(answer.header("allow"), "GET, DELETE");
    for (path, code) in [
        ("/v1/files/nothing", "file_not_found"),
        ("/v1/files/..%2f..%2fetc%2fpasswd", "file_not_found"),
        ("/v1/files/file-%00", "file_not_found"),
        ("/v1/fine_tuning/jobs/ftjob-000000000000000000000000", "not_found"),
        ("/v1/models/nothing", "model_not_found"),
        ("/v1/models/..%2f..%2f", "model_not_found"),
        ("/v1/models/tiny/artifacts/x", "not_found"),
    ] {
        let answer = server.get(path).await;
        assert_eq!(
            (answer.status, answer.body["error"]["code"].as_str()),
            (404, Some(code)),
            "{path}: {}",
            answer.body
        );
    }
}

#[actix_web::test]
async fn probes_need_no_key() {
    let server = Server::start().await;
    for path in ["/healthz/live", "/healthz/ready", "/openapi.json", "/docs"] {
        let answer = server.http.get(format!("{}{path}", server.url)).send().await.unwrap();
        assert_eq!(answer.status(), 200, "{path}");
    }
    let page = server.http.get(format!("{}/docs", server.url)).send().await.unwrap();
    assert!(
        page.headers()["content-security-policy"].to_str().unwrap().contains("default-src 'none'")
    );
    let text = page.text().await.unwrap();
    assert!(!text.contains("://"), "the page names an outside address");
}

#[actix_web::test]
async fn pages() {
    let server = Server::start().await;
    let mut ids = Vec::new();
    for _ in 0..5 {
        ids.insert(0, server.job().await);
    }
    let first = server.get("/v1/fine_tuning/jobs?limit=2").await.body;
    assert_eq!(first["object"], "list");
    assert_eq!(
        (&first["first_id"], &first["last_id"], &first["has_more"]),
        (&json!(ids[0]), &json!(ids[1]), &json!(true))
    );
    let last = server.get(&format!("/v1/fine_tuning/jobs?limit=3&after={}", ids[1])).await.body;
    assert_eq!(
        (&last["first_id"], &last["last_id"], &last["has_more"]),
        (&json!(ids[2]), &json!(ids[4]), &json!(false))
    );
    let empty = server.get(&format!("/v1/fine_tuning/jobs/{}/checkpoints", ids[0])).await.body;
    assert_eq!(
        empty,
        json!({"object": "list", "data": [], "first_id": null, "last_id": null, "has_more": false})
    );
    for (query, code, param) in [
        ("limit=0", "invalid_value", "limit"),
        ("limit=1001", "invalid_value", "limit"),
        ("limit=1000000000000", "invalid_value", "limit"),
        ("limit=two", "invalid_value", "limit"),
        ("limit=1&limit=2", "invalid_value", "limit"),
        ("after=file-000000000000000000000000", "invalid_cursor", "after"),
        ("after=ftjob-000000000000000000000000", "invalid_cursor", "after"),
        ("order=asc", "unknown_parameter", "order"),
        ("before=x", "unknown_parameter", "before"),
    ] {
        server.get(&format!("/v1/fine_tuning/jobs?{query}")).await.refused(400, code, Some(param));
    }
    server.get("/v1/files?order=up").await.refused(400, "invalid_value", Some("order"));
    assert_eq!(
        server.get("/v1/files?order=asc&purpose=fine-tune").await.body["data"]
            .as_array()
            .unwrap()
            .len(),
        5
    );
}

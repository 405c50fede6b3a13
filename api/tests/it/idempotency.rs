//! Requests that come more than once, under a key or as a client's retry.

use reqwest::Method;
use serde_json::{Value, json};

use crate::server::{Answer, Server};

async fn send(server: &Server, bearer: &str, path: &str, key: &str, body: &Value) -> Answer {
    let request = server.http.post(format!("{}{path}", server.url)).bearer_auth(bearer);
    let request = request.header("idempotency-key", key).json(body);
    Answer::of(request.send().await.unwrap()).await
}

async fn count(server: &Server, path: &str) -> usize {
    server.get(path).await.body["data"].as_array().unwrap().len()
}

#[actix_web::test]
async fn a_post_runs_once_under_its_key() {
    let server = Server::start().await;
    let (path, key) = ("/v1/admin/tenants", server.key.clone());
    let before = count(&server, path).await;
    let body = json!({"name": "research"});
    let first = send(&server, &key, path, "a", &body).await;
    assert_eq!((first.status, first.header("idempotency-replayed")), (200, ""));
    let again = send(&server, &key, path, "a", &body).await;
    assert_eq!((again.status, again.header("idempotency-replayed")), (200, "true"));
    assert_eq!(again.body, first.body);
    assert_eq!(again.header("openai-organization"), server.tenant);
    assert_eq!(count(&server, path).await, before + 1);
    let other = send(&server, &key, path, "a", &json!({"name": "sales"})).await;
    other.refused(422, "idempotency_key_reused", None);
    let elsewhere = send(&server, &key, &format!("{path}/{}", server.tenant), "a", &body).await;
    elsewhere.refused(422, "idempotency_key_reused", None);
    let stranger = server.stranger().await;
    // A refusal of the request is kept as well, and one of the caller is not.
    let bad = json!({"name": ""});
    for replayed in ["", "true"] {
        let answer = send(&server, &key, path, "bad", &bad).await;
        assert_eq!((answer.status, answer.header("idempotency-replayed")), (400, replayed));
    }
    for (bearer, status) in [("nobody", 401), (stranger.as_str(), 403), (&key, 200)] {
        assert_eq!(send(&server, bearer, path, "c", &body).await.status, status);
    }
    // Another tenant's key of the same name is another key.
    let upload = json!({"filename": "a", "purpose": "fine-tune", "bytes": 1, "mime_type": "x"});
    let own = send(&server, &key, "/v1/uploads", "d", &upload).await;
    let foreign = send(&server, &stranger, "/v1/uploads", "d", &upload).await;
    assert_eq!((own.status, foreign.status), (200, 200));
    assert_ne!(own.body["id"], foreign.body["id"]);
}

#[actix_web::test]
async fn keys_that_are_none() {
    let server = Server::start().await;
    let body = json!({"name": "x"});
    for key in ["", &"k".repeat(256), "with space"] {
        let answer = send(&server, &server.key, "/v1/admin/tenants", key, &body).await;
        answer.refused(400, "invalid_value", Some("Idempotency-Key"));
    }
    let raw = reqwest::header::HeaderValue::from_bytes(b"caf\xe9").unwrap();
    let request = server.request(Method::POST, "/v1/admin/tenants").json(&body);
    let request = request.header("idempotency-key", raw);
    let answer = Answer::of(request.send().await.unwrap()).await;
    answer.refused(400, "invalid_value", Some("Idempotency-Key"));
}

#[actix_web::test]
async fn twenty_at_once_run_once() {
    let server = Server::start().await;
    let before = count(&server, "/v1/admin/tenants").await;
    let (key, body) = (server.key.clone(), json!({"name": "twenty"}));
    let sends = (0..20).map(|_| send(&server, &key, "/v1/admin/tenants", "k", &body));
    let answers = futures::future::join_all(sends).await;
    for answer in &answers {
        if answer.status != 200 {
            answer.refused(409, "idempotency_in_progress", None);
            assert_eq!(answer.header("x-should-retry"), "false");
        }
    }
    assert!(answers.iter().any(|answer| answer.status == 200));
    assert_eq!(count(&server, "/v1/admin/tenants").await, before + 1);
}

#[actix_web::test]
async fn a_secret_is_not_kept() {
    let server = Server::start().await;
    let path = format!("/v1/admin/tenants/{}/keys", server.tenant);
    let body = json!({"name": "ci", "scopes": ["files.read"]});
    let first = send(&server, &server.key, &path, "k", &body).await;
    let secret = first.body["key"].as_str().unwrap().to_string();
    let keys = count(&server, &path).await;
    let again = send(&server, &server.key, &path, "k", &body).await;
    again.refused(409, "idempotency_answer_withheld", None);
    assert_eq!(again.header("x-should-retry"), "false");
    assert_eq!(count(&server, &path).await, keys);
    assert!(!server.data_holds(secret.as_bytes()), "the secret is on the disk");
    assert!(server.data_holds(b"secret\""), "the scan finds what is there");
}

#[actix_web::test]
async fn forms_are_known_again_under_another_boundary() {
    let server = Server::start().await;
    let form = async |boundary: &str, text: &str| {
        let body = format!(
            "--{boundary}\r\nContent-Disposition: form-data; name=\"purpose\"\r\n\r\nfine-tune\r\n--{boundary}\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a.jsonl\"\r\n\r\n{text}\r\n--{boundary}--\r\n"
        );
        let kind = format!("multipart/form-data; boundary={boundary}");
        let request = server.request(Method::POST, "/v1/files").header("idempotency-key", "f");
        Answer::of(request.header("content-type", kind).body(body).send().await.unwrap()).await
    };
    let line = "{\"text\": \"a\"}\n".repeat(30_000);
    let first = form("one", &line).await;
    assert_eq!(first.status, 200, "{}", first.body);
    let again = form("another", &line).await;
    assert_eq!((again.header("idempotency-replayed"), &again.body), ("true", &first.body));
    form("third", &line.replacen('a', "b", 1)).await.refused(422, "idempotency_key_reused", None);
    assert_eq!(count(&server, "/v1/files").await, 1);
}

#[actix_web::test]
async fn a_counted_retry_finds_its_job() {
    let server = Server::start().await;
    let file = server.upload("{\"text\": \"a\"}\n").await;
    let send = async |count: &str, body: Value| {
        let request = server.request(Method::POST, "/v1/fine_tuning/jobs").json(&body);
        let request = request.header("x-stainless-retry-count", count);
        let answer = Answer::of(request.send().await.unwrap()).await;
        let id = answer.body["id"].as_str().unwrap().to_string();
        (id, answer.header("idempotency-replayed") == "true")
    };
    let body = json!({"model": "tiny", "training_file": file});
    let (first, _) = send("0", body.clone()).await;
    assert_eq!(send("1", body.clone()).await, (first.clone(), true));
    let (second, replayed) = send("0", body.clone()).await;
    assert!(second != first && !replayed, "a first request is always a job");
    assert_eq!(send("2", body.clone()).await, (second, true), "of the latest one");
    let other = json!({"model": "tiny", "training_file": file, "seed": 3});
    let (third, replayed) = send("1", other.clone()).await;
    assert!(!replayed, "its first request never came");
    assert_eq!(send("2", other).await, (third, true));
}

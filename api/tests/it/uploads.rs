//! Uploads in parts.

use futures::future::join_all;
use reqwest::Method;
use serde_json::{Value, json};

use crate::server::{Answer, Server};

async fn begin(server: &Server, bytes: u64) -> String {
    let body = json!({"filename": "t.jsonl", "purpose": "fine-tune", "bytes": bytes, "mime_type": "text/jsonl",
                      "expires_after": {"anchor": "created_at", "seconds": 3600}});
    let answer = server.post("/v1/uploads", &body).await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    assert_eq!((&answer.body["status"], &answer.body["file"]), (&json!("pending"), &Value::Null));
    let life =
        answer.body["expires_at"].as_i64().unwrap() - answer.body["created_at"].as_i64().unwrap();
    assert_eq!(life, 3600);
    answer.body["id"].as_str().unwrap().to_string()
}

async fn add(server: &Server, upload: &str, data: &str) -> Answer {
    let part = reqwest::multipart::Part::text(data.to_string()).file_name("part");
    let form = reqwest::multipart::Form::new().part("data", part);
    let request = server.request(Method::POST, &format!("/v1/uploads/{upload}/parts"));
    Answer::of(request.multipart(form).send().await.unwrap()).await
}

async fn part(server: &Server, upload: &str, data: &str) -> String {
    let answer = add(server, upload, data).await;
    assert_eq!((answer.status, answer.body["object"].as_str()), (200, Some("upload.part")));
    assert_eq!(answer.body["upload_id"], upload);
    answer.body["id"].as_str().unwrap().to_string()
}

async fn complete(server: &Server, upload: &str, body: Value) -> Answer {
    server.post(&format!("/v1/uploads/{upload}/complete"), &body).await
}

#[actix_web::test]
async fn parts_become_a_file() {
    let server = Server::start().await;
    let upload = begin(&server, 14).await;
    let texts = ["\": \"a\"}\n", "{\"text", "unused"];
    let parts = join_all(texts.map(|text| part(&server, &upload, text))).await;
    let body = json!({"part_ids": [parts[1], parts[0]], "md5": "8a1b6e2cb5b7a1cbb5d44a4dcba3a8d2"});
    complete(&server, &upload, body).await.refused(400, "invalid_value", Some("md5"));
    let body = json!({"part_ids": [parts[1], parts[0]]});
    let done = complete(&server, &upload, body.clone()).await;
    assert_eq!((done.status, &done.body["status"]), (200, &json!("completed")), "{}", done.body);
    let file = &done.body["file"];
    assert_eq!((&file["bytes"], &file["filename"]), (&json!(14), &json!("t.jsonl")));
    let life = file["expires_at"].as_i64().unwrap() - file["created_at"].as_i64().unwrap();
    assert_eq!(life, 3600);
    let id = file["id"].as_str().unwrap();
    let content = server.get(&format!("/v1/files/{id}/content")).await;
    assert_eq!(content.body, json!({"text": "a"}));
    assert_eq!(complete(&server, &upload, body).await.body, done.body, "a repeat");
    assert!(!server.data_holds(b"unused"), "parts are removed");
    add(&server, &upload, "x").await.refused(409, "invalid_state", None);
    let cancel = server.post(&format!("/v1/uploads/{upload}/cancel"), &json!({})).await;
    cancel.refused(409, "invalid_state", None);
}

#[actix_web::test]
async fn parts_that_do_not_fit() {
    let server = Server::start().await;
    let (upload, other) = (begin(&server, 2).await, begin(&server, 1).await);
    let (one, two) = (part(&server, &upload, "1").await, part(&server, &upload, "2").await);
    let foreign = part(&server, &other, "3").await;
    for (ids, param) in [
        (json!([one, one]), "part_ids[1]"),
        (json!([one, foreign]), "part_ids[1]"),
        (json!(["part_000000000000000000000000", two]), "part_ids[0]"),
        (json!(["nonsense"]), "part_ids[0]"),
        (json!([one]), "part_ids"),
        (json!([]), "part_ids"),
    ] {
        let answer = complete(&server, &upload, json!({"part_ids": ids})).await;
        answer.refused(400, "invalid_value", Some(param));
    }
    let md5 = json!({"part_ids": [one, two], "md5": "c20ad4d76fe97759aa27a0c99bff6710"});
    assert_eq!(complete(&server, &upload, md5).await.status, 200, "the MD5 of '12'");
    add(&server, &other, "").await.refused(400, "invalid_value", Some("data"));
    let cancelled = server.post(&format!("/v1/uploads/{other}/cancel"), &json!({})).await;
    assert_eq!((cancelled.status, &cancelled.body["status"]), (200, &json!("cancelled")));
    let again = server.post(&format!("/v1/uploads/{other}/cancel"), &json!({})).await;
    assert_eq!(again.body, cancelled.body);
    complete(&server, &other, json!({"part_ids": [foreign]})).await.refused(
        409,
        "invalid_state",
        None,
    );
    let good = json!({"filename": "t", "purpose": "fine-tune", "bytes": 1, "mime_type": "x"});
    for (name, value, code) in [
        ("filename", json!("a/b"), "invalid_value"),
        ("purpose", json!("batch"), "invalid_file_purpose"),
        ("bytes", json!(0), "invalid_value"),
        ("bytes", json!(8_589_934_593_u64), "invalid_value"),
        ("mime_type", json!(""), "invalid_value"),
    ] {
        let mut body = good.clone();
        body[name] = value;
        server.post("/v1/uploads", &body).await.refused(400, code, Some(name));
    }
}

//! Uploads, downloads, and forms that nobody should send.

use reqwest::Method;

use crate::server::{Answer, Server};

const PURPOSE: (&str, Option<&str>, &[u8]) = ("purpose", None, b"fine-tune");
const FILE: (&str, Option<&str>, &[u8]) = ("file", Some("t.jsonl"), b"{\"text\": \"a\"}\n");

#[actix_web::test]
async fn parts_come_in_either_order() {
    let server = Server::start().await;
    for parts in [[PURPOSE, FILE], [FILE, PURPOSE]] {
        let answer = server.form(&parts).await;
        assert_eq!(answer.status, 200, "{}", answer.body);
        let (id, body) = (answer.body["id"].as_str().unwrap(), &answer.body);
        assert_eq!(
            (body["bytes"].as_u64(), body["filename"].as_str()),
            (Some(14), Some("t.jsonl"))
        );
        assert_eq!(
            (body["object"].as_str(), body["purpose"].as_str(), body["status"].as_str()),
            (Some("file"), Some("fine-tune"), Some("processed"))
        );
        let content =
            server.request(Method::GET, &format!("/v1/files/{id}/content")).send().await.unwrap();
        assert_eq!(content.headers()["content-length"], "14");
        assert_eq!(content.headers()["content-disposition"], "attachment; filename=\"t.jsonl\"");
        assert_eq!(content.bytes().await.unwrap(), FILE.2);
        let gone = Answer::of(
            server.request(Method::DELETE, &format!("/v1/files/{id}")).send().await.unwrap(),
        )
        .await;
        let none =
            serde_json::json!({"jobs": [], "models": [], "checkpoints": [], "result_files": []});
        let body = serde_json::json!({
            "id": id, "object": "file", "deleted": true, "trainyard": {"trained": none, "erasure": null},
        });
        assert_eq!(gone.body, body);
        server.get(&format!("/v1/files/{id}")).await.refused(404, "file_not_found", Some("id"));
    }
}

#[actix_web::test]
async fn forms_that_do_not_fit() {
    let server = Server::start().await;
    let purpose = |text: &'static [u8]| ("purpose", None, text);
    for (parts, code, param) in [
        (vec![FILE], "missing_required_parameter", "purpose"),
        (vec![PURPOSE], "missing_required_parameter", "file"),
        (vec![PURPOSE, PURPOSE, FILE], "invalid_value", "purpose"),
        (vec![PURPOSE, FILE, FILE], "invalid_value", "file"),
        (vec![purpose(b"assistants"), FILE], "invalid_file_purpose", "purpose"),
        (vec![FILE, purpose(b"batch")], "invalid_file_purpose", "purpose"),
        (vec![purpose(b"fine-tune-results"), FILE], "invalid_file_purpose", "purpose"),
        (vec![purpose(&[b'x'; 1000]), FILE], "invalid_value", "purpose"),
        (vec![PURPOSE, FILE, ("extra", None, b"1")], "unknown_parameter", "extra"),
        (
            vec![PURPOSE, ("expires_after[anchor]", None, b"created_at"), FILE],
            "missing_required_parameter",
            "expires_after[seconds]",
        ),
        (
            vec![
                PURPOSE,
                ("expires_after[anchor]", None, b"created_at"),
                ("expires_after[seconds]", None, b"3599"),
                FILE,
            ],
            "invalid_value",
            "expires_after.seconds",
        ),
        (
            vec![
                PURPOSE,
                ("expires_after[anchor]", None, b"now"),
                ("expires_after[seconds]", None, b"3600"),
                FILE,
            ],
            "invalid_value",
            "expires_after.anchor",
        ),
        (vec![PURPOSE, ("file", Some("../../etc/passwd"), b"{}")], "invalid_value", "file"),
        (vec![PURPOSE, ("file", Some("a\u{202e}b"), b"{}")], "invalid_value", "file"),
        (vec![PURPOSE, ("file", None, b"{}")], "invalid_value", "file"),
    ] {
        server.form(&parts).await.refused(400, code, Some(param));
    }
    let files = server.get("/v1/files").await.body;
    assert_eq!(files["data"].as_array().unwrap().len(), 0, "a refused upload left a file");
    let raw = async |kind: &str, body: &str| {
        let request = server
            .request(Method::POST, "/v1/files")
            .header("content-type", kind)
            .body(body.to_string());
        Answer::of(request.send().await.unwrap()).await
    };
    assert_eq!(raw("application/json", "{}").await.status, 400);
    assert_eq!(raw("multipart/form-data; boundary=XX", "--XX\r\nnonsense").await.status, 400);
    let packed =
        server.request(Method::POST, "/v1/files").header("content-encoding", "gzip").body("x");
    let packed = Answer::of(
        packed.header("content-type", "multipart/form-data; boundary=XX").send().await.unwrap(),
    )
    .await;
    packed.refused(415, "unsupported_media_type", None);
}

#[actix_web::test]
async fn odd_names_come_back_safely() {
    let server = Server::start().await;
    let answer = server.form(&[PURPOSE, ("file", Some("données ünd mehr.jsonl"), b"{}\n")]).await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    let id = answer.body["id"].as_str().unwrap();
    let content =
        server.request(Method::GET, &format!("/v1/files/{id}/content")).send().await.unwrap();
    let header = content.headers()["content-disposition"].to_str().unwrap();
    assert_eq!(
        header,
        "attachment; filename=\"donn_es__nd_mehr.jsonl\"; filename*=UTF-8''donn%C3%A9es%20%C3%BCnd%20mehr.jsonl"
    );
}

//! What large bodies cost: the server's memory stays bounded while more than it may hold streams through it.

use std::io::Write;
use std::time::Duration;

use reqwest::Method;
use reqwest::multipart::{Form, Part};
use serde_json::{Value, json};
use trainyard_openapi::limits::{FILE_BYTES_MAX, UPLOAD_PART_BYTES_MAX};
use trainyard_tests::api::{number, text};
use trainyard_tests::{Server, data, process};

/// What the server may hold at any moment.
const RESIDENT_KIB_MAX: u64 = 300 * 1024;
/// A hang, not a slow machine.
const HANG: Duration = Duration::from_secs(600);

/// Sends a form and reads the answer.
async fn send(server: &Server, path: &str, form: Form) -> (u16, Value) {
    let http = reqwest::Client::builder().no_proxy().timeout(HANG).build().unwrap();
    let request = http.post(format!("{}{path}", server.url())).bearer_auth(server.key());
    let response = request.multipart(form).send().await.unwrap();
    (response.status().as_u16(), response.json().await.unwrap())
}

fn part(bytes: u64) -> Part {
    Part::stream_with_length(data::stream(bytes), bytes).file_name("large.jsonl")
}

fn assert_small(server: &Server, what: &str) {
    let peak = process::memory_kib(server.pid(), "VmHWM");
    println!("{what}: {} MiB resident at most", peak / 1024);
    assert!(peak < RESIDENT_KIB_MAX, "{what}: {peak} KiB were resident");
}

#[tokio::test]
async fn a_large_file_streams_through() {
    let directory = tempfile::tempdir().unwrap();
    let server = Server::start(directory.path());
    let form = Form::new().text("purpose", "fine-tune").part("file", part(FILE_BYTES_MAX));
    let (status, file) = send(&server, "/v1/files", form).await;
    assert_eq!((status, number(&file, "/bytes") as u64), (200, FILE_BYTES_MAX), "{file}");
    assert_small(&server, "the largest file");
}

#[tokio::test]
async fn an_upload_streams_through_in_parts() {
    // More than the server may hold; `make bench-api` sends 2 GiB.
    const PARTS: u64 = 6;
    let directory = tempfile::tempdir().unwrap();
    let server = Server::start(directory.path());
    let api = server.api();
    let bytes = PARTS * UPLOAD_PART_BYTES_MAX;
    let body = json!({"filename": "large.jsonl", "purpose": "fine-tune", "bytes": bytes, "mime_type": "text/jsonl"});
    let (status, upload) = api.call(Method::POST, "/v1/uploads", Some(body)).await;
    assert_eq!(status, 200, "{upload}");
    let path = format!("/v1/uploads/{}", text(&upload, "/id"));
    let mut ids = Vec::new();
    for _ in 0..PARTS {
        let form = Form::new().part("data", part(UPLOAD_PART_BYTES_MAX));
        let (status, made) = send(&server, &format!("{path}/parts"), form).await;
        assert_eq!(status, 200, "{made}");
        ids.push(text(&made, "/id"));
    }
    let complete = json!({"part_ids": ids});
    let (status, whole) = api.call(Method::POST, &format!("{path}/complete"), Some(complete)).await;
    assert_eq!((status, number(&whole, "/file/bytes") as u64), (200, bytes), "{whole}");
    assert_small(&server, "an upload in parts");
}

#[tokio::test]
async fn a_compressed_body_is_not_unpacked() {
    let directory = tempfile::tempdir().unwrap();
    let server = Server::start(directory.path());
    // Members of a gzip stream stand one after the other (RFC 1952, 2.2): 1 MiB that unpacks to 1 GiB.
    let mut member = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    for _ in 0..64 {
        member.write_all(&[b' '; 1 << 20]).unwrap();
    }
    let bomb = member.finish().unwrap().repeat(16);
    assert!((bomb.len() as u64) < (1 << 30) / 900, "{} bytes", bomb.len());

    let http = reqwest::Client::builder().no_proxy().timeout(HANG).build().unwrap();
    for path in ["/v1/fine_tuning/jobs", "/v1/files", "/v1/uploads", "/v1/admin/tenants"] {
        for key in [None, Some("a-key")] {
            let request = http.post(format!("{}{path}", server.url())).bearer_auth(server.key());
            let request = match path {
                "/v1/files" => request.header("content-type", "multipart/form-data; boundary=x"),
                _ => request.header("content-type", "application/json"),
            };
            let request = request.header("content-encoding", "gzip").body(bomb.clone());
            let request = key.into_iter().fold(request, |request, key| {
                request.header("idempotency-key", format!("{key}-{}", path.replace('/', "-")))
            });
            let response = request.send().await.unwrap();
            let (status, body): (u16, Value) =
                (response.status().as_u16(), response.json().await.unwrap());
            assert!(matches!(status, 400 | 413 | 415), "{path}: {status} {body}");
        }
    }
    assert_small(&server, "a body that would be a thousand times as large");
    let jobs = server.api().get("/v1/fine_tuning/jobs").await;
    assert_eq!(jobs["data"], json!([]));
}

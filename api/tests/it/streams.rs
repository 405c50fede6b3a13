//! Event streams that nothing happens on: they speak, and they end when they have to.

use std::time::Duration;

use futures::StreamExt;
use reqwest::Method;
use serde_json::json;
use tokio_util::sync::CancellationToken;
use trainyard_api::{ApiOptions, Limits, StreamTimes};

use crate::issuer::Issuer;
use crate::server::{Server, unlimited};

/// A stream that does not end fails its test after this long; nothing is timed by it.
const HANG: Duration = Duration::from_secs(60);

fn options(times: StreamTimes) -> ApiOptions {
    let limits = Limits::new(unlimited());
    ApiOptions { limits, stream_times: times, ..ApiOptions::default() }
}

fn often(credential_check: u64, heartbeat: u64) -> StreamTimes {
    let (check, heartbeat) =
        (Duration::from_millis(credential_check), Duration::from_millis(heartbeat));
    StreamTimes { heartbeat, credential_check: check }
}

/// Reads the stream until its text holds `what`.
struct Reader {
    text: String,
    pieces: futures::stream::BoxStream<'static, reqwest::Result<bytes::Bytes>>,
}

impl Reader {
    async fn open(server: &Server, key: &str, job: &str) -> Self {
        let url = format!("{}/v1/fine_tuning/jobs/{job}/events?stream=true", server.url);
        let response = server.http.get(url).bearer_auth(key).send().await.unwrap();
        assert_eq!(response.status(), 200);
        Self { text: String::new(), pieces: response.bytes_stream().boxed() }
    }

    async fn until(&mut self, what: &str, times: usize) {
        let read = async {
            while self.text.matches(what).count() < times {
                let piece = self.pieces.next().await.expect("the stream goes on").unwrap();
                self.text += std::str::from_utf8(&piece).unwrap();
            }
        };
        tokio::time::timeout(HANG, read).await.unwrap_or_else(|_| panic!("no '{what}'"));
    }

    /// Reads to the end, which has to be a clean one: a connection that is cut is an error here.
    async fn end(mut self) -> String {
        let read = async {
            while let Some(piece) = self.pieces.next().await {
                self.text += std::str::from_utf8(&piece.expect("a clean end")).unwrap();
            }
            self.text
        };
        tokio::time::timeout(HANG, read).await.expect("the stream does not end")
    }
}

#[actix_web::test]
async fn a_silent_stream_says_that_it_is_there() {
    let server = Server::with(options(often(60_000, 50))).await;
    let job = server.job().await;
    let mut stream = Reader::open(&server, &server.key, &job).await;
    stream.until(": still here\n\n", 3).await;
    assert!(stream.text.contains("event: fine_tuning.job.event\n"), "{}", stream.text);
    let cancelled = server.post(&format!("/v1/fine_tuning/jobs/{job}/cancel"), &json!({})).await;
    assert_eq!(cancelled.status, 200);
    assert!(stream.end().await.ends_with("event: done\ndata: [DONE]\n\n"));
}

#[actix_web::test]
async fn a_stream_ends_when_its_key_is_revoked() {
    let server = Server::with(options(often(50, 60_000))).await;
    let job = server.job().await;
    let path = format!("/v1/admin/tenants/{}/keys", server.tenant);
    let key = server.post(&path, &json!({"name": "reader", "scopes": ["jobs.read"]})).await.body;
    let mut stream = Reader::open(&server, key["key"].as_str().unwrap(), &job).await;
    stream.until("fine_tuning.job.event", 1).await;
    let revoke = format!("{path}/{}", key["id"].as_str().unwrap());
    assert_eq!(server.request(Method::DELETE, &revoke).send().await.unwrap().status(), 200);
    let text = stream.end().await;
    let (_, last) = text.split_once("event: error\ndata: ").expect("an error at the end");
    assert!(last.contains("invalid_api_key"), "{last}");
    assert!(!text.contains("[DONE]"), "{text}");
}

#[actix_web::test]
async fn streams_of_keys_and_tokens_end_when_their_tenant_is_suspended() {
    let issuer = Issuer::new();
    let tokens = Some(issuer.oidc(false));
    let server = Server::with(ApiOptions { tokens, ..options(often(50, 60_000)) }).await;
    let stranger = server.stranger().await;
    let tenants = server.get("/v1/admin/tenants").await.body;
    let id = tenants["data"].as_array().unwrap().iter().find(|t| t["name"] == "stranger").unwrap();
    let id = id["id"].as_str().unwrap();
    let path = format!("/v1/admin/tenants/{id}");
    let form = "--XX\r\nContent-Disposition: form-data; name=\"purpose\"\r\n\r\nfine-tune\r\n--XX\r\nContent-Disposition: form-data; \
                name=\"file\"; filename=\"b.jsonl\"\r\n\r\n{\"text\": \"b\"}\r\n--XX--\r\n";
    let request = server.http.post(format!("{}/v1/files", server.url)).bearer_auth(&stranger);
    let request = request.header("content-type", "multipart/form-data; boundary=XX").body(form);
    let file: serde_json::Value = request.send().await.unwrap().json().await.unwrap();
    let request = server.http.post(format!("{}/v1/fine_tuning/jobs", server.url));
    let request = request.json(&json!({"model": "tiny", "training_file": file["id"]}));
    let job: serde_json::Value =
        request.bearer_auth(&stranger).send().await.unwrap().json().await.unwrap();
    let mut streams = Vec::new();
    for credential in [stranger, issuer.token(id, "jobs.read")] {
        let mut stream = Reader::open(&server, &credential, job["id"].as_str().unwrap()).await;
        stream.until("fine_tuning.job.event", 1).await;
        streams.push(stream);
    }
    assert_eq!(server.post(&path, &json!({"status": "suspended"})).await.status, 200);
    for stream in streams {
        assert!(stream.end().await.contains("tenant_suspended"));
    }
}

#[actix_web::test]
async fn streams_end_cleanly_when_the_server_stops() {
    let server = Server::with(options(often(60_000, 60_000))).await;
    let job = server.job().await;
    let mut streams = Vec::new();
    for _ in 0..5 {
        let mut stream = Reader::open(&server, &server.key, &job).await;
        stream.until("fine_tuning.job.event", 1).await;
        streams.push(stream);
    }
    let stop = CancellationToken::new();
    let loops = tokio::spawn({
        let (scheduler, stop) = (server.scheduler.clone(), stop.clone());
        async move { scheduler.run(stop).await }
    });
    stop.cancel();
    loops.await.unwrap();
    for stream in streams {
        assert!(!stream.end().await.contains("[DONE]"), "the job has not ended");
    }
}

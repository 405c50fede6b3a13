//! Large bodies, made on the way: how much memory the server takes for them.

use std::time::Instant;

use reqwest::Method;
use reqwest::multipart::{Form, Part};
use serde_json::json;
use trainyard_tests::api::text;
use trainyard_tests::data;

use crate::server::Server;

/// The largest file, and the largest part of an upload, that the contract allows, in MiB.
const FILE_MIB: u64 = 512;
const PART_MIB: u64 = 64;

/// Sends `mib` as files, then as an upload in parts that is completed; gives a line for each.
pub(crate) async fn measure(server: &Server, mib: u64) -> Vec<String> {
    let before = server.resident_mib("VmRSS");
    let mut lines = Vec::new();
    server.forget_peak();
    let start = Instant::now();
    for file in pieces(mib, FILE_MIB) {
        let form = Form::new().text("purpose", "fine-tune").part("file", part(file));
        send(server, "/v1/files", form).await;
    }
    lines.push(line(server, "POST /v1/files", mib, before, start));

    server.forget_peak();
    let start = Instant::now();
    let body = json!({"filename": "large.jsonl", "purpose": "fine-tune", "bytes": mib << 20, "mime_type": "text/jsonl"});
    let (status, upload) = server.api.call(Method::POST, "/v1/uploads", Some(body)).await;
    assert_eq!(status, 200, "{upload}");
    let id = text(&upload, "/id");
    let mut parts = Vec::new();
    for piece in pieces(mib, PART_MIB) {
        let form = Form::new().part("data", part(piece));
        let made = send(server, &format!("/v1/uploads/{id}/parts"), form).await;
        parts.push(text(&made, "/id"));
    }
    let path = format!("/v1/uploads/{id}/complete");
    let (status, whole) =
        server.api.call(Method::POST, &path, Some(json!({"part_ids": parts}))).await;
    assert_eq!(status, 200, "{whole}");
    lines.push(line(server, "POST /v1/uploads", mib, before, start));
    lines
}

fn line(server: &Server, what: &str, mib: u64, before: u64, start: Instant) -> String {
    let peak = server.resident_mib("VmHWM");
    let seconds = start.elapsed().as_secs_f64();
    format!(
        "  {what:<20} {mib} MiB in {seconds:.1} s ({:.0} MiB/s), {peak} MiB resident at most, {before} MiB before",
        mib as f64 / seconds
    )
}

/// Sizes that add up to `mib`.
fn pieces(mib: u64, most: u64) -> impl Iterator<Item = u64> {
    (0..mib.div_ceil(most)).map(move |number| most.min(mib - number * most))
}

fn part(mib: u64) -> Part {
    Part::stream_with_length(data::stream(mib << 20), mib << 20).file_name("large.jsonl")
}

async fn send(server: &Server, path: &str, form: Form) -> serde_json::Value {
    let http = reqwest::Client::builder().no_proxy().build().expect("a client");
    let request = http.post(format!("{}{path}", server.base)).bearer_auth(&server.key);
    let response = request.multipart(form).send().await.expect("an answer");
    let (status, body) = (response.status(), response.json::<serde_json::Value>().await);
    let body = body.expect("a JSON body");
    assert_eq!(status.as_u16(), 200, "{body}");
    body
}

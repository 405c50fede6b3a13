//! Event streams of the real server: many at once, to its end, and behind `jobs watch`.

use std::time::Duration;

use nix::sys::signal::Signal;
use reqwest::{Method, Response};
use serde_json::Value;
use trainyard_tests::api::{self, number, text};
use trainyard_tests::{Server, built, data, process};

const LIMIT: Duration = Duration::from_secs(120);
const STREAMS: usize = 200;
/// Bytes that a stream on which nothing happens may cost: buffers of the connection on both sides of the runtime, generously.
const STREAM_BYTES_MAX: u64 = 256 * 1024;

/// Memory of a process that is in use, in bytes.
fn resident(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("the process");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("VmRSS");
    line.trim().trim_end_matches(" kB").parse::<u64>().expect("a number") * 1024
}

#[tokio::test]
async fn idle_streams_cost_little_and_end_cleanly_with_the_server() {
    let directory = tempfile::tempdir().expect("a directory");
    let mut server = Server::start_with(directory.path(), &["--streams-per-tenant", "200"]);
    let api = server.api();
    let file = api.file("train.jsonl", data::chat(80)).await;
    let id = api.create(api::request(&file, 40, 4)).await;
    let (status, body) =
        api.call(Method::POST, &format!("/v1/fine_tuning/jobs/{id}/pause"), None).await;
    assert_eq!(status, 200, "{body}");
    api.wait(&id, LIMIT, |job| text(job, "/status") == "paused").await;

    let before = resident(server.pid());
    let http = reqwest::Client::builder().no_proxy().build().expect("a client");
    let url = format!("{}/v1/fine_tuning/jobs/{id}/events?stream=true", server.url());
    let open = async || http.get(&url).bearer_auth(server.key()).send().await.expect("an answer");
    let mut streams: Vec<Response> = Vec::new();
    for _ in 0..STREAMS {
        let mut stream = open().await;
        assert_eq!(stream.status(), 200);
        let first = stream.chunk().await.expect("a piece").expect("no end");
        assert!(first.starts_with(b"id: ftevent-"), "{first:?}");
        streams.push(stream);
    }
    assert_eq!(open().await.status(), 429, "one more than the limit");
    let after = resident(server.pid());
    let each = after.saturating_sub(before) / STREAMS as u64;
    println!(
        "{STREAMS} idle streams: {} KiB before, {} KiB after, {} KiB each",
        before >> 10,
        after >> 10,
        each >> 10
    );
    assert!(each < STREAM_BYTES_MAX, "{each} bytes each");

    let ended = tokio::task::spawn_blocking(move || (server.terminate().0, server.log()));
    for mut stream in streams {
        // A connection that was cut off would be an error here.
        while let Some(piece) = stream.chunk().await.expect("a clean end") {
            assert!(!String::from_utf8_lossy(&piece).contains("[DONE]"), "the job has not ended");
        }
    }
    let (code, log) = ended.await.expect("the server's end");
    assert_eq!(code, Some(0), "{log}");
}

/// `jobs watch --json` of a job as a process of its own.
fn watch(server: &Server, id: &str) -> std::process::Child {
    let mut command = process::clean(&built::binary("trainyard"));
    command.env("TRAINYARD_URL", server.url()).env("TRAINYARD_API_KEY", server.key());
    command.args(["jobs", "watch", id, "--json"]);
    command.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped());
    command.spawn().expect("trainyard runs")
}

fn last_status(said: &process::Said) -> String {
    let last = said.stdout.lines().last().expect("a job");
    text(&serde_json::from_str::<Value>(last).expect("JSON"), "/status")
}

#[tokio::test]
async fn watch_follows_the_stream_through_a_restart() {
    let directory = tempfile::tempdir().expect("a directory");
    let server = Server::start_with(directory.path(), &["--log-level", "debug"]);
    let api = server.api();
    // So long that no machine is done with it before it is cancelled.
    let file = api.file("train.jsonl", data::chat(800)).await;
    let id = api.create(api::request(&file, 50, 4)).await;
    let watching = watch(&server, &id);
    let path = format!("\"/v1/fine_tuning/jobs/{id}/events\"");
    let streamed = async |server: &Server| {
        let start = std::time::Instant::now();
        while !server.log().contains(&path) {
            assert!(start.elapsed() < LIMIT, "no stream was asked for");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    streamed(&server).await;
    process::signal(server.pid(), Signal::SIGKILL);
    let server = server.start_again();
    streamed(&server).await;
    let (status, body) =
        api.call(Method::POST, &format!("/v1/fine_tuning/jobs/{id}/cancel"), None).await;
    assert_eq!(status, 200, "{body}");
    let said = process::Said::from(watching.wait_with_output().expect("its end"));
    assert_eq!((said.code, last_status(&said).as_str()), (4, "cancelled"), "{said:?}");
}

#[tokio::test]
async fn watch_asks_again_and_again_where_streams_are_refused() {
    let directory = tempfile::tempdir().expect("a directory");
    let server = Server::start_with(directory.path(), &["--streams-per-tenant", "0"]);
    let api = server.api();
    let file = api.file("train.jsonl", data::chat(8)).await;
    let id = api.create(api::request(&file, 2, 4)).await;
    let said = watch(&server, &id).wait_with_output().expect("its end");
    let said = process::Said::from(said);
    assert_eq!((said.code, last_status(&said).as_str()), (0, "succeeded"), "{said:?}");
    assert_eq!(number(&api.job(&id).await, "/trainyard/result/steps"), 4.0);
}

//! Large files of the command line: in parts, through a connection that breaks, and given up by Ctrl-C.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use reqwest::Method;
use serde_json::json;
use trainyard_tests::api::text;
use trainyard_tests::{Server, built, data, process};

/// For what takes a second.
const ENDS: Duration = Duration::from_secs(60);

/// What the proxy does once, after so many bytes to the server.
#[derive(Clone, Copy)]
enum Trouble {
    /// Closes the connection.
    Cut,
    /// Passes nothing on any more.
    Stall,
}

/// Passes connections on to the server, and makes trouble on one of them.
struct Proxy {
    url: String,
    met: Arc<AtomicBool>,
}

impl Proxy {
    fn new(server: &Server, trouble: Trouble, after: u64) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let url = format!("http://{}/v1", listener.local_addr().expect("an address"));
        let (met, passed) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let target = server.url().trim_start_matches("http://").to_string();
        let told = met.clone();
        std::thread::spawn(move || {
            for client in listener.incoming() {
                let client = client.expect("a connection");
                let server = TcpStream::connect(&target).expect("the server");
                let (back, home) =
                    (server.try_clone().expect("a copy"), client.try_clone().expect("a copy"));
                std::thread::spawn(move || copy(back, home, |_| false));
                let (told, passed) = (told.clone(), passed.clone());
                let troubled = move |count: usize| {
                    let all = passed.fetch_add(count as u64, Ordering::SeqCst) + count as u64;
                    if all < after || told.swap(true, Ordering::SeqCst) {
                        return false;
                    }
                    if matches!(trouble, Trouble::Stall) {
                        loop {
                            std::thread::sleep(Duration::from_secs(1));
                        }
                    }
                    true
                };
                std::thread::spawn(move || copy(client, server, troubled));
            }
        });
        Self { url, met }
    }
}

/// Copies until an end closes, or `stop` says so of the bytes that came.
fn copy(mut from: TcpStream, mut to: TcpStream, stop: impl Fn(usize) -> bool) {
    let mut buffer = [0; 4096];
    while let Ok(count @ 1..) = from.read(&mut buffer) {
        if stop(count) || to.write_all(&buffer[..count]).is_err() {
            break;
        }
    }
    // The other end may be gone already.
    let _ = from.shutdown(Shutdown::Both);
    let _ = to.shutdown(Shutdown::Both);
}

const IN_PARTS: [&str; 6] = ["--parts-above", "10000", "--part-bytes", "20000", "--json", "--url"];

#[tokio::test]
async fn a_large_file_goes_in_parts() {
    let directory = tempfile::tempdir().expect("a directory");
    let server = Server::start(directory.path());
    let lines = data::chat(400);
    data::file(directory.path(), "large.jsonl", &lines);
    let url = format!("{}/v1", server.url());
    let upload = ["files", "upload", "large.jsonl"];
    let said = server.cli(&[&upload[..], &IN_PARTS, &[&url]].concat());
    assert_eq!(said.code, 0, "{said:?}");
    let file: serde_json::Value = serde_json::from_str(&said.stdout).expect("JSON");
    assert_eq!(
        (text(&file, "/filename"), file["bytes"].as_u64()),
        ("large.jsonl".into(), Some(lines.len() as u64))
    );
    let content = server.api().bytes(&format!("/v1/files/{}/content", text(&file, "/id"))).await;
    assert_eq!(content, lines.as_bytes());
    let said = server.cli(&["files", "upload", "large.jsonl", "--part-bytes", "67108865"]);
    assert!(said.code == 2 && said.stderr.contains("67108864"), "{said:?}");
}

#[tokio::test]
async fn a_part_that_is_lost_is_sent_again() {
    let directory = tempfile::tempdir().expect("a directory");
    let server = Server::start(directory.path());
    let lines = data::chat(400);
    data::file(directory.path(), "large.jsonl", &lines);
    // In the middle of the second part.
    let proxy = Proxy::new(&server, Trouble::Cut, 30_000);
    let upload = ["files", "upload", "large.jsonl"];
    let said = server.cli(&[&upload[..], &IN_PARTS, &[&proxy.url]].concat());
    assert!(proxy.met.load(Ordering::SeqCst), "the connection was not cut");
    assert_eq!(said.code, 0, "{said:?}");
    assert!(said.stderr.contains("part 2: ") && said.stderr.contains("trying again"), "{said:?}");
    let file: serde_json::Value = serde_json::from_str(&said.stdout).expect("JSON");
    let content = server.api().bytes(&format!("/v1/files/{}/content", text(&file, "/id"))).await;
    assert_eq!(content, lines.as_bytes());
}

#[tokio::test]
async fn ctrl_c_cancels_the_upload() {
    let directory = tempfile::tempdir().expect("a directory");
    let server = Server::start(directory.path());
    data::file(directory.path(), "large.jsonl", data::chat(400));
    let proxy = Proxy::new(&server, Trouble::Stall, 30_000);
    let mut command = process::clean(&built::binary("trainyard"));
    command.env("TRAINYARD_API_KEY", server.key()).current_dir(directory.path());
    command.args(["files", "upload", "large.jsonl"]).args(IN_PARTS).arg(&proxy.url);
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("trainyard");
    let start = Instant::now();
    while !proxy.met.load(Ordering::SeqCst) {
        assert!(start.elapsed() < ENDS, "no part arrived");
        std::thread::sleep(Duration::from_millis(10));
    }
    process::signal(child.id(), Signal::SIGINT);
    let said = process::Said::from(child.wait_with_output().expect("its end"));
    assert_eq!(said.code, 130, "{said:?}");
    let id = said.stderr.split_whitespace().find(|word| word.starts_with("upload_"));
    let id = id.unwrap_or_else(|| panic!("{said:?}"));
    assert!(said.stderr.contains(&format!("{id} is cancelled")), "{said:?}");
    let complete = format!("/v1/uploads/{id}/complete");
    let (status, body) =
        server.api().call(Method::POST, &complete, Some(json!({"part_ids": ["part_x"]}))).await;
    assert!(status == 409 && text(&body, "/error/message").contains("cancelled"), "{body}");
    let listed = server.api().get("/v1/files").await;
    assert_eq!(listed["data"].as_array().map(Vec::len), Some(0));
}

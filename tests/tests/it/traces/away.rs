//! A collector that is not there, or never answers, holds up neither jobs nor requests nor the end of the process.

use std::net::TcpListener;
use std::time::{Duration, Instant};

use trainyard_tests::api::{self, text};
use trainyard_tests::{Server, data};

use crate::metrics::scrape::{Scrape, address};

/// A guard against hanging.
const LIMIT: Duration = Duration::from_secs(120);

async fn trains_with(collector: &str) -> (Server, tempfile::TempDir) {
    let directory = tempfile::tempdir().unwrap();
    let flags = ["--traces-endpoint", collector, "--metrics-listen", "127.0.0.1:0"];
    let server = Server::start_with(directory.path(), &flags);
    let api = server.api();
    let file = api.file("train.jsonl", data::chat(8)).await;
    let job = api.end(&api.create(api::request(&file, 1, 4)).await, LIMIT).await;
    assert_eq!(text(&job, "/status"), "succeeded", "{job:#}");
    (server, directory)
}

#[tokio::test]
async fn spans_that_nobody_takes_are_dropped_and_counted() {
    let nobody = TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = format!("http://{}/v1/traces", nobody.local_addr().unwrap());
    drop(nobody);
    let (mut server, _directory) = trains_with(&endpoint).await;
    let (at, begun) = (address(&server.log()), Instant::now());
    loop {
        let scrape = Scrape::of(&at).await;
        if scrape.value("trainyard_trace_spans_total{result=\"dropped\"}") > 0.0 {
            break;
        }
        assert!(begun.elapsed() < LIMIT, "{}", server.log());
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    assert_eq!(server.log().matches("the collector takes no traces").count(), 1, "said once");
    assert_eq!(server.terminate().0, Some(0));
}

#[tokio::test]
async fn the_end_does_not_wait_for_a_collector_that_never_answers() {
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = format!("http://{}/v1/traces", silent.local_addr().unwrap());
    let (mut server, _directory) = trains_with(&endpoint).await;
    let (code, took) = server.terminate();
    assert_eq!(code, Some(0), "{}", server.log());
    assert!(took < Duration::from_secs(9), "{took:?}, where two seconds are left to the collector");
    assert!(server.log().contains("the last spans are lost"), "{}", server.log());
}

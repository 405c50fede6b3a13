//! Prometheus itself, scraping a server.

use std::fs::File;
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;
use trainyard_tests::{Server, data};

use super::scrape::address;

/// It scrapes every second; two busy cores may take their time.
const LIMIT: Duration = Duration::from_secs(60);

/// A process that is killed, by its id, when it is dropped.
struct Prometheus {
    child: Child,
    port: u16,
}

impl Prometheus {
    /// Starts it in `directory` with the configuration there.
    fn start(directory: &Path) -> Self {
        // It cannot take port 0 and say which it got.
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let child = Command::new("prometheus")
            .current_dir(directory)
            .args(["--config.file=prometheus.yml", "--storage.tsdb.path=tsdb"])
            .arg(format!("--web.listen-address=127.0.0.1:{port}"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(File::create(directory.join("prometheus.log")).unwrap())
            .spawn()
            .expect("prometheus, of the package of that name: run `make test`");
        Self { child, port }
    }

    /// The value of the first series that `query` finds; none as long as nothing answers.
    async fn ask(&self, http: &reqwest::Client, query: &str) -> Option<String> {
        let url = format!("http://127.0.0.1:{}/api/v1/query", self.port);
        let answer = http.get(url).query(&[("query", query)]).send().await.ok()?;
        let answer: Value = answer.json().await.ok()?;
        answer.pointer("/data/result/0/value/1")?.as_str().map(str::to_string)
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[tokio::test]
async fn prometheus_scrapes_a_running_server() {
    let directory = tempfile::tempdir().unwrap();
    let server = Server::start_with(directory.path(), &["--metrics-listen", "127.0.0.1:0"]);
    let config = format!(
        "global: {{scrape_interval: 1s}}\nscrape_configs:\n  - job_name: trainyard\n    static_configs: [{{targets: ['{}']}}]\n",
        address(&server.log())
    );
    data::file(directory.path(), "prometheus.yml", config);
    let mut prometheus = Prometheus::start(directory.path());
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    let begun = Instant::now();
    while prometheus.ask(&http, "up{job=\"trainyard\"} == 1").await.is_none() {
        let log = std::fs::read_to_string(directory.path().join("prometheus.log")).unwrap();
        assert!(begun.elapsed() < LIMIT, "{log}");
        if prometheus.child.try_wait().unwrap().is_some() {
            // Somebody else was given the port meanwhile.
            assert!(log.contains("address already in use"), "{log}");
            prometheus = Prometheus::start(directory.path());
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    let durable = prometheus.ask(&http, "trainyard_store_durable").await;
    assert_eq!(durable.as_deref(), Some("1"));
    let slots = prometheus.ask(&http, "sum(trainyard_executor_slots)").await;
    assert_eq!(slots.as_deref(), Some("1"));
}

//! An answer of `/metrics`, taken apart.

use std::collections::BTreeMap;
use std::io::Write;
use std::process::{Command, Stdio};

use serde_json::Value;
use trainyard_tests::api::text;

/// What was answered.
pub(crate) struct Scrape {
    pub(crate) text: String,
    /// Values by name and labels, as they are written.
    values: BTreeMap<String, f64>,
}

impl Scrape {
    /// Asks the listener at `address`.
    pub(crate) async fn of(address: &str) -> Self {
        let http = reqwest::Client::builder().no_proxy().build().unwrap();
        Self::with(&http, address).await
    }

    /// The same with a client whose connection is kept.
    pub(crate) async fn with(http: &reqwest::Client, address: &str) -> Self {
        let response = http.get(format!("http://{address}/metrics")).send().await.unwrap();
        assert_eq!(response.status().as_u16(), 200);
        assert_eq!(response.headers()["content-type"], "text/plain; version=0.0.4");
        let text = response.text().await.unwrap();
        let samples = text.lines().filter(|line| !line.starts_with('#'));
        let values = samples.map(|line| {
            let (name, value) = line.rsplit_once(' ').expect("a sample");
            (name.to_string(), value.parse().expect("a number"))
        });
        let values = values.collect();
        Self { text, values }
    }

    /// Metrics by name, a histogram by the name without its suffixes.
    pub(crate) fn names(&self) -> Vec<&str> {
        let types = self.text.lines().filter_map(|line| line.strip_prefix("# TYPE "));
        types.filter_map(|line| line.split(' ').next()).collect()
    }

    /// The value of a series.
    pub(crate) fn value(&self, series: &str) -> f64 {
        let found = self.values.get(series);
        *found.unwrap_or_else(|| panic!("no series {series} in\n{}", self.text))
    }

    /// The sum of all series of a metric.
    pub(crate) fn sum(&self, name: &str) -> f64 {
        let of_name = |series: &str| series.split('{').next() == Some(name);
        self.values.iter().filter(|(series, _)| of_name(series)).map(|(_, value)| value).sum()
    }

    /// All series, by name and labels.
    pub(crate) fn all(&self) -> impl Iterator<Item = &str> {
        self.values.keys().map(String::as_str)
    }

    pub(crate) fn series(&self) -> usize {
        self.values.len()
    }

    /// Whether Prometheus' own tool finds nothing to say against names and texts.
    pub(crate) fn lint(&self) {
        let mut promtool = Command::new("promtool")
            .args(["check", "metrics"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("promtool, of the package prometheus: run `make test`");
        promtool.stdin.take().unwrap().write_all(self.text.as_bytes()).unwrap();
        let said = promtool.wait_with_output().unwrap();
        let words = [said.stdout, said.stderr].concat();
        let words = String::from_utf8_lossy(&words);
        assert!(said.status.success() && words.trim().is_empty(), "{words}");
    }
}

/// The address of the listener for metrics, as a log in JSON says it.
pub(crate) fn address(log: &str) -> String {
    let lines = log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let mut said = lines.filter(|line| text(line, "/fields/message") == "metrics");
    said.next().map(|line| text(&line, "/fields/address")).expect("an address in the log")
}

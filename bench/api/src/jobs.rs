//! Jobs of one tenant: submitted, listed, looked at.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};
use tokio::task::JoinSet;
use trainyard_tests::api::{self, text};
use trainyard_tests::{Api, data};

use crate::load::{Measured, answered, histogram, open_loop, record};
use crate::server::Server;

/// How often each list is asked for.
const LISTS: usize = 500;
/// Files take their time to be validated on a busy machine.
const SETTLE_MAX: Duration = Duration::from_secs(1200);

/// A tenant and the jobs that it has.
pub(crate) struct Filled<'a> {
    server: &'a Server,
    client: Client,
    file: String,
    ids: Vec<String>,
}

/// Requests with the tenant's key.
#[derive(Clone)]
struct Client {
    http: reqwest::Client,
    base: String,
    key: String,
}

impl Client {
    fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.http.request(method, format!("{}{path}", self.base)).bearer_auth(&self.key)
    }
}

impl<'a> Filled<'a> {
    /// The first tenant.
    pub(crate) fn new(server: &'a Server, file: &str) -> Self {
        Self::with(server, &server.key, file)
    }

    fn with(server: &'a Server, key: &str, file: &str) -> Self {
        let http = reqwest::Client::builder().no_proxy().tcp_nodelay(true).build();
        let client = Client {
            http: http.expect("a client"),
            base: server.base.clone(),
            key: key.to_string(),
        };
        Self { server, client, file: file.to_string(), ids: Vec::new() }
    }

    /// Another tenant, with no jobs.
    pub(crate) async fn tenant(&self) -> Self {
        let call = async |path: &str, body: Value| {
            let (status, body) = self.server.api.call(Method::POST, path, Some(body)).await;
            assert_eq!(status, 200, "{body}");
            body
        };
        let tenant = call("/v1/admin/tenants", json!({"name": "bench"})).await;
        let path = format!("/v1/admin/tenants/{}/keys", text(&tenant, "/id"));
        let key = text(&call(&path, json!({"name": "bench"})).await, "/key");
        let file = Api::new(&self.server.base, &key).file("train.jsonl", data::chat(20)).await;
        Self::with(self.server, &key, &file)
    }

    /// Submits as fast as the answers come for `time`.
    pub(crate) async fn submits(&mut self, clients: usize, time: Duration) -> Measured {
        let end = Instant::now() + time;
        let what = format!("submits beside {} jobs", self.ids.len());
        self.submit_while(what, clients, move |_| Instant::now() < end).await
    }

    /// Submits until there are `count` jobs.
    pub(crate) async fn fill(&mut self, count: usize, clients: usize) {
        let missing = count.saturating_sub(self.ids.len());
        self.submit_while(String::new(), clients, move |number| number < missing).await;
    }

    async fn submit_while(
        &mut self,
        what: String,
        clients: usize,
        more: impl Fn(usize) -> bool + Clone + Send + 'static,
    ) -> Measured {
        let (start, next) = (Instant::now(), Arc::new(AtomicUsize::new(0)));
        let mut running = JoinSet::new();
        for _ in 0..clients {
            let (client, next, more) = (self.client.clone(), next.clone(), more.clone());
            let (file, before) = (self.file.clone(), self.ids.len());
            running.spawn(async move {
                let mut made = Vec::new();
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if !more(number) {
                        return made;
                    }
                    let mut body = api::request(&file, 1, 4);
                    body["metadata"] = pairs(before + number);
                    let request = client.request(Method::POST, "/v1/fine_tuning/jobs").json(&body);
                    let sent = Instant::now();
                    let answer = answered(request).await;
                    let latency = sent.elapsed();
                    let job: Value = serde_json::from_slice(&answer).expect("JSON");
                    made.push((text(&job, "/id"), latency));
                }
            });
        }
        let mut latencies = histogram();
        while let Some(made) = running.join_next().await {
            for (id, latency) in made.expect("a client") {
                record(&mut latencies, latency);
                self.ids.push(id);
            }
        }
        Measured::new(what, latencies, start.elapsed())
    }

    /// Waits until every job has been validated: the last ones are looked at.
    pub(crate) async fn settle(&self) {
        let start = Instant::now();
        for id in self.ids.iter().rev().take(500) {
            let path = format!("/v1/fine_tuning/jobs/{id}");
            loop {
                let answer = answered(self.client.request(Method::GET, &path)).await;
                let job: Value = serde_json::from_slice(&answer).expect("JSON");
                if text(&job, "/status") == "queued" {
                    break;
                }
                assert!(start.elapsed() < SETTLE_MAX, "not validated: {job:#}");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }

    /// The first page and one in the middle, of all jobs, of those of a pair that a tenth has, and of those of two pairs.
    pub(crate) async fn lists(&self) -> Vec<Measured> {
        let mut measured = Vec::new();
        for (name, filter) in [
            ("all", ""),
            ("one pair", "&metadata[team]=7"),
            ("two pairs", "&metadata[team]=7&metadata[run]=7"),
            ("a pair of none", "&metadata[team]=none"),
        ] {
            let first = format!("/v1/fine_tuning/jobs?limit=20{filter}");
            let deep = format!("{first}&after={}", self.ids[self.ids.len() / 2]);
            for (place, path) in [("first page", first), ("deep page", deep)] {
                let (start, mut latencies) = (Instant::now(), histogram());
                for _ in 0..LISTS {
                    let sent = Instant::now();
                    answered(self.client.request(Method::GET, &path)).await;
                    record(&mut latencies, sent.elapsed());
                }
                let what = format!("list of {name}, {place}");
                measured.push(Measured::new(what, latencies, start.elapsed()));
            }
        }
        measured
    }

    /// Looks at jobs here and there, `rate` times a second.
    pub(crate) async fn gets(&self, rate: u64, time: Duration) -> Measured {
        let (client, ids) = (self.client.clone(), self.ids.clone());
        open_loop("GET of a queued job, open loop", rate, time, move |number| {
            // Steps of a prime visit them all in no order that a cache would like.
            let id = &ids[number as usize * 7_919 % ids.len()];
            client.request(Method::GET, &format!("/v1/fine_tuning/jobs/{id}"))
        })
        .await
    }
}

/// A tenth of the jobs is of a team, a fiftieth of a run.
fn pairs(number: usize) -> Value {
    json!({"team": (number % 10).to_string(), "run": (number % 50).to_string()})
}

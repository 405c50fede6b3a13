//! A plain client of the API: JSON in, status and JSON out, so that a test sees what any client sees.

use std::path::Path;
use std::time::{Duration, Instant};

use reqwest::Method;
use reqwest::multipart::{Form, Part};
use serde_json::{Value, json};

/// A client of one server.
#[derive(Debug, Clone)]
pub struct Api {
    http: reqwest::Client,
    base: String,
    key: String,
}

impl Api {
    /// A client of the server at `base` (without `/v1`) with an API key.
    pub fn new(base: &str, key: &str) -> Self {
        let http = reqwest::Client::builder().no_proxy().build().expect("a client");
        Self { http, base: base.to_string(), key: key.to_string() }
    }

    /// Any request; gives status and body.
    pub async fn call(&self, method: Method, path: &str, body: Option<Value>) -> (u16, Value) {
        let mut request =
            self.http.request(method, format!("{}{path}", self.base)).bearer_auth(&self.key);
        if let Some(body) = body {
            request = request.json(&body);
        }
        let response = request.send().await.expect("an answer");
        let status = response.status().as_u16();
        (status, response.json().await.expect("a JSON body"))
    }

    /// A `GET` that succeeds.
    pub async fn get(&self, path: &str) -> Value {
        let (status, body) = self.call(Method::GET, path, None).await;
        assert_eq!(status, 200, "{path}: {body}");
        body
    }

    /// A `GET` of bytes that succeeds.
    pub async fn bytes(&self, path: &str) -> Vec<u8> {
        let request = self.http.get(format!("{}{path}", self.base)).bearer_auth(&self.key);
        let response = request.send().await.expect("an answer");
        assert_eq!(response.status().as_u16(), 200, "{path}");
        response.bytes().await.expect("the body").to_vec()
    }

    /// Uploads bytes for training; gives the status and the body.
    pub async fn upload(&self, name: &str, content: impl Into<Vec<u8>>) -> (u16, Value) {
        let part = Part::bytes(content.into()).file_name(name.to_string());
        let form = Form::new().text("purpose", "fine-tune").part("file", part);
        let request = self.http.post(format!("{}/v1/files", self.base)).bearer_auth(&self.key);
        let response = request.multipart(form).send().await.expect("an answer");
        (response.status().as_u16(), response.json().await.expect("a JSON body"))
    }

    /// Uploads a file that is taken; gives its id.
    pub async fn file(&self, name: &str, content: impl Into<Vec<u8>>) -> String {
        let (status, body) = self.upload(name, content).await;
        assert_eq!(status, 200, "{body}");
        text(&body, "/id")
    }

    /// Creates a job that is taken; gives its id.
    pub async fn create(&self, request: Value) -> String {
        let (status, body) = self.call(Method::POST, "/v1/fine_tuning/jobs", Some(request)).await;
        assert_eq!(status, 200, "{body}");
        text(&body, "/id")
    }

    /// A job as it is now.
    pub async fn job(&self, id: &str) -> Value {
        self.get(&format!("/v1/fine_tuning/jobs/{id}")).await
    }

    /// Waits until `ready` says yes of the job.
    ///
    /// # Panics
    /// After `limit`, with the job as it was last.
    pub async fn wait(&self, id: &str, limit: Duration, ready: impl Fn(&Value) -> bool) -> Value {
        let start = Instant::now();
        loop {
            let job = self.job(id).await;
            if ready(&job) {
                return job;
            }
            assert!(start.elapsed() < limit, "not within {limit:?}: {job:#}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Waits until the job has ended, whichever way.
    pub async fn end(&self, id: &str, limit: Duration) -> Value {
        self.wait(id, limit, |job| {
            matches!(text(job, "/status").as_str(), "succeeded" | "failed" | "cancelled")
        })
        .await
    }

    /// A file of a fine-tuned model.
    pub async fn artifact(&self, model: &str, name: &str) -> Vec<u8> {
        self.bytes(&format!("/v1/models/{model}/artifacts/{name}")).await
    }

    /// Messages of the job's events, oldest first.
    pub async fn messages(&self, id: &str) -> Vec<String> {
        let page = self.get(&format!("/v1/fine_tuning/jobs/{id}/events?limit=1000")).await;
        let events = page["data"].as_array().expect("a list").iter().rev();
        events.map(|event| text(event, "/message")).collect()
    }
}

/// The text at a JSON pointer; empty where there is none.
pub fn text(value: &Value, pointer: &str) -> String {
    value.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_string()
}

/// The number at a JSON pointer.
///
/// # Panics
/// Where there is none.
pub fn number(value: &Value, pointer: &str) -> f64 {
    let found = value.pointer(pointer).and_then(Value::as_f64);
    found.unwrap_or_else(|| panic!("no number at {pointer}: {value:#}"))
}

/// A create request for the tiny model: fp32, plain schedule, a fixed seed.
pub fn request(training_file: &str, epochs: u32, batch_size: u32) -> Value {
    json!({
        "model": crate::data::MODEL,
        "training_file": training_file,
        "seed": 7,
        "method": {"type": "supervised", "supervised": {"hyperparameters": {"n_epochs": epochs, "batch_size": batch_size}}},
        "trainyard": {
            "adapter": {"rank": 4, "alpha": 8.0},
            "optimizer": {"learning_rate": 0.01},
            "precision": "fp32",
            "sequence": {"max_length": 128, "packing": false},
        },
    })
}

/// Reads a whole file.
pub fn read(path: &Path) -> Vec<u8> {
    std::fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

//! Clients as they should be: each request has a key, an answer that says nothing definite is asked for again under the same key, and
//! only what was answered is written down as promised.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use reqwest::Method;
use serde_json::{Value, json};
use trainyard_tests::api::text;
use trainyard_tests::data;

use crate::ledger::{Entry, Ledger};
use crate::random::Random;

/// No fault lasts so long: a hang guard.
const PATIENCE: Duration = Duration::from_secs(240);
/// Time for one answer; more than a write has to wait for a record that comes back.
const ANSWER_MAX: Duration = Duration::from_secs(15);
/// Lines of the training file.
pub const LINES: u64 = 24;
/// Lines of a step.
pub const BATCH: u32 = 2;

/// A client that knows every api.
#[derive(Debug, Clone)]
pub struct Client {
    http: reqwest::Client,
    apis: Vec<String>,
    key: String,
    turn: Arc<AtomicUsize>,
    /// Requests that had to be sent again.
    pub repeated: Arc<AtomicUsize>,
}

impl Client {
    /// One with an API key.
    pub fn new(apis: &[String], key: &str) -> Self {
        let http = reqwest::Client::builder().no_proxy().timeout(ANSWER_MAX).build();
        let (turn, repeated) = <(Arc<AtomicUsize>, Arc<AtomicUsize>)>::default();
        Self { http: http.expect("a client"), apis: apis.to_vec(), key: key.into(), turn, repeated }
    }

    /// Asks until there is a definite answer: not a cut connection, not a server's fault, not "later".
    ///
    /// # Panics
    /// Where none comes in a time that no fault lasts.
    pub async fn ask(
        &self,
        method: Method,
        path: &str,
        body: Option<(&str, &Value)>,
    ) -> (u16, Value) {
        let begun = Instant::now();
        loop {
            let last = match self.once(method.clone(), path, body).await {
                Ok((status, answer)) if !is_ambiguous(status, &answer) => return (status, answer),
                Ok((status, answer)) => format!("{status} {answer}"),
                Err(error) => error.to_string(),
            };
            assert!(begun.elapsed() < PATIENCE, "no definite answer to {method} {path}: {last}");
            self.repeated.fetch_add(1, Ordering::Relaxed);
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    /// A `GET` that succeeds.
    ///
    /// # Panics
    /// Where it does not.
    pub async fn get(&self, path: &str) -> Value {
        let (status, body) = self.ask(Method::GET, path, None).await;
        assert_eq!(status, 200, "{path}: {body}");
        body
    }

    /// A file of a fine-tuned model; the status where there is none.
    ///
    /// # Errors
    /// The status.
    pub async fn artifact(&self, model: &str, name: &str) -> Result<Vec<u8>, u16> {
        let begun = Instant::now();
        loop {
            let url = format!("{}/v1/models/{model}/artifacts/{name}", self.next_api());
            if let Ok(answer) = self.http.get(url).bearer_auth(&self.key).send().await {
                let status = answer.status().as_u16();
                match answer.bytes().await {
                    Ok(bytes) if status == 200 => return Ok(bytes.to_vec()),
                    Ok(_) if status < 500 => return Err(status),
                    _ => {}
                }
            }
            assert!(begun.elapsed() < PATIENCE, "no definite answer for {name} of {model}");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    /// Uploads the training file; gives its id and its content.
    ///
    /// # Panics
    /// Where it is refused.
    pub async fn upload(&self) -> (String, String) {
        let content = data::chat(LINES as usize);
        let part = reqwest::multipart::Part::bytes(content.clone().into_bytes());
        let form = reqwest::multipart::Form::new()
            .text("purpose", "fine-tune")
            .part("file", part.file_name("train.jsonl"));
        let request = self.http.post(format!("{}/v1/files", self.apis[0]));
        let answer =
            request.bearer_auth(&self.key).multipart(form).send().await.expect("an answer");
        let body: Value = answer.json().await.expect("JSON");
        (text(&body, "/id"), content)
    }

    async fn once(
        &self,
        method: Method,
        path: &str,
        body: Option<(&str, &Value)>,
    ) -> reqwest::Result<(u16, Value)> {
        let url = format!("{}{path}", self.next_api());
        let mut request = self.http.request(method, url).bearer_auth(&self.key);
        if let Some((key, body)) = body {
            request = request.json(body);
            if !key.is_empty() {
                request = request.header("Idempotency-Key", key);
            }
        }
        let answer = request.send().await?;
        let status = answer.status().as_u16();
        Ok((status, answer.json().await?))
    }

    fn next_api(&self) -> &str {
        &self.apis[self.turn.fetch_add(1, Ordering::Relaxed) % self.apis.len()]
    }
}

/// Whether the same request may do later: nobody answered, or not yet.
fn is_ambiguous(status: u16, answer: &Value) -> bool {
    let code = text(answer, "/error/code");
    matches!(status, 408 | 429 | 500..) || code == "idempotency_in_progress"
}

/// What a client wants of its job beside the result.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wish {
    /// Nothing.
    None,
    /// That it ends.
    Cancel,
    /// That it pauses for a while.
    Pause,
}

/// The parameters of the jobs of a run.
#[derive(Debug, Clone)]
pub struct Work {
    /// The training file's id.
    pub file: String,
    /// Passes over it: how long a job is.
    pub epochs: u32,
    /// `sequence.max_length`, which says how long a step is.
    pub max_length: u32,
    /// Steps from one checkpoint to the next.
    pub every_steps: u32,
}

/// Submits the job number `number` and writes down what is acknowledged; gives its id.
pub async fn create(
    client: &Client,
    ledger: &Ledger,
    work: &Work,
    seed: u64,
    number: u64,
) -> String {
    let key = key_of(seed, number);
    let body = json!({
        "model": data::MODEL,
        "training_file": work.file,
        // Its own, so that no chain of another job can pass for this one's.
        "seed": number,
        "metadata": {"key": key},
        "method": {"type": "supervised", "supervised": {"hyperparameters": {"n_epochs": work.epochs, "batch_size": BATCH}}},
        "trainyard": {
            "adapter": {"rank": 4, "alpha": 8.0},
            "precision": "fp32",
            "sequence": {"max_length": work.max_length, "packing": false},
            "checkpoint": {"every_steps": work.every_steps, "every_seconds": null, "keep": 3},
        },
    });
    let (status, job) = client.ask(Method::POST, "/v1/fine_tuning/jobs", Some((&key, &body))).await;
    let id = text(&job, "/id");
    if status != 200 {
        ledger.write(Entry::Refused { key, answer: format!("{status} {job}") });
        return id;
    }
    ledger.write(Entry::Submitted { key: key.clone(), seed: number, job: id.clone() });
    // A careful client that has lost its memory of the answer asks once more, and gets the same job.
    if Random::new(seed ^ (number << 20)).below(4) == 0 {
        let again = client.ask(Method::POST, "/v1/fine_tuning/jobs", Some((&key, &body))).await;
        if again.0 == 200 && text(&again.1, "/id") != id {
            ledger.write(Entry::Submitted {
                key: format!("{key} again"),
                seed: number,
                job: text(&again.1, "/id"),
            });
        }
    }
    id
}

/// The same, and has the job cancelled or paused where that is drawn.
pub async fn submit(
    client: &Client,
    ledger: &Ledger,
    work: &Work,
    seed: u64,
    number: u64,
) -> String {
    let id = create(client, ledger, work, seed, number).await;
    if id.is_empty() {
        return id;
    }
    let key = key_of(seed, number);
    let mut random = Random::new(seed ^ (number << 20) ^ 1);
    let wish =
        random.one(&[Wish::Cancel, Wish::Pause, Wish::None, Wish::None, Wish::None, Wish::None]);
    let wait = Duration::from_millis(random.below(3000));
    let job = format!("/v1/fine_tuning/jobs/{id}");
    let act = async |what: &str| {
        let path = format!("{job}/{what}");
        client.ask(Method::POST, &path, Some((&format!("{key}-{what}"), &json!({})))).await.0
    };
    match wish {
        Wish::None => {}
        Wish::Cancel => {
            tokio::time::sleep(wait).await;
            // An api that dies between the end of the job and its answer leaves a repetition that finds nothing to cancel.
            ledger.write(Entry::Unwanted { job: id.clone() });
            if act("cancel").await == 200 {
                ledger.write(Entry::Cancelled { job: id.clone() });
            }
        }
        Wish::Pause => {
            tokio::time::sleep(wait).await;
            let paused = act("pause").await;
            tokio::time::sleep(wait).await;
            // A pause that was asked for may be a moment away; what has ended meanwhile cannot be resumed.
            if paused == 200 {
                act("resume").await;
            }
        }
    }
    id
}

fn key_of(seed: u64, number: u64) -> String {
    format!("run-{seed}-job-{number}")
}

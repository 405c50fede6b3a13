//! The HTTP client behind the client commands: OpenAI's API over `reqwest`, with errors that carry an exit code.
//!
//! It knows requests and answers, nothing of tables and flags. Answers stay JSON values until somebody reads them, so
//! that `--json` prints what the server said.

mod address;
mod credential;
mod error;
pub(crate) mod sse;

use std::time::Duration;

use reqwest::{Method, RequestBuilder, Response, StatusCode};
use serde::de::DeserializeOwned;
use serde_json::Value;
use trainyard_openapi::error::ErrorBody;

pub(crate) use address::{base_url, is_loopback};
pub(crate) use credential::Credential;
pub(crate) use error::ClientError;

/// Repeats of a request that the server was too busy for.
const RETRIES_MAX: u32 = 3;
/// The longest wait that a server's `Retry-After` is obeyed for.
const RETRY_AFTER_SECONDS_MAX: u64 = 60;

/// The content type of server-sent events.
const EVENT_STREAM: &str = "text/event-stream";
/// From the request to the head of an event stream.
const EVENTS_WITHIN: Duration = Duration::from_secs(30);

/// A client of one server.
#[derive(Debug, Clone)]
pub(crate) struct Client {
    http: reqwest::Client,
    /// Without a limit on the time between two bytes: the answer to an upload comes after its last byte, and an event stream says
    /// something when there is something to say.
    patient: reqwest::Client,
    base: reqwest::Url,
    credential: Credential,
}

impl Client {
    /// A client of the server at `base`, which ends in `/v1`. Requests without a body stream end within `timeout`.
    pub(crate) fn new(
        base: reqwest::Url,
        credential: Credential,
        timeout: Duration,
    ) -> Result<Self, ClientError> {
        if credential.secret().is_some() && base.scheme() == "http" && !address::is_loopback(&base)
        {
            tracing::warn!("the API key goes to {base} unencrypted; use https://");
        }
        let http = build(&base, Some(timeout))?;
        let patient = build(&base, None)?;
        Ok(Self { http, patient, base, credential })
    }

    /// `GET path`, with each pair of `query`.
    pub(crate) async fn get(
        &self,
        path: &[&str],
        query: &[(String, String)],
    ) -> Result<Value, ClientError> {
        let response = self.send(|| self.request(Method::GET, path).query(query)).await?;
        self.json(response).await
    }

    /// `POST path` with a JSON body, or none. The same `idempotency_key` makes repeats one.
    pub(crate) async fn post(
        &self,
        path: &[&str],
        body: Option<&Value>,
        idempotency_key: &str,
    ) -> Result<Value, ClientError> {
        let response = self
            .send(|| {
                let request =
                    self.request(Method::POST, path).header("Idempotency-Key", idempotency_key);
                match body {
                    Some(body) => request.json(body),
                    None => request,
                }
            })
            .await?;
        self.json(response).await
    }

    /// `DELETE path`, with each pair of `query`.
    pub(crate) async fn delete(
        &self,
        path: &[&str],
        query: &[(String, String)],
    ) -> Result<Value, ClientError> {
        let response = self.send(|| self.request(Method::DELETE, path).query(query)).await?;
        self.json(response).await
    }

    /// `GET path` as a stream of bytes.
    pub(crate) async fn download(&self, path: &[&str]) -> Result<Response, ClientError> {
        self.send(|| self.request(Method::GET, path)).await
    }

    /// `GET path` as server-sent events, those after `last` where it is given.
    pub(crate) async fn events(
        &self,
        path: &[&str],
        last: Option<&str>,
    ) -> Result<Response, ClientError> {
        let request = self.request_by(&self.patient, Method::GET, path);
        let mut request = request.query(&[("stream", "true")]).header("accept", EVENT_STREAM);
        if let Some(last) = last {
            request = request.header("last-event-id", last);
        }
        let response = tokio::time::timeout(EVENTS_WITHIN, request.send());
        let response = response.await.map_err(|_| ClientError::Unreachable {
            url: self.base.to_string(),
            reason: format!("no event stream within {} s", EVENTS_WITHIN.as_secs()),
            refused: false,
        })?;
        let response = response.map_err(|source| ClientError::unreachable(&self.base, source))?;
        let response = accepted(response).await?;
        let kind = response.headers().get("content-type");
        if !kind.is_some_and(|kind| kind.as_bytes().starts_with(EVENT_STREAM.as_bytes())) {
            return Err(ClientError::Answer("no event stream where one was asked for".to_string()));
        }
        Ok(response)
    }

    /// `POST path` with a form. It is sent once: its body is a stream. A caller that sends it again gives the same `idempotency_key`.
    pub(crate) async fn upload(
        &self,
        path: &[&str],
        form: reqwest::multipart::Form,
        idempotency_key: Option<&str>,
    ) -> Result<Value, ClientError> {
        let mut request = self.request_by(&self.patient, Method::POST, path).multipart(form);
        if let Some(key) = idempotency_key {
            request = request.header("Idempotency-Key", key);
        }
        let response = request.send().await;
        let response = response.map_err(|source| ClientError::unreachable(&self.base, source))?;
        self.json(accepted(response).await?).await
    }

    fn request(&self, method: Method, path: &[&str]) -> RequestBuilder {
        self.request_by(&self.http, method, path)
    }

    fn request_by(&self, http: &reqwest::Client, method: Method, path: &[&str]) -> RequestBuilder {
        let mut url = self.base.clone();
        if let Ok(mut segments) = url.path_segments_mut() {
            // Names of models hold colons and may hold anything: each segment is escaped.
            segments.pop_if_empty().extend(path);
        }
        let request = http.request(method, url);
        match self.credential.secret() {
            Some(secret) => request.bearer_auth(secret),
            None => request,
        }
    }

    /// Sends what `request` makes, again where the server says that it is too busy.
    async fn send(&self, request: impl Fn() -> RequestBuilder) -> Result<Response, ClientError> {
        let mut attempt = 0;
        loop {
            let response = request().send().await;
            let response =
                response.map_err(|source| ClientError::unreachable(&self.base, source))?;
            let busy = matches!(
                response.status(),
                StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE
            );
            if !busy || attempt == RETRIES_MAX {
                return accepted(response).await;
            }
            let asked = response.headers().get("retry-after");
            let asked = asked.and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
            let seconds = asked.unwrap_or(1 << attempt).min(RETRY_AFTER_SECONDS_MAX);
            tokio::time::sleep(Duration::from_secs(seconds)).await;
            attempt += 1;
        }
    }

    async fn json(&self, response: Response) -> Result<Value, ClientError> {
        let text =
            response.text().await.map_err(|source| ClientError::unreachable(&self.base, source))?;
        serde_json::from_str(&text).map_err(|error| ClientError::Answer(error.to_string()))
    }
}

/// A connection pool for `base`; each read of an answer ends within `timeout`.
fn build(base: &reqwest::Url, timeout: Option<Duration>) -> Result<reqwest::Client, ClientError> {
    let mut builder = reqwest::Client::builder()
        .user_agent(concat!("trainyard/", env!("CARGO_PKG_VERSION")))
        .connect_timeout(Duration::from_secs(10));
    if let Some(timeout) = timeout {
        builder = builder.read_timeout(timeout);
    }
    if address::is_loopback(base) {
        // A proxy cannot reach this machine's own loopback address.
        builder = builder.no_proxy();
    }
    builder.build().map_err(|source| ClientError::unreachable(base, source))
}

/// An answer that says yes; the error of one that does not.
async fn accepted(response: Response) -> Result<Response, ClientError> {
    let status = response.status();
    if status.is_success() {
        return Ok(response);
    }
    let request_id = response.headers().get("x-request-id");
    let request_id = request_id.and_then(|id| id.to_str().ok()).map(str::to_string);
    let text = response.text().await.unwrap_or_default();
    let detail = match serde_json::from_str::<ErrorBody>(&text) {
        Ok(body) => body.error,
        Err(_) => {
            let start: String = text.chars().take(200).collect();
            return Err(ClientError::Answer(format!("status {status}: {start}")));
        }
    };
    Err(ClientError::Api { status: status.as_u16(), detail, request_id })
}

/// Reads an answer as one of the contract's types.
pub(crate) fn read<T: DeserializeOwned>(value: &Value) -> Result<T, ClientError> {
    T::deserialize(value).map_err(|error| ClientError::Answer(error.to_string()))
}

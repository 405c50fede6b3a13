//! Several addresses of one control plane: a call goes to the one that answered last, and to the next where that gives no answer.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use reqwest::redirect::Policy;
use reqwest::{Certificate, Client, Response, StatusCode, Url};
use serde::Serialize;
use serde::de::DeserializeOwned;
use trainyard_scheduler::port::control_plane::LeaseError;
use trainyard_scheduler::port::lease_call::{ROOT, Refusal, UNKNOWN_LEASE};
use trainyard_scheduler::trace::{Span, SpanKind};

use super::RemoteError;

/// Bytes of an answer: a claim carries a plan of some kilobytes.
const ANSWER_BYTES_MAX: usize = 1024 * 1024;

/// The addresses.
#[derive(Debug)]
pub(super) struct Endpoints {
    http: Client,
    /// Without a slash at the end.
    addresses: Vec<String>,
    /// Counts up at each failure; the address in use is its remainder.
    current: AtomicUsize,
}

/// One try at one address. Where it ends without an answer, be it that its caller gave up, the next try goes to the next address.
struct Try<'a> {
    endpoints: &'a Endpoints,
    at: usize,
    answered: bool,
}

impl Drop for Try<'_> {
    fn drop(&mut self) {
        if !self.answered {
            // Somebody else may have moved on already.
            let (at, next) = (self.at, self.at.wrapping_add(1));
            let current = &self.endpoints.current;
            let _ = current.compare_exchange(at, next, Ordering::Relaxed, Ordering::Relaxed);
        }
    }
}

impl Endpoints {
    pub(super) fn new(
        addresses: Vec<Url>,
        connect_max: Duration,
        ca_pem: Option<&[u8]>,
    ) -> Result<Self, RemoteError> {
        if addresses.is_empty() {
            return Err(RemoteError::NoAddress);
        }
        if let Some(wrong) = addresses.iter().find(|url| !is_root(url)) {
            return Err(RemoteError::Address(wrong.to_string()));
        }
        // No proxy: the environment is not ours to read, and redirects would carry tokens elsewhere.
        let mut http = Client::builder()
            .user_agent(concat!("trainyard/", env!("CARGO_PKG_VERSION")))
            .redirect(Policy::none())
            .no_proxy()
            .connect_timeout(connect_max);
        if let Some(pem) = ca_pem {
            let certificates =
                Certificate::from_pem_bundle(pem).map_err(RemoteError::Certificates)?;
            if certificates.is_empty() {
                return Err(RemoteError::NoCertificate);
            }
            http = certificates.into_iter().fold(http, |http, one| http.add_root_certificate(one));
        }
        let addresses =
            addresses.iter().map(|url| url.as_str().trim_end_matches('/').to_string()).collect();
        // The certificates are looked into no sooner than here.
        let failed = if ca_pem.is_some() { RemoteError::Certificates } else { RemoteError::Client };
        let http = http.build().map_err(failed)?;
        Ok(Self { http, addresses, current: AtomicUsize::new(0) })
    }

    /// A call at the first address that has a definite answer. `template` is the path without ids, for traces.
    pub(super) async fn post<A: DeserializeOwned>(
        &self,
        path: &str,
        template: &str,
        token: &str,
        call: &(impl Serialize + Sync),
        limit: Duration,
    ) -> Result<A, LeaseError> {
        let mut unanswered = Vec::new();
        for _ in 0..self.addresses.len() {
            let at = self.current.load(Ordering::Relaxed);
            let address = &self.addresses[at % self.addresses.len()];
            let mut attempt = Try { endpoints: self, at, answered: false };
            let span = Span::step_of(SpanKind::Client, format!("POST {ROOT}{template}"));
            describe(&span, address, template);
            let mut request = self.http.post(format!("{address}{ROOT}{path}"));
            if let Some(trace) = span.traceparent() {
                request = request.header("traceparent", trace.as_str());
            }
            let sent = request.bearer_auth(token).timeout(limit).json(call).send().await;
            let answer = match sent {
                Ok(response) => {
                    let status = i64::from(response.status().as_u16());
                    span.set("http.response.status_code", status);
                    read(response).await
                }
                Err(error) => Err(LeaseError::Unavailable(causes(&error.without_url()))),
            };
            if let Err(error) = &answer {
                span.fail(error.code());
            }
            match answer {
                Err(LeaseError::Unavailable(reason)) => {
                    unanswered.push(format!("{address}: {reason}"));
                }
                definite => {
                    attempt.answered = true;
                    return definite;
                }
            }
        }
        Err(LeaseError::Unavailable(unanswered.join("; ")))
    }
}

/// Says of a call where it goes, by OpenTelemetry's conventions for HTTP clients; ids and nonces are not in it.
fn describe(span: &Span, address: &str, template: &str) {
    span.set("http.request.method", "POST");
    span.text("url.template", format_args!("{ROOT}{template}"));
    let Ok(url) = Url::parse(address) else { return };
    span.text("server.address", url.host_str().unwrap_or_default());
    if let Some(port) = url.port_or_known_default() {
        span.set("server.port", i64::from(port));
    }
}

/// Whether it names a host and nothing in it.
fn is_root(url: &Url) -> bool {
    let plain = url.username().is_empty() && url.password().is_none();
    let nothing = url.path() == "/" && url.query().is_none() && url.fragment().is_none();
    matches!(url.scheme(), "http" | "https") && url.has_host() && plain && nothing
}

/// The answer, or what the refusal means.
async fn read<A: DeserializeOwned>(mut response: Response) -> Result<A, LeaseError> {
    let unavailable = |reason: String| LeaseError::Unavailable(reason);
    let status = response.status();
    let mut bytes = Vec::new();
    loop {
        let piece = response.chunk().await;
        let Some(piece) = piece.map_err(|error| unavailable(causes(&error.without_url())))? else {
            break;
        };
        bytes.extend_from_slice(&piece);
        if bytes.len() > ANSWER_BYTES_MAX {
            return Err(unavailable(format!("it answers more than {ANSWER_BYTES_MAX} bytes")));
        }
    }
    if status.is_success() {
        // No content is the answer `null`.
        let json = if status == StatusCode::NO_CONTENT { b"null" } else { &bytes[..] };
        return serde_json::from_slice(json)
            .map_err(|error| unavailable(format!("its answer cannot be read: {error}")));
    }
    let Ok(Refusal { error }) = serde_json::from_slice(&bytes) else {
        return Err(unavailable(format!("it answers with status {status}")));
    };
    Err(match (error.code.as_str(), status) {
        (UNKNOWN_LEASE, _) => LeaseError::Fenced,
        // It understood, and this very call will never do.
        (
            _,
            StatusCode::BAD_REQUEST
            | StatusCode::PAYLOAD_TOO_LARGE
            | StatusCode::UNSUPPORTED_MEDIA_TYPE,
        ) => LeaseError::Refused(error.message),
        (code, _) => LeaseError::of_code(code, &error.message).unwrap_or_else(|| {
            unavailable(format!("it answers with status {status}: {}", error.message))
        }),
    })
}

/// An error with its causes, in one line.
fn causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        text = format!("{text}: {inner}");
        cause = inner.source();
    }
    text
}

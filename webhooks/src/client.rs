//! The HTTP client of webhooks: no redirects, no proxy, no connection that is kept, ten seconds in all, and nothing read of an answer
//! but its head.

use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use reqwest::header::{CONTENT_TYPE, HeaderMap, RETRY_AFTER};
use reqwest::redirect::Policy;
use trainyard_scheduler::webhook::{Outcome, Outgoing, Targets};

use crate::resolver::{Blocked, GuardedResolver, Lookup};

/// From the look-up of the name to the head of the answer.
pub const TIMEOUT: Duration = Duration::from_secs(10);

/// The client.
#[derive(Debug, Clone)]
pub struct Client {
    http: reqwest::Client,
    targets: Targets,
}

impl Client {
    /// A client that goes where `targets` allows and gives up after `timeout`.
    ///
    /// # Errors
    /// Where the TLS library does not start.
    pub fn new(
        targets: Targets,
        lookup: Arc<dyn Lookup>,
        timeout: Duration,
    ) -> Result<Self, reqwest::Error> {
        let resolver = GuardedResolver { targets: targets.clone(), lookup };
        let http = reqwest::Client::builder()
            .user_agent(concat!("trainyard/", env!("CARGO_PKG_VERSION")))
            .dns_resolver(Arc::new(resolver))
            .redirect(Policy::none())
            .no_proxy()
            .https_only(!targets.insecure)
            // Every attempt looks the name up and checks its addresses anew.
            .pool_max_idle_per_host(0)
            .connect_timeout(timeout)
            .timeout(timeout)
            .build()?;
        Ok(Self { http, targets })
    }

    /// Makes one attempt. `now_ms` is the time that a `Retry-After` with a date is counted from.
    pub async fn send(&self, outgoing: &Outgoing, now_ms: i64) -> Outcome {
        // The connector asks no resolver for a host that is an address, and settings may have changed since the URL was taken.
        let url = match self.targets.url(&outgoing.url) {
            Ok(url) => url,
            Err(why) => return Outcome::Unanswered(format!("the URL {why}")),
        };
        let request = self
            .http
            .post(url)
            .header(CONTENT_TYPE, "application/json")
            .header("webhook-id", outgoing.id.as_str())
            .header("webhook-timestamp", outgoing.timestamp)
            .header("webhook-signature", &outgoing.signature)
            .body(outgoing.body.clone());
        match request.send().await {
            // The body is not read: dropping the answer closes the connection.
            Ok(response) => Outcome::Answered {
                status: response.status().as_u16(),
                retry_after_seconds: retry_after(response.headers(), now_ms),
            },
            Err(error) => Outcome::Unanswered(reason(&error).to_string()),
        }
    }
}

/// What a tenant is told of an attempt without an answer: the kind of failure, no address and nothing of the network's inside.
fn reason(error: &reqwest::Error) -> &'static str {
    if blocked(error) {
        "the host has no address of the public internet"
    } else if error.is_timeout() {
        "the endpoint did not answer within the time limit"
    } else if error.is_connect() {
        "no connection to the endpoint could be made"
    } else {
        "the connection broke before an answer came"
    }
}

fn blocked(error: &reqwest::Error) -> bool {
    let mut cause = std::error::Error::source(error);
    while let Some(inner) = cause {
        if inner.is::<Blocked>() {
            return true;
        }
        cause = inner.source();
    }
    false
}

/// `Retry-After` in seconds: a number, or a date.
fn retry_after(headers: &HeaderMap, now_ms: i64) -> Option<u64> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    if let Ok(seconds) = text.parse() {
        return Some(seconds);
    }
    let date = httpdate::parse_http_date(text).ok()?.duration_since(UNIX_EPOCH).ok()?;
    Some(date.as_secs().saturating_sub(u64::try_from(now_ms / 1000).unwrap_or(0)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retry_after_is_a_number_or_a_date() {
        let of = |text: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(RETRY_AFTER, text.parse().unwrap());
            retry_after(&headers, 784_111_777_000)
        };
        assert_eq!(of("120"), Some(120));
        assert_eq!(of("Sun, 06 Nov 1994 08:50:37 GMT"), Some(60));
        assert_eq!(of("Sun, 06 Nov 1994 08:00:00 GMT"), Some(0));
        assert_eq!(of("soon"), None);
    }
}

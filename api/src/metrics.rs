//! What the API counts, for Prometheus: requests by the pattern of their route, never by their path.

use std::time::Duration;

use actix_web::http::{Method, StatusCode};
use prometheus::core::Collector;
use prometheus::{HistogramOpts, HistogramVec, IntCounterVec, IntGauge, Opts, Registry};

use crate::doc;

/// From a millisecond to half a minute, finest around the second that is the goal.
const DURATION_BUCKETS: [f64; 12] =
    [0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0, 30.0];
/// The route of requests that found none.
const NO_ROUTE: &str = "none";

/// Which limit a caller reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Limit {
    /// Requests of a key, or of one subject of tokens.
    Key,
    /// Requests of a tenant.
    Tenant,
    /// Bad credentials of an address.
    Credentials,
    /// Open event streams of a tenant.
    Streams,
}

impl Limit {
    const ALL: [Self; 4] = [Self::Key, Self::Tenant, Self::Credentials, Self::Streams];

    const fn as_str(self) -> &'static str {
        match self {
            Self::Key => "key",
            Self::Tenant => "tenant",
            Self::Credentials => "credentials",
            Self::Streams => "streams",
        }
    }
}

/// The metrics of one server, all its listeners together. Clones are the same ones.
#[derive(Debug, Clone)]
pub struct Metrics {
    requests: IntCounterVec,
    durations: HistogramVec,
    limited: IntCounterVec,
    streams: IntGauge,
}

impl Default for Metrics {
    #[expect(
        clippy::expect_used,
        reason = "names and labels are constants, which every test makes"
    )]
    fn default() -> Self {
        Self::new().expect("names and labels fit")
    }
}

impl Metrics {
    fn new() -> prometheus::Result<Self> {
        let requests = Opts::new(
            "trainyard_http_requests_total",
            "Requests that were answered, by the pattern of their route.",
        );
        let durations = HistogramOpts::new(
            "trainyard_http_request_duration_seconds",
            "Time from a request's head to the head of its answer.",
        );
        let limited = Opts::new(
            "trainyard_rate_limited_total",
            "Requests that were refused because their caller had reached a limit.",
        );
        let metrics = Self {
            requests: IntCounterVec::new(requests, &["route", "method", "code"])?,
            durations: HistogramVec::new(
                durations.buckets(DURATION_BUCKETS.into()),
                &["route", "method"],
            )?,
            limited: IntCounterVec::new(limited, &["reason"])?,
            streams: IntGauge::new("trainyard_event_streams", "Event streams that are open.")?,
        };
        for limit in Limit::ALL {
            metrics.limited.with_label_values(&[limit.as_str()]);
        }
        Ok(metrics)
    }

    /// Registers all of them, with zeros for every route of the document.
    ///
    /// # Errors
    /// Where something of the same name is registered.
    pub fn register(&self, registry: &Registry) -> prometheus::Result<()> {
        for (route, method) in doc::operations() {
            self.durations.with_label_values(&[route.as_str(), &method]);
            for code in ["200", "500"] {
                self.requests.with_label_values(&[route.as_str(), &method, code]);
            }
        }
        let Self { requests, durations, limited, streams } = self.clone();
        let all: [Box<dyn Collector>; 4] =
            [Box::new(requests), Box::new(durations), Box::new(limited), Box::new(streams)];
        all.into_iter().try_for_each(|one| registry.register(one))
    }

    /// Counts an answer to a request of `route`, a pattern.
    pub(crate) fn answered(
        &self,
        route: Option<&str>,
        method: &Method,
        status: StatusCode,
        took: Duration,
    ) {
        let (route, method) = (route.unwrap_or(NO_ROUTE), method_word(method));
        self.requests.with_label_values(&[route, method, status.as_str()]).inc();
        self.durations.with_label_values(&[route, method]).observe(took.as_secs_f64());
    }

    pub(crate) fn limited(&self, limit: Limit) {
        self.limited.with_label_values(&[limit.as_str()]).inc();
    }

    /// Open event streams.
    pub(crate) const fn streams(&self) -> &IntGauge {
        &self.streams
    }
}

/// A client may invent methods without end.
pub(crate) fn method_word(method: &Method) -> &'static str {
    match method.as_str() {
        "GET" => "GET",
        "POST" => "POST",
        "PUT" => "PUT",
        "PATCH" => "PATCH",
        "DELETE" => "DELETE",
        "HEAD" => "HEAD",
        "OPTIONS" => "OPTIONS",
        _ => "other",
    }
}

//! Traces on their way to a collector: ended spans wait in a queue of limited length, and a task sends them by OTLP.
//!
//! Nothing that serves or trains ever waits for it: where the collector is away or slow, the queue fills, and what has no room is dropped
//! and counted. Off unless somebody names a collector (`config/traces.rs`).

mod queue;
mod sampler;
mod sender;

use std::time::Duration;

use opentelemetry::trace::TraceId;
use opentelemetry::{KeyValue, global};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::resource::TelemetryResourceDetector;
use opentelemetry_sdk::trace::{IdGenerator, RandomIdGenerator, SdkTracerProvider};
use prometheus::{IntCounterVec, Opts, Registry};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::config::TracePlan;

/// Time to send what still waits when the process ends.
const FINISH_MAX: Duration = Duration::from_secs(2);

/// Why spans cannot be sent.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TraceError {
    /// The certificates.
    #[error("the certificates for the collector of traces ('traces_ca_file') cannot be used")]
    Certificates(#[source] reqwest::Error),
    /// A header.
    #[error("'traces_headers_file': '{0}' is no header that can be sent")]
    Header(String),
    /// The client.
    #[error("the client of the collector of traces could not start")]
    Client(#[source] reqwest::Error),
}

/// What became of spans that ended.
#[derive(Debug, Clone)]
struct Counts(IntCounterVec);

impl Counts {
    /// Taken by the collector.
    const SENT: &str = "sent";
    /// Refused by it.
    const REJECTED: &str = "rejected";
    /// There was no room, or nobody took them in time.
    const DROPPED: &str = "dropped";

    fn new() -> prometheus::Result<Self> {
        let opts = Opts::new(
            "trainyard_trace_spans_total",
            "Spans that ended, by what became of them on their way to the collector.",
        );
        let counts = IntCounterVec::new(opts, &["result"])?;
        for result in [Self::SENT, Self::REJECTED, Self::DROPPED] {
            counts.with_label_values(&[result]);
        }
        Ok(Self(counts))
    }

    fn add(&self, result: &str, spans: u64) {
        self.0.with_label_values(&[result]).inc_by(spans);
    }
}

/// What sends the spans of this process.
pub(crate) struct Exporter {
    counts: Counts,
    running: Option<Running>,
}

struct Running {
    closing: CancellationToken,
    sender: JoinHandle<()>,
}

impl Exporter {
    /// Sends spans as `plan` says from now on, from the runtime that this is called in; without a plan there are none.
    ///
    /// # Errors
    /// Certificates or headers that cannot be used.
    pub(crate) fn start(plan: Option<TracePlan>) -> Result<Self, crate::serve::ServeError> {
        let counts = Counts::new()?;
        let Some(plan) = plan else { return Ok(Self { counts, running: None }) };
        let resource = resource(&plan);
        let (queue, waiting) = queue::new(counts.clone());
        let sender = sender::Sender::new(&plan, &resource, counts.clone())?;
        let provider = SdkTracerProvider::builder()
            .with_sampler(sampler::of(&plan))
            .with_resource(resource)
            .with_span_processor(queue)
            .build();
        global::set_tracer_provider(provider);
        let closing = CancellationToken::new();
        let sender = tokio::spawn(sender.run(waiting, closing.clone()));
        tracing::info!(endpoint = %plan.endpoint, "traces");
        Ok(Self { counts, running: Some(Running { closing, sender }) })
    }

    /// Registers what it counts.
    ///
    /// # Errors
    /// Where something of the same name is registered.
    pub(crate) fn register(&self, registry: &Registry) -> prometheus::Result<()> {
        registry.register(Box::new(self.counts.0.clone()))
    }

    /// Sends what still waits, for as long as it may take.
    pub(crate) async fn finish(self) {
        let Some(Running { closing, mut sender }) = self.running else { return };
        closing.cancel();
        if tokio::time::timeout(FINISH_MAX, &mut sender).await.is_err() {
            sender.abort();
            tracing::warn!("the collector took no traces in time: the last spans are lost");
        }
    }
}

/// What is said of the process in every batch.
fn resource(plan: &TracePlan) -> Resource {
    let given = plan.resource.iter().map(|(key, value)| KeyValue::new(key.clone(), value.clone()));
    let instance: TraceId = RandomIdGenerator::default().new_trace_id();
    let own = [
        KeyValue::new("service.version", env!("CARGO_PKG_VERSION")),
        KeyValue::new("service.instance.id", instance.to_string()),
    ];
    Resource::builder_empty()
        .with_detector(Box::new(TelemetryResourceDetector))
        .with_attributes(own)
        .with_attributes(given)
        .build()
}

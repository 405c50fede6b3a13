//! Where ended spans wait. Whoever ends one never waits.

use std::time::Duration;

use opentelemetry::Context;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::trace::{Span, SpanData, SpanProcessor};
use tokio::sync::mpsc;

use super::Counts;

/// Spans that wait at most: about two megabytes.
pub(super) const WAITING_MAX: usize = 4_096;

/// The entrance of the queue.
#[derive(Debug)]
pub(super) struct Queue {
    waiting: mpsc::Sender<SpanData>,
    counts: Counts,
}

/// An empty queue, and its exit.
pub(super) fn new(counts: Counts) -> (Queue, mpsc::Receiver<SpanData>) {
    let (waiting, exit) = mpsc::channel(WAITING_MAX);
    (Queue { waiting, counts }, exit)
}

impl SpanProcessor for Queue {
    fn on_start(&self, _: &mut Span, _: &Context) {}

    fn on_end(&self, span: SpanData) {
        if span.span_context.is_sampled() && self.waiting.try_send(span).is_err() {
            self.counts.add(Counts::DROPPED, 1);
        }
    }

    /// The sender does it at the end of the process; nobody waits for it before.
    fn force_flush(&self) -> OTelSdkResult {
        Ok(())
    }

    fn shutdown_with_timeout(&self, _: Duration) -> OTelSdkResult {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use opentelemetry::trace::{Tracer, TracerProvider};
    use opentelemetry_sdk::trace::SdkTracerProvider;

    use super::*;

    #[test]
    fn what_has_no_room_is_dropped_and_counted_and_nobody_waits() {
        let counts = Counts::new().unwrap();
        let (queue, mut exit) = new(counts.clone());
        let provider = SdkTracerProvider::builder().with_span_processor(queue).build();
        let tracer = provider.tracer("test");
        for _ in 0..WAITING_MAX + 7 {
            drop(tracer.start("span"));
        }
        let of = |result: &str| counts.0.with_label_values(&[result]).get();
        assert_eq!((of(Counts::DROPPED), of(Counts::SENT)), (7, 0));
        assert!(exit.try_recv().is_ok());
        drop(tracer.start("there is room again"));
        assert_eq!(of(Counts::DROPPED), 7);
        drop(exit);
        drop(tracer.start("nobody sends any more"));
        assert_eq!(of(Counts::DROPPED), 8);
    }
}

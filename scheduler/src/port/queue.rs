//! The doorbell: tells executors that a ticket waits. The store is the record; a lost, doubled or stale ticket changes
//! nothing.

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use trainyard_openapi::id::JobId;

use crate::trace::{Span, TraceParent};

/// Leave to claim a job once: good only while the job is dispatched under the same `seq`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Ticket {
    /// The job.
    pub job: JobId,
    /// The dispatch it belongs to.
    pub seq: u64,
    /// The pool whose executors may take it.
    pub pool: String,
    /// What the ticket is a consequence of: in the record the create request, on its way the handing over, which is in the same trace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub traceparent: Option<TraceParent>,
}

impl Ticket {
    /// Says in `span` what is done with it, in the words of OpenTelemetry's conventions for messaging. Pools have names of people's
    /// choosing: the destination is that of all pools.
    pub fn describe(&self, span: &Span, system: &'static str, operation: &'static str) {
        span.set("messaging.system", system);
        span.set("messaging.destination.name", "trainyard.tickets");
        span.set("messaging.operation.name", operation);
        span.set("messaging.operation.type", operation);
        span.text("messaging.message.id", format_args!("{}:{}", self.job, self.seq));
        span.text("trainyard.job.id", &self.job);
    }
}

/// A queue that cannot be reached or used.
#[derive(Debug, Clone, thiserror::Error)]
#[error("queue: {0}")]
pub struct QueueError(pub String);

/// A queue of tickets, one line per pool.
#[async_trait]
pub trait Queue: Send + Sync {
    /// The word for it in OpenTelemetry's conventions for messaging.
    fn system(&self) -> &'static str;

    /// Hands a ticket over. `Ok` means that the queue has it; it may still be lost, doubled or late.
    async fn publish(&self, ticket: &Ticket) -> Result<(), QueueError>;

    /// A consumer of one pool. Several may consume the same pool: each ticket goes to one of them at a time.
    async fn consume(&self, pool: &str) -> Result<Box<dyn Consumer>, QueueError>;
}

/// One consumer.
#[async_trait]
pub trait Consumer: Send {
    /// Waits for the next ticket. The ticket stays with this consumer until [`Consumer::ack`]; where the consumer is
    /// dropped before that, the ticket goes back. A wait that is given up takes no ticket, and between two waits none
    /// lies here: a run takes hours. `None` means that the stream ended: consume again.
    async fn next(&mut self) -> Result<Option<Ticket>, QueueError>;

    /// Forgets the ticket that `next` gave last. Called after any definite answer to the claim. Without such a
    /// ticket it does nothing.
    async fn ack(&mut self) -> Result<(), QueueError>;
}

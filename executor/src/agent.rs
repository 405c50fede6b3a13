//! Slots: each takes a ticket, claims the job, acknowledges the ticket, runs the job, and takes the next.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tracing::Instrument;
use tracing::field::{Empty, display};
use trainyard_openapi::id::Nonce;
use trainyard_scheduler::port::control_plane::{Claim, ControlPlane, LeaseError};
use trainyard_scheduler::port::objects::Objects;
use trainyard_scheduler::port::queue::{Consumer, Queue, QueueError, Ticket};
use trainyard_scheduler::trace::{Span, SpanKind};

use crate::config::AgentConfig;
use crate::leftovers;
use crate::metrics::Metrics;
use crate::presence;
use crate::run::run_job;

/// Waits between tries where a port does not answer.
const RETRY: Duration = Duration::from_secs(1);

/// The ports and settings that a run needs.
pub(crate) struct Context {
    pub(crate) config: AgentConfig,
    pub(crate) control: Arc<dyn ControlPlane>,
    pub(crate) objects: Arc<dyn Objects>,
    pub(crate) metrics: Metrics,
}

/// An agent.
pub struct Agent {
    context: Arc<Context>,
    queue: Arc<dyn Queue>,
}

impl Agent {
    /// An agent that runs nothing before [`Agent::run`]. What an earlier process left in its work directory is removed.
    pub fn new(
        config: AgentConfig,
        control: Arc<dyn ControlPlane>,
        queue: Arc<dyn Queue>,
        objects: Arc<dyn Objects>,
    ) -> Self {
        let config = config.absolute();
        leftovers::clear(&config.work_dir);
        let metrics = Metrics::new(&config.pool, config.slots);
        Self { context: Arc::new(Context { config, control, objects, metrics }), queue }
    }

    /// What it counts.
    pub fn metrics(&self) -> &Metrics {
        &self.context.metrics
    }

    /// Runs jobs until `shutdown`; then lets each run write a checkpoint, gives the jobs back, and returns.
    pub async fn run(self, shutdown: CancellationToken) {
        if self.context.config.slots == 0 {
            // Nothing to do is no reason to end.
            return shutdown.cancelled().await;
        }
        let mut slots = JoinSet::new();
        slots.spawn({
            let (context, shutdown) = (Arc::clone(&self.context), shutdown.clone());
            async move { presence::tell(&context, &shutdown).await }
        });
        for _ in 0..self.context.config.slots {
            let (context, queue, shutdown) =
                (Arc::clone(&self.context), Arc::clone(&self.queue), shutdown.clone());
            slots.spawn(async move {
                while !shutdown.is_cancelled() {
                    if let Err(error) = slot(&context, queue.as_ref(), &shutdown).await {
                        tracing::warn!(
                            error = &error as &dyn std::error::Error,
                            "the queue failed; consuming again"
                        );
                        wait(RETRY, &shutdown).await;
                    }
                }
            });
        }
        while let Some(ended) = slots.join_next().await {
            if let Err(error) = ended {
                tracing::error!(
                    error = &error as &dyn std::error::Error,
                    "a slot, or who tells of them, panicked"
                );
            }
        }
    }
}

/// Consumes tickets with one consumer until the stream ends or the agent stops.
async fn slot(
    context: &Arc<Context>,
    queue: &dyn Queue,
    shutdown: &CancellationToken,
) -> Result<(), QueueError> {
    let mut consumer = queue.consume(&context.config.pool).await?;
    loop {
        let ticket = tokio::select! {
            () = shutdown.cancelled() => return Ok(()),
            ticket = consumer.next() => ticket?,
        };
        let Some(ticket) = ticket else { return Ok(()) };
        // What is logged of the job has its ids.
        let log = tracing::info_span!("job", job_id = %ticket.job, tenant_id = Empty, trace_id = Empty, epoch = Empty);
        // A run of its own trace: the request that the ticket comes from may be days ago.
        let cause = ticket.traceparent.as_ref();
        let span = Span::linked(SpanKind::Consumer, "process trainyard.tickets", cause);
        ticket.describe(&span, queue.system(), "process");
        if let Some(trace) = span.traceparent() {
            log.record("trace_id", trace.trace_id());
        }
        let taken = take(context, consumer.as_mut(), &ticket, &span, shutdown);
        match span.around(taken.instrument(log.clone())).await {
            // No definite answer and no time left: the ticket goes back unacknowledged.
            None => return Ok(()),
            Some(None) => {}
            Some(Some(claim)) => {
                let run = span.child("run job");
                drop(span);
                let work = async {
                    tracing::info!("claimed");
                    run_job(context, claim, &run, shutdown).await;
                    tracing::info!("run ended");
                };
                run.around(work.instrument(log)).await;
            }
        }
    }
}

/// Claims the job of a ticket and acknowledges it, as [`claim`] answers.
async fn take(
    context: &Context,
    consumer: &mut dyn Consumer,
    ticket: &Ticket,
    span: &Span,
    shutdown: &CancellationToken,
) -> Option<Option<Claim>> {
    let claim = claim(context, ticket, shutdown).await?;
    match &claim {
        Some(claim) => {
            let log = tracing::Span::current();
            log.record("epoch", claim.lease.epoch);
            if let Some(tenant) = &claim.tenant {
                log.record("tenant_id", display(tenant));
            }
        }
        None => span.fail("stale"),
    }
    // Acknowledged now, not after the run: brokers take back what is held for long, and the lease does the rest.
    // Where that fails the ticket comes again and is stale by then; a claimed job is run all the same.
    if let Err(error) = consumer.ack().await {
        let error = &error as &dyn std::error::Error;
        tracing::warn!(error, "the ticket was not acknowledged");
    }
    Some(claim)
}

/// Claims until there is a definite answer: `Some(None)` where the ticket is stale, `None` where the agent stops first. The same
/// nonce each time, so that a claim whose answer was lost is found again.
async fn claim(
    context: &Context,
    ticket: &Ticket,
    shutdown: &CancellationToken,
) -> Option<Option<Claim>> {
    let nonce = match Nonce::generate() {
        Ok(nonce) => nonce,
        Err(error) => {
            tracing::error!(%error, "no random bytes");
            return None;
        }
    };
    let span = Span::step("claim job");
    loop {
        match span.around(context.control.claim(ticket, &context.config.executor, &nonce)).await {
            Ok(claim) => return Some(Some(claim)),
            Err(LeaseError::Unavailable(reason)) => {
                tracing::warn!(reason, "the claim has no answer; asking again");
                wait(RETRY, shutdown).await;
                if shutdown.is_cancelled() {
                    return None;
                }
            }
            Err(LeaseError::Stale | LeaseError::Fenced | LeaseError::Refused(_)) => {
                tracing::debug!(seq = ticket.seq, "stale ticket");
                return Some(None);
            }
        }
    }
}

async fn wait(time: Duration, shutdown: &CancellationToken) {
    tokio::select! {
        () = shutdown.cancelled() => {}
        () = tokio::time::sleep(time) => {}
    }
}

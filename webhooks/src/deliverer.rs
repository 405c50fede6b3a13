//! The loop: takes what is due, sends it beside others, records what came of it. One endpoint that hangs holds up none but itself.

use std::time::Duration;

use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use trainyard_scheduler::trace::{Span, SpanKind};
use trainyard_scheduler::webhook::{InFlight, Outcome, Outgoing};
use trainyard_scheduler::{Scheduler, SchedulerError};

use crate::client::Client;

/// Deliveries under way at once.
const IN_FLIGHT_MAX: usize = 64;
/// How often the outbox is looked at without being woken.
const TICK: Duration = Duration::from_secs(1);
/// Looks between two sweeps of what ended long ago.
const SWEEP_EVERY: u32 = 300;

/// Delivers webhooks.
pub struct Deliverer {
    scheduler: Scheduler,
    client: Client,
}

impl Deliverer {
    /// A loop over the outbox of `scheduler`.
    pub fn new(scheduler: Scheduler, client: Client) -> Self {
        Self { scheduler, client }
    }

    /// Delivers until `shutdown`; then what is under way ends, within the client's time limit.
    pub async fn run(self, shutdown: CancellationToken) {
        let mut in_flight = InFlight::default();
        let mut sending = JoinSet::new();
        let mut looks: u32 = 0;
        while !shutdown.is_cancelled() {
            if let Err(error) = self.start_due(&mut in_flight, &mut sending).await {
                tell("the outbox of webhooks could not be read", &error);
            }
            if looks.is_multiple_of(SWEEP_EVERY)
                && let Err(error) = self.scheduler.sweep_deliveries().await
            {
                tell("old deliveries of webhooks were not removed", &error);
            }
            looks = looks.wrapping_add(1);
            tokio::select! {
                () = shutdown.cancelled() => break,
                () = self.scheduler.announced() => {}
                Some(ended) = sending.join_next() => settled(ended, &mut in_flight),
                () = tokio::time::sleep(TICK) => {}
            }
            while let Some(ended) = sending.try_join_next() {
                settled(ended, &mut in_flight);
            }
        }
        while let Some(ended) = sending.join_next().await {
            settled(ended, &mut in_flight);
        }
    }

    /// Makes one attempt at everything that is due, and waits for all of them; gives how many there were.
    ///
    /// # Errors
    /// Where the store does not answer.
    pub async fn pass(&self) -> Result<usize, SchedulerError> {
        let (mut in_flight, mut sending) = (InFlight::default(), JoinSet::new());
        self.start_due(&mut in_flight, &mut sending).await?;
        Ok(sending.join_all().await.len())
    }

    async fn start_due(
        &self,
        in_flight: &mut InFlight,
        sending: &mut JoinSet<Outgoing>,
    ) -> Result<(), SchedulerError> {
        let room = IN_FLIGHT_MAX.saturating_sub(in_flight.len());
        for outgoing in self.scheduler.due_deliveries(in_flight, room).await? {
            let (scheduler, client) = (self.scheduler.clone(), self.client.clone());
            sending.spawn(async move {
                deliver(&scheduler, &client, &outgoing).await;
                outgoing
            });
        }
        Ok(())
    }
}

async fn deliver(scheduler: &Scheduler, client: &Client, outgoing: &Outgoing) {
    let span = describe(outgoing);
    let outcome = span.around(client.send(outgoing, outgoing.timestamp * 1000)).await;
    match &outcome {
        Outcome::Answered { status, .. } => {
            span.set("http.response.status_code", i64::from(*status));
            if *status >= 400 {
                span.fail(status);
            }
        }
        Outcome::Unanswered(_) => span.fail("no_answer"),
    }
    drop(span);
    let Outgoing { id, webhook, tenant, job, .. } = outgoing;
    let job = job.as_ref().map(tracing::field::display);
    tracing::debug!(delivery = %id, %webhook, tenant_id = %tenant, job_id = job, ?outcome, "webhook");
    if let Err(error) = scheduler.delivery_result(&outgoing.id, &outcome).await {
        tell("what came of a webhook was not recorded; it is sent again", &error);
    }
}

/// The span of an attempt, linked to the request that made the job. The receiver is another's: it is told of no trace, and where it is, which the
/// tenant chose, is not in the span.
fn describe(outgoing: &Outgoing) -> Span {
    let cause = outgoing.traceparent.as_ref();
    let span = Span::linked(SpanKind::Client, "POST webhook", cause);
    span.set("http.request.method", "POST");
    span.text("trainyard.delivery.id", &outgoing.id);
    span.text("trainyard.webhook.id", &outgoing.webhook);
    span.text("trainyard.tenant.id", &outgoing.tenant);
    if let Some(job) = &outgoing.job {
        span.text("trainyard.job.id", job);
    }
    if outgoing.attempts > 0 {
        span.set("http.request.resend_count", i64::from(outgoing.attempts));
    }
    span
}

fn settled(ended: Result<Outgoing, tokio::task::JoinError>, in_flight: &mut InFlight) {
    match ended {
        Ok(outgoing) => in_flight.remove(&outgoing),
        // Which one it was is not known: it stays counted, and the next process sends it.
        Err(error) => tracing::error!(%error, "the delivery of a webhook ended in panic"),
    }
}

fn tell(what: &str, error: &SchedulerError) {
    tracing::error!(error = error as &dyn std::error::Error, "{what}");
}

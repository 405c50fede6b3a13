//! Dispatch and relay: tickets for as many jobs as there are free slots, handed to the queue.

use super::Scheduler;
use super::pools::taken;
use crate::error::{Result, SchedulerError};
use crate::job::state::Transition;
use crate::job::{JobRecord, JobState};
use crate::port::queue::Ticket;
use crate::trace::{Span, SpanKind};

impl Scheduler {
    /// Issues tickets for the next jobs of each pool, no more than there are free devices: the queue never holds a backlog that would
    /// fix an order. Then asks runs to make room where that is due.
    pub(super) async fn dispatch(&self) -> Result<()> {
        let busy = self.store().busy_jobs().await?;
        let devices = self.devices().await?;
        let some_free = devices.iter().any(|(pool, devices)| taken(&busy, pool) < *devices);
        if !some_free && !self.may_make_room(&busy, self.store().now_ms().await?) {
            return Ok(());
        }
        let mut line = self.line_to_dispatch().await?;
        if self.note_waiting(&line).await? {
            line = self.line_recounted().await?;
        }
        let mut issued = false;
        for (pool, queue) in &line.queue.pools {
            let devices = devices.get(pool).copied().unwrap_or(0);
            let mut free = devices.saturating_sub(taken(&busy, pool));
            for job in queue.ready.iter().filter(|job| job.devices <= devices) {
                // In their order: a large job that waits for devices would never get them if smaller ones took each that comes free.
                if free < job.devices {
                    break;
                }
                // Who does not wait any more takes nothing: a long line may be a little old.
                let queued = |state: &JobState| matches!(state, JobState::Queued { .. });
                if self.issue_ticket(&job.id, queued).await? {
                    free -= job.devices;
                    issued = true;
                }
            }
        }
        // Who holds what has changed: the next pass, which comes at once, looks anew.
        match issued {
            true => Ok(()),
            false => self.make_room(&line, &busy, &devices).await,
        }
    }

    /// Dispatches the job once more under a new number, if `still` holds of its state; gives whether it did.
    pub(super) async fn issue_ticket(
        &self,
        id: &trainyard_openapi::id::JobId,
        still: impl Fn(&JobState) -> bool,
    ) -> Result<bool> {
        let mut issued = false;
        let changed = self.change(id, |commit, now_ms| {
            let job = &mut commit.job;
            issued = still(&job.state);
            if !issued {
                return Ok::<_, SchedulerError>(false);
            }
            job.state = job.state.clone().apply(Transition::Dispatch { now_ms })?;
            job.seq += 1;
            commit.ticket = Some(Ticket {
                job: job.id.clone(),
                seq: job.seq,
                pool: job.plan.resources.pool.clone(),
                traceparent: job.traceparent.clone(),
            });
            Ok(true)
        });
        if let Some(job) = changed.await?.filter(|_| issued) {
            tracing::info!(job_id = %id, tenant_id = %job.tenant, "dispatched");
        }
        Ok(issued)
    }

    /// Hands waiting tickets to the queue, but for those that have become stale while it took none. One that is handed over twice
    /// is stale the second time.
    pub(super) async fn relay(&self) -> Result<()> {
        for ticket in self.store().outbox().await? {
            let job = self.store().job_of_any_tenant(&ticket.job).await?;
            let good = |job: JobRecord| {
                job.seq == ticket.seq && matches!(job.state, JobState::Dispatched { .. })
            };
            if job.is_some_and(good) {
                self.publish(&ticket).await?;
            }
            self.store().ticket_sent(&ticket).await?;
        }
        Ok(())
    }

    /// Hands a ticket to the queue, in the trace of the request that made the job. Whoever takes it links to this.
    async fn publish(&self, ticket: &Ticket) -> Result<()> {
        let queue = &self.inner.parts.queue;
        let cause = ticket.traceparent.as_ref();
        let span = Span::below(SpanKind::Producer, "send trainyard.tickets", cause);
        ticket.describe(&span, queue.system(), "send");
        let traced = Ticket { traceparent: span.traceparent(), ..ticket.clone() };
        let published = span.around(queue.publish(&traced)).await;
        self.metrics().published(published.is_ok());
        if published.is_err() {
            span.fail("not_taken");
        }
        Ok(published?)
    }
}

//! Dispatch and relay: tickets for as many jobs as there are free slots, handed to the queue.

use super::Scheduler;
use crate::error::{Result, SchedulerError};
use crate::job::state::Transition;
use crate::job::{JobRecord, JobState};
use crate::port::queue::Ticket;

impl Scheduler {
    /// Issues tickets for the next jobs, no more than there are free slots: the queue never holds a backlog that would fix
    /// an order.
    pub(super) async fn dispatch(&self) -> Result<()> {
        let mut free = self.free_slots(&self.store().busy_jobs().await?).await?;
        if free == 0 {
            return Ok(());
        }
        let line = self.line_to_dispatch().await?;
        for id in &line.queue.ready {
            // Who does not wait any more takes no slot: a long line may be a little old.
            if self.issue_ticket(id, |state| matches!(state, JobState::Queued { .. })).await? {
                free -= 1;
            }
            if free == 0 {
                break;
            }
        }
        Ok(())
    }

    /// Dispatches the job once more under a new number, if `still` holds of its state; gives whether it did.
    pub(super) async fn issue_ticket(
        &self,
        id: &trainyard_openapi::id::JobId,
        still: impl Fn(&JobState) -> bool,
    ) -> Result<bool> {
        let mut issued = false;
        self.change(id, |commit, now_ms| {
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
            });
            Ok(true)
        })
        .await?;
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
                self.inner.parts.queue.publish(&ticket).await?;
            }
            self.store().ticket_sent(&ticket).await?;
        }
        Ok(())
    }
}

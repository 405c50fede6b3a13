//! What is noticed when nobody speaks: leases that expired, tickets that nobody took.

use trainyard_openapi::event::EventLevel;
use trainyard_openapi::id::JobId;
use trainyard_openapi::job::JobError;
use trainyard_openapi::job_error::JobErrorCode;

use super::{Scheduler, message};
use crate::clock::milliseconds;
use crate::error::{Result, SchedulerError};
use crate::guard::Guard;
use crate::job::state::{Lease, Transition};
use crate::job::{JobRecord, JobState};
use crate::metrics::Redispatch;
use crate::port::control_plane::LeaseId;
use crate::port::store::Commit;

impl Scheduler {
    /// Gives back what its executor lost, and issues tickets again that nobody took: where no executor
    /// serves the pool any more, the job waits again. Any process may do it at any time.
    pub(super) async fn reap(&self) -> Result<()> {
        let now_ms = self.store().now_ms().await?;
        let config = self.config();
        let grace_ms = milliseconds(config.lease_grace_seconds);
        let redispatch_ms = milliseconds(config.redispatch_seconds);
        for job in &self.store().busy_jobs().await? {
            match &job.state {
                JobState::Running { lease, .. }
                    if lease.until_ms + grace_ms < now_ms && config.keeps(Guard::Reaper) =>
                {
                    self.take_back_expired(&job.id, lease).await?;
                }
                JobState::Dispatched { since_ms }
                    if since_ms + redispatch_ms < now_ms && config.keeps(Guard::Redispatch) =>
                {
                    let since_ms = *since_ms;
                    let devices = self.devices().await?;
                    if devices.get(&job.plan.resources.pool).is_none_or(|devices| *devices == 0) {
                        if self.withdraw_ticket(&job.id, is_dispatched).await? {
                            self.metrics().redispatched(Redispatch::NoExecutor);
                        }
                        continue;
                    }
                    let unclaimed = |state: &JobState| *state == JobState::Dispatched { since_ms };
                    if self.issue_ticket(&job.id, unclaimed).await? {
                        self.metrics().redispatched(Redispatch::Unclaimed);
                    }
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// What one process alone has left behind: to be called once, before the loops, where no other process can hold a lease
    /// or a ticket on this store. An attempt that wrote a checkpoint costs nothing; one that did not counts as lost, so that a job
    /// that takes the process down with it does not do so for ever.
    ///
    /// # Errors
    /// Where the store does not answer.
    pub async fn recover_embedded(&self) -> Result<()> {
        for job in self.store().busy_jobs().await? {
            match &job.state {
                JobState::Running { lease, .. } => {
                    self.take_back(&job.id, lease).await?;
                }
                JobState::Dispatched { .. } => {
                    self.withdraw_ticket(&job.id, is_dispatched).await?;
                }
                _ => {}
            }
        }
        // Tickets of the dead process: their jobs are queued again under a new number.
        for ticket in self.store().outbox().await? {
            self.store().ticket_sent(&ticket).await?;
        }
        Ok(())
    }

    /// Puts a job back into the queue whose ticket nobody can take, if `still` holds of its state; the ticket is stale then. Gives
    /// whether it did.
    pub(super) async fn withdraw_ticket(
        &self,
        id: &JobId,
        still: impl Fn(&JobState) -> bool,
    ) -> Result<bool> {
        let mut withdrawn = false;
        self.change(id, |commit, now_ms| {
            withdrawn = still(&commit.job.state);
            if !withdrawn {
                return Ok::<_, SchedulerError>(false);
            }
            commit.job.state = commit.job.state.clone().apply(Transition::Return { now_ms })?;
            Ok(true)
        })
        .await?;
        Ok(withdrawn)
    }

    /// Ends a run whose lease ran out, and counts it.
    async fn take_back_expired(&self, id: &JobId, lease: &Lease) -> Result<()> {
        if self.take_back(id, lease).await? {
            self.metrics().lease_expired();
        }
        Ok(())
    }

    /// Ends a run whose executor is gone, if it is still that run; gives whether it was.
    async fn take_back(&self, id: &JobId, gone: &Lease) -> Result<bool> {
        let budget = self.config().attempts_lost_max;
        let mut taken = false;
        let job = self.change(id, |commit, now_ms| {
            let lease = commit.job.state.lease();
            taken =
                lease.is_some_and(|held| held.nonce == gone.nonce && held.seen_ms == gone.seen_ms);
            if !taken {
                return Ok::<_, SchedulerError>(false);
            }
            lose(commit, now_ms, budget)?;
            Ok::<_, SchedulerError>(true)
        });
        let job = job.await?;
        if let Some(job) = job.filter(|_| taken) {
            let (epoch, nonce) = (gone.epoch, gone.nonce.clone());
            let lease = LeaseId { job: id.clone(), epoch, nonce };
            self.end_private_run(&lease, &job).await;
        }
        self.collect(id).await;
        Ok(taken)
    }
}

fn is_dispatched(state: &JobState) -> bool {
    matches!(state, JobState::Dispatched { .. })
}

/// The run is gone: what its owner asked for meanwhile is done; else the job is queued again, or has failed where too many
/// were lost.
fn lose(commit: &mut Commit, now_ms: i64, budget: u32) -> Result<()> {
    let job = &mut commit.job;
    if job.state.owners_wish().is_none() && !wrote_checkpoint(job) {
        job.attempts.lost += 1;
    }
    let lost = job.attempts.lost;
    let transition = if job.state.owners_wish().is_none() && lost > budget {
        let message = format!("the executor was lost {lost} times before a checkpoint was written");
        Transition::Fail {
            now_ms,
            error: JobError { code: JobErrorCode::ExecutorLost, message, param: None },
        }
    } else {
        Transition::Return { now_ms }
    };
    job.state = job.state.clone().apply(transition)?;
    let (level, text) = match &job.state {
        JobState::Failed { error, .. } => {
            (EventLevel::Error, format!("The job failed: {}", error.message))
        }
        JobState::Cancelled { .. } => (EventLevel::Info, "The job was cancelled".to_string()),
        JobState::Paused { .. } => {
            (EventLevel::Warn, "The executor was lost; the job was paused".to_string())
        }
        _ => {
            let checkpoint = job.checkpoint.as_ref();
            let from = checkpoint.map_or("the beginning".into(), |c| format!("step {}", c.step));
            let text = format!(
                "The executor was lost; the job is queued again and will go on from {from}"
            );
            (EventLevel::Warn, text)
        }
    };
    commit.events.push(message(now_ms, level, text)?);
    Ok(())
}

fn wrote_checkpoint(job: &JobRecord) -> bool {
    job.checkpoint.as_ref().is_some_and(|checkpoint| checkpoint.epoch == job.epoch)
}

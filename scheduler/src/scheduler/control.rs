//! The executors' side. Every change compares epoch and nonce in the same step that makes it: a run that was given up can change
//! nothing any more.

use std::time::Duration;

use async_trait::async_trait;
use trainyard_openapi::checkpoint::CheckpointMetrics;
use trainyard_openapi::event::EventLevel;
use trainyard_openapi::extension::{PrivacySpent, Progress};
use trainyard_openapi::id::{ExecutorId, Nonce};
use trainyard_openapi::job::JobError;
use trainyard_openapi::job_error::JobErrorCode;

use super::lease::{advance, charge, directive_of};
use super::{Scheduler, event, message};
use crate::error::SchedulerError;
use crate::job::JobState;
use crate::job::state::{IllegalTransition, Lease, Stop, Transition};
use crate::metrics::LeasedWrite;
use crate::port::control_plane::{
    CheckpointPointer, Claim, Completion, ControlPlane, Directive, LeaseError, LeaseId, NewEvent,
    Presence, ReleaseReason, ReservedSteps,
};
use crate::port::queue::Ticket;
use crate::port::store::StoreError;

impl From<StoreError> for LeaseError {
    fn from(error: StoreError) -> Self {
        Self::Unavailable(error.to_string())
    }
}

impl From<SchedulerError> for LeaseError {
    fn from(error: SchedulerError) -> Self {
        Self::Unavailable(error.to_string())
    }
}

impl From<IllegalTransition> for LeaseError {
    fn from(_: IllegalTransition) -> Self {
        Self::Fenced
    }
}

impl From<getrandom::Error> for LeaseError {
    fn from(error: getrandom::Error) -> Self {
        Self::Unavailable(error.to_string())
    }
}

#[async_trait]
impl ControlPlane for Scheduler {
    async fn enlist(&self, executor: &ExecutorId, presence: &Presence) -> Result<(), LeaseError> {
        self.take_presence(executor, presence).await
    }

    async fn claim(
        &self,
        ticket: &Ticket,
        executor: &ExecutorId,
        nonce: &Nonce,
    ) -> Result<Claim, LeaseError> {
        let lease_ms = self.lease_ms();
        let mut waited_ms = None;
        self.hold_ticket(ticket).await?;
        #[cfg(feature = "mutants")]
        let single = self.config().keeps(crate::guard::Guard::SingleClaim);
        let changed = self.change(&ticket.job, |commit, now_ms| {
            let job = &mut commit.job;
            match &job.state {
                JobState::Running { lease, .. } if lease.nonce == *nonce => return Ok(false),
                JobState::Dispatched { .. }
                    if job.seq == ticket.seq && job.plan.resources.pool == ticket.pool => {}
                #[cfg(feature = "mutants")]
                JobState::Running { .. } if job.seq == ticket.seq && !single => {
                    for before in [Transition::Return { now_ms }, Transition::Dispatch { now_ms }] {
                        job.state = job.state.clone().apply(before)?;
                    }
                }
                _ => return Err(LeaseError::Stale),
            }
            job.epoch += 1;
            waited_ms = (job.epoch == 1).then_some(now_ms - job.created_at_ms);
            let lease = Lease {
                epoch: job.epoch,
                nonce: nonce.clone(),
                executor: executor.clone(),
                since_ms: now_ms,
                seen_ms: now_ms,
                until_ms: now_ms + lease_ms,
                reported: 0,
            };
            job.state = job.state.clone().apply(Transition::Claim(lease))?;
            // What an earlier attempt did after its last checkpoint is done anew.
            job.progress.step = job.checkpoint.as_ref().map_or(0, |checkpoint| checkpoint.step);
            let text = match &job.checkpoint {
                None => "Fine-tuning job started".to_string(),
                Some(checkpoint) => {
                    format!("Fine-tuning job started again from step {}", checkpoint.step)
                }
            };
            commit.events.push(message(now_ms, EventLevel::Info, text)?);
            Ok(true)
        });
        let changed = changed.await.and_then(|job| job.ok_or(LeaseError::Stale));
        if matches!(changed, Err(LeaseError::Stale)) {
            self.metrics().stale_ticket();
        }
        let job = changed?;
        if let Some(waited_ms) = waited_ms {
            self.metrics().claimed(&job.plan.resources.pool, waited_ms);
        }
        self.claim_of(&job, nonce).await
    }

    async fn heartbeat(
        &self,
        lease: &LeaseId,
        progress: &Progress,
    ) -> Result<Directive, LeaseError> {
        let lease_ms = self.lease_ms();
        let renewed = self.change_leased(lease, |commit, now_ms| {
            advance(&mut commit.job, progress);
            charge(commit, now_ms);
            let renew = Transition::Renew { now_ms, until_ms: now_ms + lease_ms };
            commit.job.state = commit.job.state.clone().apply(renew)?;
            Ok(())
        });
        let job = self.metrics().leased(LeasedWrite::Heartbeat, renewed.await)?;
        self.hold_to_budget(&job).await?;
        let job = self.store().job_of_any_tenant(&lease.job).await?;
        job.filter(|job| self.holds(job, lease))
            .as_ref()
            .map(directive_of)
            .ok_or(LeaseError::Fenced)
    }

    async fn directive(&self, lease: &LeaseId, wait: Duration) -> Result<Directive, LeaseError> {
        let changed = self.wait_until(&lease.job, |job| {
            !self.holds(job, lease) || directive_of(job) != Directive::Continue
        });
        // Nothing new in time is an answer too.
        let _ = tokio::time::timeout(wait, changed).await;
        match self.store().job_of_any_tenant(&lease.job).await? {
            Some(job) if self.holds(&job, lease) => Ok(directive_of(&job)),
            _ => Err(LeaseError::Fenced),
        }
    }

    async fn report(
        &self,
        lease: &LeaseId,
        progress: &Progress,
        first: u64,
        events: Vec<NewEvent>,
    ) -> Result<(), LeaseError> {
        let reported = self.change_leased(lease, |commit, now_ms| {
            advance(&mut commit.job, progress);
            let reported = commit.job.state.lease().map_or(0, |lease| lease.reported);
            let known = usize::try_from(reported.saturating_sub(first)).unwrap_or(usize::MAX);
            commit.job.state.set_reported(reported.max(first + events.len() as u64));
            for new in events.iter().skip(known) {
                let NewEvent { level, kind, message, data } = new.clone();
                commit.events.push(event(now_ms, level, kind, message, data)?);
            }
            Ok(())
        });
        self.metrics().leased(LeasedWrite::Report, reported.await)?;
        Ok(())
    }

    async fn checkpoint(
        &self,
        lease: &LeaseId,
        pointer: &CheckpointPointer,
        metrics: &CheckpointMetrics,
    ) -> Result<(), LeaseError> {
        let taken = self.take_checkpoint(lease, pointer, metrics).await;
        self.clear_up_after(lease, &taken).await;
        self.metrics().leased(LeasedWrite::Checkpoint, taken)
    }

    async fn reserve_steps(
        &self,
        lease: &LeaseId,
        from: u64,
        until: u64,
    ) -> Result<ReservedSteps, LeaseError> {
        let taken = self.take_reservation(lease, from, until).await;
        self.metrics().leased(LeasedWrite::Reserve, taken)
    }

    async fn settle_steps(&self, lease: &LeaseId, step: u64) -> Result<PrivacySpent, LeaseError> {
        let settled = self.take_settlement(lease, step).await;
        self.metrics().leased(LeasedWrite::Settle, settled)
    }

    async fn complete(&self, lease: &LeaseId, completion: &Completion) -> Result<(), LeaseError> {
        let taken = self.take_result(lease, completion).await;
        self.clear_up_after(lease, &taken).await;
        self.metrics().leased(LeasedWrite::Complete, taken)
    }

    async fn fail(
        &self,
        lease: &LeaseId,
        error: &JobError,
        retryable: bool,
    ) -> Result<(), LeaseError> {
        let budget = self.config().attempts_failed_max;
        let failed = self.change_leased(lease, |commit, now_ms| {
            charge(commit, now_ms);
            let job = &mut commit.job;
            let wish = job.state.owners_wish();
            let smaller = retryable
                && wish.is_none()
                && error.code == JobErrorCode::OutOfMemory
                && job.micro_batch_size() > 1;
            if smaller {
                job.attempts.out_of_memory += 1;
            } else if retryable && wish.is_none() {
                job.attempts.failed += 1;
            }
            let again =
                retryable && (wish.is_some() || smaller || job.attempts.failed <= budget);
            let transition = match again {
                true => Transition::Return { now_ms },
                false => Transition::Fail { now_ms, error: error.clone() },
            };
            job.state = job.state.clone().apply(transition)?;
            let (level, text) = match job.state {
                JobState::Failed { .. } => (EventLevel::Error, "The job failed".to_string()),
                JobState::Cancelled { .. } => (EventLevel::Info, "The job was cancelled".into()),
                JobState::Paused { .. } => {
                    (EventLevel::Warn, "The job was paused; the attempt had failed".into())
                }
                _ if smaller => {
                    let rows = job.micro_batch_size();
                    (
                        EventLevel::Warn,
                        format!("The attempt ran out of memory and will be tried again with micro-batches of {rows}"),
                    )
                }
                _ => {
                    let left = budget + 1 - job.attempts.failed;
                    (
                        EventLevel::Warn,
                        format!("The attempt failed and will be tried again ({left} left)"),
                    )
                }
            };
            let text = format!("{text}: {}", error.message);
            commit.events.push(message(now_ms, level, text)?);
            Ok(())
        });
        let job = self.metrics().leased(LeasedWrite::Fail, failed.await)?;
        self.end_private_run(lease, &job).await;
        self.collect(&lease.job).await;
        Ok(())
    }

    async fn release(&self, lease: &LeaseId, reason: ReleaseReason) -> Result<(), LeaseError> {
        let budget = self.config().attempts_preempted_max;
        let released = self.change_leased(lease, |commit, now_ms| {
            charge(commit, now_ms);
            let job = &mut commit.job;
            let mut transition = Transition::Return { now_ms };
            let for_budget =
                matches!(job.state, JobState::Running { stop: Some(Stop::Budget), .. });
            let wished = job.state.owners_wish().is_some() || for_budget;
            if reason == ReleaseReason::Preempted && !wished {
                job.attempts.preempted += 1;
                if job.attempts.preempted > budget {
                    let message = format!("the job gave way to others {budget} times");
                    transition = Transition::Fail {
                        now_ms,
                        error: JobError { code: JobErrorCode::Preempted, message, param: None },
                    };
                }
            }
            job.state = job.state.clone().apply(transition)?;
            let text = match job.state {
                JobState::Cancelled { .. } => "The job was cancelled",
                JobState::Paused { .. } => "The job was paused",
                JobState::Failed { .. } => "The job failed: it gave way to others too often",
                _ => "The executor gave the job back; it is queued again",
            };
            commit.events.push(message(now_ms, EventLevel::Info, text)?);
            Ok(())
        });
        let job = self.metrics().leased(LeasedWrite::Release, released.await)?;
        self.end_private_run(lease, &job).await;
        self.collect(&lease.job).await;
        Ok(())
    }
}

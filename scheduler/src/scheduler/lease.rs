//! What a lease means: who holds it, what it obliges to, what it costs.

use trainyard_openapi::extension::Progress;
use trainyard_openapi::id::{FileId, Nonce};

use super::Scheduler;
use super::verify::run_prefix;
use crate::clock::milliseconds;
use crate::guard::Guard;
use crate::job::state::Stop;
use crate::job::{JobRecord, JobState};
use crate::port::control_plane::{Claim, Completion, Directive, InputFile, LeaseError, LeaseId};
use crate::port::store::{Commit, UsageRecord};

impl Scheduler {
    pub(super) fn lease_ms(&self) -> i64 {
        milliseconds(self.config().lease_seconds)
    }

    /// Changes the job if the lease still holds it, in one step.
    pub(super) async fn change_leased(
        &self,
        lease: &LeaseId,
        mut change: impl FnMut(&mut Commit, i64) -> Result<(), LeaseError>,
    ) -> Result<JobRecord, LeaseError> {
        let changed = self.change(&lease.job, |commit, now_ms| {
            if !self.holds(&commit.job, lease) {
                return Err(LeaseError::Fenced);
            }
            change(commit, now_ms).map(|()| true)
        });
        changed.await?.ok_or(LeaseError::Fenced)
    }

    /// What the holder of the lease `nonce` is told of its job.
    pub(super) async fn claim_of(
        &self,
        job: &JobRecord,
        nonce: &Nonce,
    ) -> Result<Claim, LeaseError> {
        let limit = job.plan.resources.max_runtime_seconds;
        Ok(Claim {
            lease: LeaseId { job: job.id.clone(), epoch: job.epoch, nonce: nonce.clone() },
            tenant: Some(job.tenant.clone()),
            lease_seconds: self.config().lease_seconds,
            plan: job.plan.clone(),
            micro_batch_size: job.micro_batch_size(),
            model: job.model.clone(),
            training_file: self.input_of(job, &job.training_file).await?,
            validation_file: match &job.validation_file {
                Some(id) => Some(self.input_of(job, id).await?),
                None => None,
            },
            continual: self.continual_inputs(job).await?,
            checkpoint: job.checkpoint.clone(),
            runtime_seconds_left: (limit as f64 - job.running_seconds).max(0.0) as u64,
        })
    }

    /// Whether the job is held under exactly this lease.
    pub(super) fn holds(&self, job: &JobRecord, lease: &LeaseId) -> bool {
        let config = self.config();
        if !config.keeps(Guard::Fence) {
            return true;
        }
        job.state.lease().is_some_and(|held| {
            let number = held.epoch == lease.epoch;
            let nonce = held.nonce == lease.nonce || !config.keeps(Guard::Nonce);
            number && nonce
        })
    }

    pub(super) async fn input_of(
        &self,
        job: &JobRecord,
        id: &FileId,
    ) -> Result<InputFile, LeaseError> {
        let file = self.store().file(&job.tenant, id).await?;
        let file = file.ok_or_else(|| {
            LeaseError::Unavailable(format!("file {id} of job {} is gone", job.id))
        })?;
        Ok(InputFile { id: file.id, filename: file.filename, key: file.key })
    }

    /// Whether this very result has been taken already: a repeat after a lost answer.
    pub(super) async fn is_completed_by(
        &self,
        lease: &LeaseId,
        completion: &Completion,
    ) -> Result<bool, LeaseError> {
        let Some(job) = self.store().job_of_any_tenant(&lease.job).await? else {
            return Ok(false);
        };
        let JobState::Succeeded { model, .. } = &job.state else { return Ok(false) };
        let own = job.epoch == lease.epoch && completion.prefix.starts_with(&run_prefix(lease));
        let model = self.store().model(&job.tenant, model).await?;
        Ok(own && model.is_some_and(|model| model.prefix == completion.prefix))
    }
}

pub(super) fn directive_of(job: &JobRecord) -> Directive {
    match &job.state {
        JobState::Running { stop: Some(Stop::Cancel), .. } => Directive::Cancel,
        _ if job.running_seconds > job.plan.resources.max_runtime_seconds as f64 => {
            Directive::TimeUp
        }
        JobState::Running { stop: Some(Stop::Pause), .. } => Directive::Pause,
        JobState::Running { stop: Some(Stop::Preempt | Stop::Budget), .. } => Directive::Preempt,
        _ => Directive::Continue,
    }
}

/// Takes what the run says of itself. Heartbeats and reports overtake each other, and a run that goes on from a checkpoint has
/// not counted its first step yet: what is behind the record is old. What was spent is the ledger's to say.
pub(super) fn advance(job: &mut JobRecord, progress: &Progress) {
    if progress.step >= job.progress.step {
        job.progress = Progress { privacy: job.progress.privacy, ..progress.clone() };
    }
}

/// Adds the time since the run was last heard of, to the job and to its tenant's usage of the day.
pub(super) fn charge(commit: &mut Commit, now_ms: i64) {
    let Some(lease) = commit.job.state.lease() else { return };
    let held_ms = (now_ms - lease.seen_ms).max(0);
    commit.job.running_seconds += held_ms as f64 / 1000.0;
    let devices = u64::from(commit.job.plan.resources.devices);
    let usage = commit.usage.get_or_insert_with(|| UsageRecord::on(now_ms));
    usage.accelerator_ms += held_ms.unsigned_abs() * devices;
}

//! What runs are charged: before their steps, before a checkpoint carries them, at their end.
//!
//! Each change is written before its answer, and can be made again after a lost one. A run that was fenced may still be charged, never less
//! than it was given.

use trainyard_openapi::extension::PrivacySpent;
use trainyard_plan::PrivacyPlan;
use trainyard_privacy::Accountant;

use super::super::documents::json;
use super::super::{CONFLICTS_MAX, Scheduler};
use crate::job::JobRecord;
use crate::ledger::{PrivacyLedger, Wanted};
use crate::port::control_plane::{LeaseError, LeaseId, ReservedSteps};
use crate::port::document::Change;
use crate::port::store::StoreError;

impl Scheduler {
    /// Charges steps before they run; gives how far the run may go and what the job has spent.
    pub(in crate::scheduler) async fn take_reservation(
        &self,
        lease: &LeaseId,
        from: u64,
        until: u64,
    ) -> Result<ReservedSteps, LeaseError> {
        let (job, plan) = self.private_job(lease).await?;
        let (lease, checkpoint) = (lease.clone(), checkpoint_step(&job));
        let wanted = Wanted { lease: lease.clone(), plan, checkpoint, from, until };
        let charged = self.change_ledger(&job, move |ledger, accountant| {
            let grant = ledger.reserve(accountant, &wanted)?;
            let spent = ledger.spent_by(accountant, &wanted.lease.job, &wanted.plan)?;
            Ok((grant, spent))
        });
        let (grant, spent) = charged.await?;
        self.metrics().epsilon_charged(&job.plan.resources.pool, grant.growth);
        self.note_spent(&lease, spent).await?;
        Ok(ReservedSteps { until: grant.until, spent })
    }

    /// Ends the run in order after `step`, and gives back what it reserved beyond.
    pub(in crate::scheduler) async fn take_settlement(
        &self,
        lease: &LeaseId,
        step: u64,
    ) -> Result<PrivacySpent, LeaseError> {
        let (job, plan) = self.private_job(lease).await?;
        let (own, checkpoint) = (lease.clone(), checkpoint_step(&job));
        let settled = self.change_ledger(&job, move |ledger, accountant| {
            ledger.settle(&own, checkpoint, step)?;
            Ok(ledger.spent_by(accountant, &own.job, &plan)?)
        });
        let spent = settled.await?;
        self.note_spent(lease, spent).await?;
        Ok(spent)
    }

    /// Writes down that a checkpoint of a private job carries the steps up to `step`, before its pointer moves. Nothing for any other job.
    pub(in crate::scheduler) async fn commit_steps(
        &self,
        lease: &LeaseId,
        step: u64,
    ) -> Result<(), LeaseError> {
        let job = self.leased_job(lease).await?;
        if job.plan.privacy.is_none() {
            return Ok(());
        }
        let (lease, checkpoint) = (lease.clone(), checkpoint_step(&job));
        self.change_ledger(&job, move |ledger, _| ledger.commit(&lease, checkpoint, step)).await
    }

    /// What a private job has spent whose run hands over a result after `step`; `None` for any other job.
    pub(in crate::scheduler) async fn spent_at_result(
        &self,
        lease: &LeaseId,
        step: u64,
    ) -> Result<Option<PrivacySpent>, LeaseError> {
        let job = self.leased_job(lease).await?;
        let Some(plan) = job.plan.privacy.clone() else { return Ok(None) };
        let (lease, checkpoint) = (lease.clone(), checkpoint_step(&job));
        let looked = self.change_ledger(&job, move |ledger, accountant| {
            ledger.check_result(&lease, checkpoint, step)?;
            Ok(ledger.spent_by(accountant, &lease.job, &plan)?)
        });
        looked.await.map(Some)
    }

    /// Writes down that the run is over. Where that fails it looks as if it might be running: it is charged for the same.
    pub(in crate::scheduler) async fn end_private_run(&self, lease: &LeaseId, job: &JobRecord) {
        if job.plan.privacy.is_none() {
            return;
        }
        let own = lease.clone();
        let ended = self.change_ledger(job, move |ledger, _| ledger.end_runs(&own)).await;
        if let Err(error) = ended {
            let epoch = lease.epoch;
            tracing::warn!(job_id = %job.id, tenant_id = %job.tenant, epoch, %error, "the ledger does not say that the run is over");
        }
    }

    /// The job, if the lease holds it.
    async fn leased_job(&self, lease: &LeaseId) -> Result<JobRecord, LeaseError> {
        let job = self.store().job_of_any_tenant(&lease.job).await?;
        job.filter(|job| self.holds(job, lease)).ok_or(LeaseError::Fenced)
    }

    async fn private_job(&self, lease: &LeaseId) -> Result<(JobRecord, PrivacyPlan), LeaseError> {
        let job = self.leased_job(lease).await?;
        let plan = job.plan.privacy.clone().ok_or_else(|| {
            LeaseError::Refused(format!("job {} is not private: it has no steps to charge", job.id))
        })?;
        Ok((job, plan))
    }

    /// Changes the ledger of the job's training file: reads it, lets `change` work on it, writes it where it changed, and does all of that
    /// anew where another run was faster.
    async fn change_ledger<T: Send + 'static>(
        &self,
        job: &JobRecord,
        change: impl Fn(&mut PrivacyLedger, &mut Accountant) -> Result<T, LeaseError>
        + Clone
        + Send
        + 'static,
    ) -> Result<T, LeaseError> {
        for _ in 0..CONFLICTS_MAX {
            let file = self.store().file(&job.tenant, &job.training_file).await?;
            let gone = |what: &str| {
                let (file, job) = (&job.training_file, &job.id);
                LeaseError::Refused(format!("{what} {file} of job {job} is gone"))
            };
            let file = file.ok_or_else(|| gone("file"))?;
            let found = self.ledger(&file).await?;
            let (before, rev) = found.ok_or_else(|| gone("the privacy ledger of file"))?;
            let (mut ledger, change) = (before.clone(), change.clone());
            let changed = self.count(move |accountant| {
                change(&mut ledger, accountant).map(|outcome| (ledger, outcome))
            });
            let (ledger, outcome) = changed.await??;
            if ledger == before {
                return Ok(outcome);
            }
            let write = Change::none().put(&ledger, rev + 1).map_err(json)?;
            match self.store().apply(&write).await {
                Err(StoreError::Conflict) => {}
                Err(error) => return Err(error.into()),
                Ok(()) => return Ok(outcome),
            }
        }
        Err(LeaseError::Unavailable(format!("the ledger of job {} changes too fast", job.id)))
    }

    /// Shows the owner what the job has spent. Looks at the lease once more, which may have gone while it was counted.
    async fn note_spent(&self, lease: &LeaseId, spent: PrivacySpent) -> Result<(), LeaseError> {
        self.change_leased(lease, |commit, _| {
            commit.job.progress.privacy = Some(spent);
            Ok(())
        })
        .await?;
        Ok(())
    }
}

/// The step that the job goes on after; 0 where it has no checkpoint.
fn checkpoint_step(job: &JobRecord) -> u64 {
    job.checkpoint.as_ref().map_or(0, |checkpoint| checkpoint.step)
}

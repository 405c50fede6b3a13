//! What a tenant may still use: accelerator-seconds, running jobs, bytes.

use trainyard_openapi::error::{ApiError, ErrorCode};
use trainyard_openapi::event::EventLevel;
use trainyard_openapi::id::{TenantId, UploadId};
use trainyard_openapi::tenant::{Quota, TenantStatus};
use trainyard_openapi::upload::UploadStatus;

use super::{Scheduler, message};
use crate::clock::Day;
use crate::error::{Result, SchedulerError};
use crate::job::state::Transition;
use crate::job::{JobRecord, JobState};
use crate::policy::Allowance;
use crate::port::queue::Ticket;
use crate::port::store::UsageRecord;
use crate::tenant::{TenantContext, TenantRecord};
use crate::upload::UploadRecord;

impl Scheduler {
    /// Whether none of a tenant's jobs is started.
    async fn is_held(&self, tenant: &TenantId) -> Result<bool> {
        match self.document::<TenantRecord>(tenant.as_str()).await? {
            Some((record, _)) if record.status == TenantStatus::Active => {
                Ok(self.used_up(tenant, &record.quota).await?.is_some())
            }
            found => Ok(found.is_some()),
        }
    }

    /// Which quota of accelerator-seconds is used up, in words.
    pub(super) async fn used_up(&self, tenant: &TenantId, quota: &Quota) -> Result<Option<String>> {
        let Quota { accelerator_seconds_per_day, accelerator_seconds_per_month, .. } = quota;
        if accelerator_seconds_per_day.is_none() && accelerator_seconds_per_month.is_none() {
            return Ok(None);
        }
        let today = Day::of(self.store().now_ms().await?);
        let days = self.store().usage(tenant, today.first_of_month().0, today.0).await?;
        Ok(used_up(quota, &days, today))
    }

    /// Refuses a new job of a tenant that has no accelerator-seconds left.
    pub(super) async fn check_accelerator(&self, ctx: &TenantContext) -> Result<()> {
        match self.used_up(ctx.tenant(), ctx.quota()).await? {
            Some(text) => Err(ApiError::new(ErrorCode::QuotaExceeded, text).into()),
            None => Ok(()),
        }
    }

    /// Asks a running job whose tenant has no accelerator-seconds left to save a checkpoint and wait. That costs it no attempt.
    pub(super) async fn hold_to_budget(&self, job: &JobRecord) -> Result<()> {
        if !matches!(job.state, JobState::Running { stop: None, .. }) {
            return Ok(());
        }
        let Some((tenant, _)) = self.document::<TenantRecord>(job.tenant.as_str()).await? else {
            return Ok(());
        };
        let Some(reason) = self.used_up(&job.tenant, &tenant.quota).await? else { return Ok(()) };
        self.change(&job.id, |commit, now_ms| {
            let same = commit.job.epoch == job.epoch;
            if !same || !matches!(commit.job.state, JobState::Running { stop: None, .. }) {
                return Ok::<_, SchedulerError>(false);
            }
            commit.job.state = commit.job.state.clone().apply(Transition::Budget)?;
            let text = format!("The job saves a checkpoint and waits: {reason}");
            commit.events.push(message(now_ms, EventLevel::Warn, text)?);
            Ok(true)
        })
        .await?;
        Ok(())
    }

    /// Puts the job of a ticket back into the queue where its tenant may start none any more; the ticket is stale then.
    pub(super) async fn hold_ticket(&self, ticket: &Ticket) -> Result<()> {
        let Some(job) = self.store().job_of_any_tenant(&ticket.job).await? else { return Ok(()) };
        if !matches!(job.state, JobState::Dispatched { .. }) || !self.is_held(&job.tenant).await? {
            return Ok(());
        }
        self.withdraw_ticket(&job.id, |state| *state == job.state).await?;
        Ok(())
    }

    /// Refuses `bytes` more than the tenant may store. To be asked as soon as the size, or the least of it, is known.
    ///
    /// # Errors
    /// `quota_exceeded`, with limit, stored and asked bytes.
    pub async fn check_storage(&self, ctx: &TenantContext, bytes: u64) -> Result<()> {
        match self.room(ctx, None).await? {
            Some(room) => Ok(room.check(bytes)?),
            None => Ok(()),
        }
    }

    /// How much the tenant may store beside what it has; `None` without a limit.
    pub(super) async fn room(
        &self,
        ctx: &TenantContext,
        but: Option<&UploadId>,
    ) -> Result<Option<Room>> {
        let Some(limit) = ctx.quota().storage_bytes else { return Ok(None) };
        let stored = self.stored_bytes(ctx.tenant(), but).await?;
        Ok(Some(Room { limit, stored }))
    }

    /// Bytes of a tenant's files, models and pending uploads, without the parts of `but`: they are about to become a file.
    pub(super) async fn stored_bytes(
        &self,
        tenant: &TenantId,
        but: Option<&UploadId>,
    ) -> Result<u64> {
        let uploads = self.all_documents::<UploadRecord>(tenant.as_str()).await?;
        let pending = uploads
            .iter()
            .filter(|upload| upload.status == UploadStatus::Pending && Some(&upload.id) != but);
        let parts: u64 = pending.map(|upload| upload.stored_bytes).sum();
        Ok(self.store().stored_bytes(tenant).await? + parts)
    }
}

impl Allowance {
    /// Of a tenant that used `days`; those of this month have to be among them.
    pub(super) fn of(record: &TenantRecord, days: &[UsageRecord], today: Day) -> Self {
        let held = match record.status {
            TenantStatus::Suspended => Some("the tenant is suspended".to_string()),
            TenantStatus::Erasing => Some("the tenant is being deleted".to_string()),
            TenantStatus::Active => used_up(&record.quota, days, today),
        };
        Self { running_max: record.quota.running_jobs, held }
    }
}

/// Which quota of accelerator-seconds is used up, in words. Always by what was used, exactly: nothing of it decays.
fn used_up(quota: &Quota, days: &[UsageRecord], today: Day) -> Option<String> {
    let of_month = days.iter().filter(|day| day.day >= today.first_of_month().0);
    let of_month = UsageRecord::accelerator_ms_of(of_month);
    let of_today = UsageRecord::accelerator_ms_of(days.iter().filter(|day| day.day == today.0));
    let quotas = [
        ("accelerator_seconds_per_month", quota.accelerator_seconds_per_month, of_month, "month"),
        ("accelerator_seconds_per_day", quota.accelerator_seconds_per_day, of_today, "day"),
    ];
    quotas.into_iter().find_map(|(name, limit, used_ms, period)| {
        let limit = limit?;
        (used_ms >= limit.saturating_mul(1000)).then(|| {
            let used = used_ms as f64 / 1000.0;
            format!(
                "the tenant's quota '{name}' of {limit} s is used up ({used:.1} s on {today} UTC); it begins anew with the next {period}"
            )
        })
    })
}

/// A tenant's limit of bytes and what it has stored.
#[derive(Debug, Clone, Copy)]
pub(super) struct Room {
    pub(super) limit: u64,
    pub(super) stored: u64,
}

impl Room {
    pub(super) fn check(self, bytes: u64) -> Result<(), ApiError> {
        let Self { limit, stored } = self;
        if stored.saturating_add(bytes) <= limit {
            return Ok(());
        }
        let text = format!(
            "the tenant's quota 'storage_bytes' allows {limit} bytes; {stored} are stored, and this would add {bytes} or more"
        );
        Err(ApiError::new(ErrorCode::QuotaExceeded, text))
    }
}

//! What a tenant has used, and what it may.

use trainyard_openapi::tenant::{Usage, UsageDay};

use super::Scheduler;
use crate::clock::Day;
use crate::error::Result;
use crate::port::store::UsageRecord;
use crate::tenant::TenantContext;

impl Scheduler {
    /// What the caller's tenant has used from day `from` to day `to`, both included; this month where they are left out.
    ///
    /// # Errors
    /// Where the store does not answer.
    pub async fn usage(
        &self,
        ctx: &TenantContext,
        from: Option<Day>,
        to: Option<Day>,
    ) -> Result<Usage> {
        let today = Day::of(self.store().now_ms().await?);
        let month = self.store().usage(ctx.tenant(), today.first_of_month().0, today.0).await?;
        let days = match (from, to) {
            (None, None) => month.clone(),
            (from, to) => {
                let (from, to) = (from.unwrap_or(today.first_of_month()), to.unwrap_or(today));
                self.store().usage(ctx.tenant(), from.0, to.0).await?
            }
        };
        let of_today = month.iter().filter(|usage| usage.day == today.0);
        let seconds = |milliseconds: u64| milliseconds as f64 / 1000.0;
        Ok(Usage {
            object: "usage".to_string(),
            data: days.iter().map(day_of).collect(),
            storage_bytes: self.stored_bytes(ctx.tenant(), None).await?,
            live_jobs: self.store().live_count(ctx.tenant()).await?,
            accelerator_seconds_today: seconds(UsageRecord::accelerator_ms_of(of_today)),
            accelerator_seconds_this_month: seconds(UsageRecord::accelerator_ms_of(&month)),
            quota: ctx.quota().clone(),
        })
    }
}

fn day_of(record: &UsageRecord) -> UsageDay {
    UsageDay {
        date: Day(record.day).to_string(),
        object: "usage.day".to_string(),
        accelerator_seconds: record.accelerator_ms as f64 / 1000.0,
        trained_tokens: record.trained_tokens,
        jobs_created: record.jobs_created,
        jobs_succeeded: record.jobs_succeeded,
    }
}

//! How tenants stand beside each other: what they used and hold, read from the record.

use std::collections::{BTreeMap, BTreeSet};

use trainyard_openapi::id::TenantId;

use super::Scheduler;
use super::waiting::WaitingRecord;
use crate::clock::Day;
use crate::error::Result;
use crate::job::JobRecord;
use crate::policy::{Allowance, Standing, share};
use crate::port::store::UsageRecord;
use crate::tenant::TenantRecord;

impl Scheduler {
    /// Of the tenants that wait or hold devices; `waiting` says what is added to their shares.
    pub(super) async fn standings<'a>(
        &self,
        tenants: BTreeSet<TenantId>,
        busy: &[JobRecord],
        waiting: impl Iterator<Item = (&'a String, &'a WaitingRecord)>,
        now_ms: i64,
    ) -> Result<BTreeMap<TenantId, Standing>> {
        let half_life = self.config().fair_share_half_life;
        let today = Day::of(now_ms);
        let from = today.0 - share::days_back(half_life);
        let (mut standings, mut all_days) = (BTreeMap::new(), Vec::new());
        for tenant in tenants {
            let found = self.document::<TenantRecord>(tenant.as_str()).await?;
            let first = from.min(today.first_of_month().0);
            let days = self.store().usage(&tenant, first, today.0).await?;
            let (weight, allowance) = match found {
                Some((record, _)) => (record.weight.max(1), Allowance::of(&record, &days, today)),
                None => (1, Allowance::default()),
            };
            let used = share::decayed_seconds(&days, now_ms, half_life);
            let job_seconds = share::job_seconds(&days);
            let standing = Standing {
                share: used / f64::from(weight),
                weight,
                job_seconds: job_seconds.unwrap_or_default(),
                job_seconds_known: job_seconds.is_some(),
                allowance,
                ..Standing::default()
            };
            standings.insert(tenant, standing);
            all_days.extend(days);
        }
        // Who has finished nothing is taken to be like the others.
        assume(&mut standings, &all_days);
        for job in busy {
            if let Some(standing) = standings.get_mut(&job.tenant) {
                let left = share::seconds_left(job, standing.job_seconds, now_ms);
                let devices = job.plan.resources.devices;
                standing.share += standing.penalty(devices, left.unwrap_or(0.0));
                standing.running += 1;
            }
        }
        for (pool, record) in waiting {
            for (tenant, offset) in record.offsets_at(now_ms, half_life) {
                if let Some(standing) = standings.get_mut(tenant) {
                    standing.offsets.insert(pool.clone(), offset);
                }
            }
        }
        Ok(standings)
    }
}

fn assume(standings: &mut BTreeMap<TenantId, Standing>, all_days: &[UsageRecord]) {
    let of_all = share::job_seconds(all_days);
    for standing in standings.values_mut().filter(|one| !one.job_seconds_known) {
        standing.job_seconds = of_all.unwrap_or(share::ASSUMED_JOB_SECONDS);
        standing.job_seconds_known = of_all.is_some();
    }
}

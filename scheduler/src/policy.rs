//! Who goes next: a pure function of the jobs and the free slots.
//!
//! Tenants take turns: the one with the fewest jobs running goes first. A tenant's own jobs go by priority, then by age. Fair share by what
//! was used over time takes its place here.

use std::collections::BTreeMap;

use trainyard_openapi::id::JobId;

use crate::job::{JobRecord, JobState};

/// Queued jobs in the order in which they will run, as far as is known now. `live` are all jobs that have not ended.
pub fn order(live: &[JobRecord]) -> Vec<JobId> {
    let mut busy: BTreeMap<&str, u32> = BTreeMap::new();
    let mut waiting: BTreeMap<&str, Vec<(&JobRecord, i64)>> = BTreeMap::new();
    for job in live {
        let tenant = job.tenant.as_str();
        match job.state {
            JobState::Running { .. } | JobState::Dispatched { .. } => {
                *busy.entry(tenant).or_default() += 1
            }
            JobState::Queued { since_ms } => {
                waiting.entry(tenant).or_default().push((job, since_ms))
            }
            _ => {}
        }
    }
    for jobs in waiting.values_mut() {
        // Stable: jobs of the same moment keep the order in which they were made.
        jobs.sort_by_key(|(job, since)| (std::cmp::Reverse(job.plan.resources.priority), *since));
        jobs.reverse();
    }
    let mut order = Vec::new();
    loop {
        let next = waiting
            .iter()
            .filter_map(|(tenant, jobs)| jobs.last().map(|(_, since)| (*tenant, *since)))
            .min_by_key(|(tenant, since)| (busy.get(tenant).copied().unwrap_or(0), *since));
        let Some((tenant, _)) = next else { return order };
        if let Some((job, _)) = waiting.get_mut(tenant).and_then(Vec::pop) {
            *busy.entry(tenant).or_default() += 1;
            order.push(job.id.clone());
        }
    }
}

/// Slots that are neither running nor about to.
pub fn free_slots(live: &[JobRecord], slots: u32) -> u32 {
    let taken = |job: &&JobRecord| {
        matches!(job.state, JobState::Running { .. } | JobState::Dispatched { .. })
    };
    slots.saturating_sub(u32::try_from(live.iter().filter(taken).count()).unwrap_or(u32::MAX))
}

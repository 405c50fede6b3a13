//! Who goes next: a pure function of the jobs and the free slots.
//!
//! Tenants take turns: the one with the fewest jobs running goes first. A tenant's own jobs go by priority, then by age. Fair share by what
//! was used over time takes its place here.

use std::collections::BTreeMap;

use trainyard_openapi::id::{JobId, TenantId};

use crate::job::{JobRecord, JobState};

/// What a tenant may start.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Allowance {
    /// Jobs that may run or be about to, at once.
    pub running_max: Option<u32>,
    /// Why none is started at all.
    pub held: Option<String>,
}

/// Queued jobs in the order in which they will run, as far as is known now.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Queue {
    /// Those that may start as soon as a slot is free.
    pub ready: Vec<JobId>,
    /// Those that wait for more than a slot, and why. They are passed over.
    pub held: Vec<(JobId, String)>,
}

/// Who goes next. `live` are all jobs that have not ended; a tenant that `allowances` does not name has no limits.
pub fn order(live: &[JobRecord], allowances: &BTreeMap<TenantId, Allowance>) -> Queue {
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
    let mut queue = Queue::default();
    loop {
        let next = waiting
            .iter()
            .filter_map(|(tenant, jobs)| jobs.last().map(|(_, since)| (*tenant, *since)))
            .min_by_key(|(tenant, since)| (busy.get(tenant).copied().unwrap_or(0), *since));
        let Some((tenant, _)) = next else { return queue };
        if let Some((job, _)) = waiting.get_mut(tenant).and_then(Vec::pop) {
            let busy = busy.entry(tenant).or_default();
            match allowances.get(&job.tenant).and_then(|allowance| allowance.reason(*busy)) {
                Some(reason) => queue.held.push((job.id.clone(), reason)),
                None => {
                    *busy += 1;
                    queue.ready.push(job.id.clone());
                }
            }
        }
    }
}

impl Allowance {
    /// Why no further job is started while `busy` run.
    fn reason(&self, busy: u32) -> Option<String> {
        let full = self.running_max.filter(|most| busy >= *most);
        let text = |most| {
            format!(
                "the tenant's quota 'running_jobs' allows {most} at once; it waits for its own jobs before it"
            )
        };
        self.held.clone().or_else(|| full.map(text))
    }
}

/// Slots that are neither running nor about to.
pub fn free_slots(live: &[JobRecord], slots: u32) -> u32 {
    let taken = |job: &&JobRecord| {
        matches!(job.state, JobState::Running { .. } | JobState::Dispatched { .. })
    };
    slots.saturating_sub(u32::try_from(live.iter().filter(taken).count()).unwrap_or(u32::MAX))
}

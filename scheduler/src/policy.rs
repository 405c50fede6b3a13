//! Who goes next: a pure function of the jobs and the free slots.
//!
//! Tenants take turns: the one with the fewest jobs running goes first. A tenant's own jobs go by priority, then by age. Fair share by what
//! was used over time takes its place here.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use trainyard_openapi::id::{JobId, TenantId};

use crate::port::store::QueuedJob;

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
    pub held: Vec<(JobId, Arc<str>)>,
}

/// A tenant in the line.
#[derive(Default)]
struct Turn {
    busy: u32,
    /// The next one last.
    waiting: Vec<QueuedJob>,
    allowance: Allowance,
    /// Why it may start no more; once there is a reason, it stays.
    reason: Option<Arc<str>>,
}

/// Who goes next. `busy` are the jobs that take a slot of each tenant; a tenant that `allowances` does not name has no limits.
pub fn order(
    queued: Vec<QueuedJob>,
    busy: &BTreeMap<TenantId, u32>,
    mut allowances: BTreeMap<TenantId, Allowance>,
) -> Queue {
    let mut turns: BTreeMap<TenantId, Turn> = BTreeMap::new();
    for job in queued {
        match turns.get_mut(&job.tenant) {
            Some(turn) => turn.waiting.push(job),
            None => {
                let busy = busy.get(&job.tenant).copied().unwrap_or(0);
                let allowance = allowances.remove(&job.tenant).unwrap_or_default();
                let tenant = job.tenant.clone();
                turns.insert(tenant, Turn { busy, waiting: vec![job], allowance, reason: None });
            }
        }
    }
    let mut turns: Vec<Turn> = turns.into_values().collect();
    for turn in &mut turns {
        // Stable: jobs of the same moment keep the order in which they were made.
        turn.waiting.sort_by_key(|job| (Reverse(job.priority), job.since_ms));
        turn.waiting.reverse();
    }
    // Whose turn it is stands first; among equals, the tenant whose id comes first.
    let mut next: BTreeSet<(u32, i64, usize)> =
        turns.iter().enumerate().filter_map(|(tenant, turn)| turn.place(tenant)).collect();
    let mut queue = Queue::default();
    while let Some((_, _, tenant)) = next.pop_first() {
        let turn = &mut turns[tenant];
        if turn.reason.is_none() {
            turn.reason = turn.allowance.reason(turn.busy).map(Arc::from);
        }
        let Some(job) = turn.waiting.pop() else { continue };
        match &turn.reason {
            Some(reason) => queue.held.push((job.id, reason.clone())),
            None => {
                turn.busy += 1;
                queue.ready.push(job.id);
            }
        }
        next.extend(turn.place(tenant));
    }
    queue
}

impl Turn {
    /// Where its next job stands in the line.
    fn place(&self, tenant: usize) -> Option<(u32, i64, usize)> {
        self.waiting.last().map(|job| (self.busy, job.since_ms, tenant))
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::contract::sample;
    use trainyard_openapi::extension::Priority;

    /// The rule in its plainest form: every turn looks at all tenants and at all their jobs.
    fn plain(
        mut queued: Vec<QueuedJob>,
        mut busy: BTreeMap<TenantId, u32>,
        allowances: &BTreeMap<TenantId, Allowance>,
    ) -> Queue {
        let mut queue = Queue::default();
        queued.sort_by_key(|job| (Reverse(job.priority), job.since_ms));
        while !queued.is_empty() {
            let firsts: BTreeMap<TenantId, usize> =
                queued.iter().enumerate().rev().map(|(at, job)| (job.tenant.clone(), at)).collect();
            let key = |tenant: &TenantId, at: usize| {
                (busy.get(tenant).copied().unwrap_or(0), queued[at].since_ms, tenant.clone())
            };
            let next = firsts.iter().min_by_key(|(tenant, at)| key(tenant, **at)).unwrap();
            let job = queued.remove(*next.1);
            let taken = busy.entry(job.tenant.clone()).or_default();
            match allowances.get(&job.tenant).and_then(|allowance| allowance.reason(*taken)) {
                Some(reason) => queue.held.push((job.id, reason.into())),
                None => {
                    *taken += 1;
                    queue.ready.push(job.id);
                }
            }
        }
        queue
    }

    #[test]
    fn the_order_is_that_of_the_plain_rule() {
        let tenants: Vec<TenantId> = (0..5).map(|_| sample::tenant()).collect();
        let mut state = 7_u64;
        let mut below = |most: u64| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (state >> 33) % most
        };
        for _ in 0..50 {
            let queued: Vec<QueuedJob> = (0..60)
                .map(|_| QueuedJob {
                    id: JobId::generate().unwrap(),
                    tenant: tenants[below(5) as usize].clone(),
                    priority: [Priority::Low, Priority::Normal, Priority::High][below(3) as usize],
                    since_ms: below(20) as i64,
                })
                .collect();
            let busy: BTreeMap<TenantId, u32> =
                tenants.iter().take(3).map(|tenant| (tenant.clone(), below(4) as u32)).collect();
            let limited = Allowance { running_max: Some(below(9) as u32), held: None };
            let held = Allowance { running_max: None, held: Some("suspended".to_string()) };
            let allowances =
                BTreeMap::from([(tenants[0].clone(), limited), (tenants[4].clone(), held)]);
            let expected = plain(queued.clone(), busy.clone(), &allowances);
            assert_eq!(order(queued, &busy, allowances), expected);
        }
    }
}

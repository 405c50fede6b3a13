//! The line of each pool.
//!
//! The tenant with the least share goes first, and each job that it places adds its entry penalty: a tenant that submits a hundred jobs
//! gets one turn like one that submits one. A tenant's own jobs go by priority, then by age; a step of priority is worth
//! [`AGEING_MS`] of waiting, so a low one comes up in the end. Within a pool the order is strict: what does not fit yet holds up what
//! comes after it, in its own pool alone.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use trainyard_openapi::extension::Priority;
use trainyard_openapi::id::{JobId, TenantId};

use super::Standing;
use crate::port::store::QueuedJob;

/// How long a job waits until it stands as if it had the next higher priority, in milliseconds.
pub const AGEING_MS: i64 = 24 * 3_600_000;

/// Queued jobs by pool, in the order in which they will run, as far as is known now.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Queue {
    /// A line for each pool that somebody waits for.
    pub pools: BTreeMap<String, PoolQueue>,
}

/// The line of one pool.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PoolQueue {
    /// Those that may start as soon as devices are free.
    pub ready: Vec<QueuedJob>,
    /// Those that wait for more than devices, and why. They are passed over.
    pub held: Vec<(JobId, Arc<str>)>,
}

/// A share, in the order of numbers.
#[derive(Debug, Clone, Copy)]
struct Share(f64);

impl Ord for Share {
    fn cmp(&self, other: &Self) -> Ordering {
        self.0.total_cmp(&other.0)
    }
}

impl PartialOrd for Share {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Share {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Share {}

/// A tenant in the line.
struct Turn {
    standing: Standing,
    /// Its lanes.
    lanes: Vec<usize>,
    /// Why it may start no more; once there is a reason, it stays.
    reason: Option<Arc<str>>,
}

/// What one tenant waits for in one pool.
struct Lane {
    turn: usize,
    pool: String,
    offset: f64,
    /// The next one last.
    waiting: Vec<QueuedJob>,
}

/// Where a lane's next job stands: whose turn it is stands first; among equals the oldest job, then the tenant whose id comes first.
type Place = (Share, i64, usize);

/// Who goes next. A tenant that `standings` does not name has used nothing and has no limits.
pub fn order(queued: Vec<QueuedJob>, mut standings: BTreeMap<TenantId, Standing>) -> Queue {
    let mut by_tenant: BTreeMap<TenantId, BTreeMap<String, Vec<QueuedJob>>> = BTreeMap::new();
    for job in queued {
        // Names are copied once for each tenant and pool, not once for each of very many jobs.
        if !by_tenant.contains_key(&job.tenant) {
            by_tenant.insert(job.tenant.clone(), BTreeMap::new());
        }
        let Some(pools) = by_tenant.get_mut(&job.tenant) else { continue };
        match pools.get_mut(&job.pool) {
            Some(waiting) => waiting.push(job),
            None => {
                pools.insert(job.pool.clone(), vec![job]);
            }
        }
    }
    let (mut turns, mut lanes) = (Vec::new(), Vec::new());
    for (turn, (tenant, pools)) in by_tenant.into_iter().enumerate() {
        let standing = standings.remove(&tenant).unwrap_or_default();
        let first = lanes.len();
        for (pool, mut waiting) in pools {
            // Stable: jobs of the same moment keep the order in which they were made.
            waiting.sort_by_key(aged);
            waiting.reverse();
            let offset = standing.offsets.get(&pool).copied().unwrap_or(0.0);
            lanes.push(Lane { turn, pool, offset, waiting });
        }
        turns.push(Turn { standing, lanes: (first..lanes.len()).collect(), reason: None });
    }
    let mut queue = Queue::default();
    for lane in &lanes {
        if !queue.pools.contains_key(&lane.pool) {
            queue.pools.insert(lane.pool.clone(), PoolQueue::default());
        }
    }
    let mut next: BTreeSet<Place> =
        (0..lanes.len()).filter_map(|lane| place(&turns, &lanes, lane)).collect();
    while let Some((_, _, lane)) = next.pop_first() {
        let turn = &mut turns[lanes[lane].turn];
        if turn.reason.is_none() {
            turn.reason = turn.standing.allowance.reason(turn.standing.running).map(Arc::from);
        }
        let reason = turn.reason.clone();
        let others: Vec<usize> = turn.lanes.iter().copied().filter(|one| *one != lane).collect();
        let Some(job) = lanes[lane].waiting.pop() else { continue };
        let Some(pool) = queue.pools.get_mut(&lanes[lane].pool) else { continue };
        match reason {
            Some(reason) => pool.held.push((job.id, reason)),
            None => {
                for other in &others {
                    place(&turns, &lanes, *other).map(|place| next.remove(&place));
                }
                let standing = &mut turns[lanes[lane].turn].standing;
                standing.running += 1;
                standing.share += standing.penalty(job.devices, standing.job_seconds);
                pool.ready.push(job);
                next.extend(others.iter().filter_map(|other| place(&turns, &lanes, *other)));
            }
        }
        next.extend(place(&turns, &lanes, lane));
    }
    queue
}

fn place(turns: &[Turn], lanes: &[Lane], lane: usize) -> Option<Place> {
    let Lane { turn, offset, waiting, .. } = &lanes[lane];
    let share = Share(turns[*turn].standing.share + offset);
    waiting.last().map(|job| (share, job.since_ms, lane))
}

/// Its place among its tenant's own jobs: since when it waits, earlier by [`AGEING_MS`] for each step of priority.
fn aged(job: &QueuedJob) -> i64 {
    let steps = match job.priority {
        Priority::Low => 0,
        Priority::Normal => 1,
        Priority::High => 2,
    };
    job.since_ms.saturating_sub(steps * AGEING_MS)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::contract::sample;
    use crate::policy::Allowance;

    /// The rule in its plainest form: every turn looks at all jobs of all tenants.
    fn plain(mut queued: Vec<QueuedJob>, mut standings: BTreeMap<TenantId, Standing>) -> Queue {
        let mut queue = Queue::default();
        queued.sort_by_key(aged);
        let mut reasons: BTreeMap<TenantId, String> = BTreeMap::new();
        while !queued.is_empty() {
            let mut firsts: BTreeMap<(TenantId, String), usize> = BTreeMap::new();
            for (at, job) in queued.iter().enumerate() {
                firsts.entry((job.tenant.clone(), job.pool.clone())).or_insert(at);
            }
            let key = |(tenant, pool): &(TenantId, String), at: usize| {
                let share = standings.get(tenant).map_or(0.0, |one| one.share_in(pool));
                (Share(share), queued[at].since_ms, tenant.clone(), pool.clone())
            };
            let next = firsts.iter().min_by_key(|(lane, at)| key(lane, **at)).unwrap();
            let job = queued.remove(*next.1);
            let standing = standings.entry(job.tenant.clone()).or_default();
            let reason = standing.allowance.reason(standing.running);
            if let Some(reason) = reason {
                reasons.entry(job.tenant.clone()).or_insert(reason);
            }
            let pool = queue.pools.entry(job.pool.clone()).or_default();
            match reasons.get(&job.tenant) {
                Some(reason) => pool.held.push((job.id, reason.as_str().into())),
                None => {
                    standing.running += 1;
                    standing.share += standing.penalty(job.devices, standing.job_seconds);
                    pool.ready.push(job);
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
        for _ in 0..100 {
            let queued: Vec<QueuedJob> = (0..60)
                .map(|_| QueuedJob {
                    id: JobId::generate().unwrap(),
                    tenant: tenants[below(5) as usize].clone(),
                    priority: [Priority::Low, Priority::Normal, Priority::High][below(3) as usize],
                    since_ms: below(5) as i64 * AGEING_MS / 2 + below(20) as i64,
                    pool: ["cpu", "gpu"][below(2) as usize].to_string(),
                    devices: 1 + below(3) as u32,
                })
                .collect();
            let mut standings: BTreeMap<TenantId, Standing> = BTreeMap::new();
            for tenant in &tenants[..4] {
                let offset = below(9) as f64 * 100.0 - 400.0;
                standings.insert(
                    tenant.clone(),
                    Standing {
                        share: below(5) as f64 * 250.0,
                        offsets: BTreeMap::from([("gpu".to_string(), offset)]),
                        weight: 1 + below(4) as u32,
                        job_seconds: 50.0 + below(3) as f64 * 100.0,
                        running: below(4) as u32,
                        ..Standing::default()
                    },
                );
            }
            let limited = Allowance { running_max: Some(below(9) as u32), held: None };
            let held = Allowance { running_max: None, held: Some("suspended".to_string()) };
            standings.get_mut(&tenants[0]).unwrap().allowance = limited;
            standings.get_mut(&tenants[3]).unwrap().allowance = held;
            let expected = plain(queued.clone(), standings.clone());
            assert_eq!(order(queued, standings), expected);
        }
    }

    #[test]
    fn a_low_priority_comes_up_after_two_days() {
        let tenant = sample::tenant();
        let job = |priority, since_ms| QueuedJob {
            id: JobId::generate().unwrap(),
            tenant: tenant.clone(),
            priority,
            since_ms,
            pool: "default".to_string(),
            devices: 1,
        };
        let low = job(Priority::Low, 0);
        let (before, after) =
            (job(Priority::High, 2 * AGEING_MS - 1), job(Priority::High, 2 * AGEING_MS + 1));
        let jobs = vec![after.clone(), before.clone(), low.clone()];
        let queue = order(jobs, BTreeMap::new());
        assert_eq!(queue.pools["default"].ready, [before, low, after]);
    }
}

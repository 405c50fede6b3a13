//! Whose run saves a checkpoint and makes room for a job that waits.
//!
//! Only for those who are next in a pool's line, and only where that puts things right:
//! - *within a tenant*, a job of a higher priority (as asked, without ageing) goes before a running one of a lower. Priority orders a
//!   tenant's own jobs, so it never takes a device from another tenant;
//! - *between tenants*, where the one that waits holds no more than its part of the pool even with the job, the one that runs holds no
//!   less than its part even without the run, and the first has the smaller share even after the second has given its device back. A part
//!   is the pool's devices by weight, among all who run or wait there.
//!
//! Of the runs that may make room: the lowest priority, then the tenant that holds most beyond its part for its weight, then the run with
//! the least work since its checkpoint, then the newest. A run is left alone for a minimum time after its claim, and for good once its
//! attempts that may give way are used up.
//!
//! There is no ping-pong. A device that comes free goes to the job it was freed for: that one is next in line, and what the other gains by
//! giving way leaves it behind. And no job takes it back: within a tenant priorities would have to be lower and higher at once; between
//! tenants, who gave way holds at least its part, so one more would be too many. Both are tested.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use trainyard_openapi::extension::Priority;
use trainyard_openapi::id::{JobId, TenantId};

use super::Standing;
use crate::port::store::QueuedJob;

/// A job that holds devices of the pool.
#[derive(Debug, Clone, PartialEq)]
pub struct Running {
    /// The job.
    pub id: JobId,
    /// Whose it is.
    pub tenant: TenantId,
    /// Its priority.
    pub priority: Priority,
    /// Devices that it holds.
    pub devices: u32,
    /// What its tenant's share loses when it gives its devices back: the entry penalty that is left.
    pub penalty: f64,
    /// Seconds of work since its last checkpoint.
    pub at_risk_seconds: f64,
    /// Seconds since its claim.
    pub ran_seconds: f64,
    /// It is about to give its devices back anyway.
    pub leaving: bool,
    /// It may be asked to: its owner allows it, nobody has asked it anything else, and its attempts are not used up.
    pub preemptible: bool,
}

/// Runs that make room for a job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exchange {
    /// Who waits.
    pub waiting: JobId,
    /// Who makes room.
    pub leaving: Vec<JobId>,
}

/// The pool as it would be after the exchanges decided so far.
#[derive(Clone)]
struct Table<'a> {
    pool: &'a str,
    standings: &'a BTreeMap<TenantId, Standing>,
    /// Devices of the pool for each weight of those who run or wait there.
    per_weight: f64,
    held: BTreeMap<&'a TenantId, f64>,
    shares: BTreeMap<&'a TenantId, f64>,
    gone: BTreeSet<&'a JobId>,
}

/// Who makes room for whom in `pool`, which has `devices`. `ready` is its line, `running` all that hold devices there.
pub fn preempt(
    pool: &str,
    devices: u32,
    ready: &[QueuedJob],
    running: &[Running],
    standings: &BTreeMap<TenantId, Standing>,
    min_run_seconds: f64,
) -> Vec<Exchange> {
    let staying = running.iter().filter(|run| !run.leaving);
    let taken: u32 = staying.map(|run| run.devices).sum();
    let mut free = i64::from(devices) - i64::from(taken);
    let mut table = Table::new(pool, devices, ready, running, standings);
    let mut exchanges = Vec::new();
    for job in ready.iter().filter(|job| job.devices <= devices) {
        let missing = i64::from(job.devices) - free;
        if missing > 0 {
            // A tenant's share falls by what its own run gives back, maybe below those before it: such an exchange stands alone.
            let alone = exchanges.is_empty();
            let may = running.iter().filter(|run| {
                let settled = run.preemptible && !run.leaving && run.ran_seconds >= min_run_seconds;
                settled && (alone || run.tenant != job.tenant)
            });
            let may: Vec<&Running> = may.collect();
            let mut after = table.clone();
            // Who comes later in the line would not get what is freed for it.
            let Some(leaving) = after.make_room(job, missing, &may) else {
                break;
            };
            free += leaving.iter().map(|run| i64::from(run.devices)).sum::<i64>();
            table = after;
            let own = leaving.iter().any(|run| run.tenant == job.tenant);
            let leaving = leaving.into_iter().map(|run| run.id.clone()).collect();
            exchanges.push(Exchange { waiting: job.id.clone(), leaving });
            if own {
                break;
            }
        }
        free -= i64::from(job.devices);
        table.start(job);
    }
    exchanges
}

impl<'a> Table<'a> {
    fn new(
        pool: &'a str,
        devices: u32,
        ready: &'a [QueuedJob],
        running: &'a [Running],
        standings: &'a BTreeMap<TenantId, Standing>,
    ) -> Self {
        let there: BTreeSet<&TenantId> = ready
            .iter()
            .map(|job| &job.tenant)
            .chain(running.iter().map(|run| &run.tenant))
            .collect();
        let weight = |tenant: &TenantId| standings.get(tenant).map_or(1, |one| one.weight.max(1));
        let weights: f64 = there.iter().map(|tenant| f64::from(weight(tenant))).sum();
        let share = |tenant| standings.get(tenant).map_or(0.0, |one| one.share_in(pool));
        let mut held: BTreeMap<&TenantId, f64> = BTreeMap::new();
        for run in running.iter().filter(|run| !run.leaving) {
            *held.entry(&run.tenant).or_default() += f64::from(run.devices);
        }
        Self {
            pool,
            standings,
            per_weight: f64::from(devices) / weights.max(1.0),
            held,
            shares: there.into_iter().map(|tenant| (tenant, share(tenant))).collect(),
            gone: BTreeSet::new(),
        }
    }

    /// Those of `may` that make room for `job`, which lacks so many devices; `None` where it cannot be had.
    fn make_room(
        &mut self,
        job: &'a QueuedJob,
        missing: i64,
        may: &[&'a Running],
    ) -> Option<Vec<&'a Running>> {
        // Whose turn it is, before the tenant's own runs lower its share: nobody who gives way may come before anybody in the line so far.
        let turn = self.shares.get(&job.tenant).copied().unwrap_or(0.0);
        let mut chosen: Vec<&Running> = Vec::new();
        let mut freed = 0;
        while freed < missing {
            let left = may
                .iter()
                .copied()
                .filter(|run| !self.gone.contains(&run.id) && self.gives_way(run, job, turn));
            let run = left.min_by(|a, b| {
                let beyond = |run: &Running| self.beyond(&run.tenant);
                let first = a.priority.cmp(&b.priority);
                let second = beyond(b).total_cmp(&beyond(a));
                let third = a.at_risk_seconds.total_cmp(&b.at_risk_seconds);
                let fourth = a.ran_seconds.total_cmp(&b.ran_seconds);
                first.then(second).then(third).then(fourth).then_with(|| a.id.cmp(&b.id))
            })?;
            self.leave(run);
            freed += i64::from(run.devices);
            chosen.push(run);
        }
        // One that was chosen early may not be needed beside a larger one.
        chosen.sort_by_key(|run| (run.devices, Reverse(run.priority)));
        let mut needed = Vec::new();
        for run in chosen {
            // A tenant that did not give its own would hold more than its part.
            let others = run.tenant != job.tenant;
            if others && freed - i64::from(run.devices) >= missing {
                freed -= i64::from(run.devices);
                self.stay(run);
            } else {
                needed.push(run);
            }
        }
        Some(needed)
    }

    fn gives_way(&self, run: &Running, job: &QueuedJob, turn: f64) -> bool {
        if run.tenant == job.tenant {
            return run.priority < job.priority;
        }
        let held = |tenant| self.held.get(tenant).copied().unwrap_or(0.0);
        let share = self.shares.get(&run.tenant).copied().unwrap_or(0.0);
        held(&job.tenant) + f64::from(job.devices) <= self.part(&job.tenant)
            && held(&run.tenant) - f64::from(run.devices) >= self.part(&run.tenant)
            && turn < share - run.penalty
    }

    fn weight(&self, tenant: &TenantId) -> f64 {
        f64::from(self.standings.get(tenant).map_or(1, |one| one.weight.max(1)))
    }

    fn part(&self, tenant: &TenantId) -> f64 {
        self.per_weight * self.weight(tenant)
    }

    /// Devices that a tenant holds beyond its part, for its weight.
    fn beyond(&self, tenant: &TenantId) -> f64 {
        let held = self.held.get(tenant).copied().unwrap_or(0.0);
        (held - self.part(tenant)) / self.weight(tenant)
    }

    fn leave(&mut self, run: &'a Running) {
        self.gone.insert(&run.id);
        *self.held.entry(&run.tenant).or_default() -= f64::from(run.devices);
        *self.shares.entry(&run.tenant).or_default() -= run.penalty;
    }

    fn stay(&mut self, run: &'a Running) {
        self.gone.remove(&run.id);
        *self.held.entry(&run.tenant).or_default() += f64::from(run.devices);
        *self.shares.entry(&run.tenant).or_default() += run.penalty;
    }

    fn start(&mut self, job: &'a QueuedJob) {
        *self.held.entry(&job.tenant).or_default() += f64::from(job.devices);
        let standing = self.standings.get(&job.tenant);
        let penalty = standing.map_or_else(
            || Standing::default().penalty(job.devices, Standing::default().job_seconds),
            |one| one.penalty(job.devices, one.job_seconds),
        );
        *self
            .shares
            .entry(&job.tenant)
            .or_insert_with(|| standing.map_or(0.0, |one| one.share_in(self.pool))) += penalty;
    }
}

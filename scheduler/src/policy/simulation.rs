//! A pool played through with a clock that jumps from one end of a job to the next: what tenants get, in figures.
#![allow(clippy::print_stdout, reason = "the figures are what `make fair-share` shows")]

use std::collections::BTreeMap;
use std::time::Duration;

use trainyard_openapi::extension::Priority;
use trainyard_openapi::id::{JobId, TenantId};

use super::{Standing, lead, order, share};
use crate::contract::sample;
use crate::port::store::{QueuedJob, UsageRecord};

const HALF_LIFE: Duration = Duration::from_secs(168 * 3600);
const SLOTS: usize = 8;
/// Jobs that end while the three compete.
const TURNS: usize = 700;
const POOL: &str = "default";
/// The longest job, in seconds; the shortest is a third of it.
const LONGEST: i64 = 900;

struct Tenant {
    weight: u32,
    usage: BTreeMap<i64, UsageRecord>,
    waiting: Vec<QueuedJob>,
}

struct Run {
    tenant: TenantId,
    since_ms: i64,
    charged_ms: i64,
    ends_ms: i64,
}

struct Pool {
    now_ms: i64,
    tenants: BTreeMap<TenantId, Tenant>,
    running: Vec<Run>,
    offsets: BTreeMap<TenantId, f64>,
    random: u64,
}

impl Pool {
    fn new() -> Self {
        let (tenants, offsets) = (BTreeMap::new(), BTreeMap::new());
        Self { now_ms: 1_700_000_000_000, tenants, running: Vec::new(), offsets, random: 11 }
    }

    fn join(&mut self, weight: u32, jobs: usize, used_seconds: u64) -> TenantId {
        let id = sample::tenant();
        let job = |_| QueuedJob {
            id: JobId::generate().unwrap(),
            tenant: id.clone(),
            priority: Priority::Normal,
            since_ms: self.now_ms,
            pool: POOL.to_string(),
            devices: 1,
        };
        let waiting = (0..jobs).map(job).collect();
        let mut usage = BTreeMap::new();
        if used_seconds > 0 {
            let mut yesterday = UsageRecord::on(self.now_ms - 86_400_000);
            yesterday.accelerator_ms = used_seconds * 1000;
            yesterday.jobs_succeeded = used_seconds / 600;
            usage.insert(yesterday.day, yesterday);
        }
        self.tenants.insert(id.clone(), Tenant { weight, usage, waiting });
        id
    }

    /// Charges running jobs up to now, as heartbeats do.
    fn charge(&mut self) {
        for run in &mut self.running {
            let tenant = self.tenants.get_mut(&run.tenant).unwrap();
            let today = UsageRecord::on(self.now_ms);
            let usage = tenant.usage.entry(today.day).or_insert(today);
            usage.accelerator_ms += (self.now_ms - run.charged_ms) as u64;
            usage.jobs_succeeded += u64::from(run.ends_ms <= self.now_ms);
            run.charged_ms = self.now_ms;
        }
        self.running.retain(|run| run.ends_ms > self.now_ms);
    }

    fn standings(&self) -> BTreeMap<TenantId, Standing> {
        let days = |tenant: &Tenant| tenant.usage.values().cloned().collect::<Vec<_>>();
        let all: Vec<UsageRecord> = self.tenants.values().flat_map(days).collect();
        let of_all = share::job_seconds(&all).unwrap_or(share::ASSUMED_JOB_SECONDS);
        let standing = |(id, tenant): (&TenantId, &Tenant)| {
            let days = days(tenant);
            let used = share::decayed_seconds(&days, self.now_ms, HALF_LIFE);
            let mut standing = Standing {
                share: used / f64::from(tenant.weight),
                weight: tenant.weight,
                job_seconds: share::job_seconds(&days).unwrap_or(of_all),
                ..Standing::default()
            };
            for run in self.running.iter().filter(|run| run.tenant == *id) {
                let ran = (self.now_ms - run.since_ms) as f64 / 1000.0;
                standing.share += standing.penalty(1, (standing.job_seconds - ran).max(0.0));
            }
            let offset = self.offsets.get(id).copied().unwrap_or(0.0);
            standing.offsets.insert(POOL.to_string(), offset);
            (id.clone(), standing)
        };
        self.tenants.iter().map(standing).collect()
    }

    /// Fills the free slots; gives who got them.
    fn dispatch(&mut self) -> Vec<TenantId> {
        let standings = self.standings();
        let waits = |id: &TenantId| !self.tenants[id].waiting.is_empty();
        let there: Vec<_> = standings.iter().filter(|(id, _)| waits(id)).collect();
        let shares = there.iter().map(|(id, one)| ((*id).clone(), one.share)).collect();
        let weights = there.iter().map(|(_, one)| one.weight).sum();
        self.offsets = lead::join(&self.offsets, &shares, lead::spread(SLOTS as u32, weights));
        let queued = self.tenants.values().flat_map(|tenant| tenant.waiting.clone()).collect();
        let mut queue = order(queued, self.standings());
        let ready = queue.pools.remove(POOL).unwrap_or_default().ready;
        let next: Vec<_> = ready.into_iter().take(SLOTS - self.running.len()).collect();
        for job in &next {
            let waiting = &mut self.tenants.get_mut(&job.tenant).unwrap().waiting;
            waiting.retain(|one| one.id != job.id);
            self.random = self.random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let seconds = LONGEST / 3 + (self.random >> 33) as i64 % (LONGEST * 2 / 3);
            self.running.push(Run {
                tenant: job.tenant.clone(),
                since_ms: self.now_ms,
                charged_ms: self.now_ms,
                ends_ms: self.now_ms + seconds * 1000,
            });
        }
        next.into_iter().map(|job| job.tenant).collect()
    }

    /// Goes to the end of the next job and fills its slot.
    fn turn(&mut self) -> Vec<TenantId> {
        self.now_ms = self.running.iter().map(|run| run.ends_ms).min().unwrap();
        self.charge();
        self.dispatch()
    }

    fn used_seconds(&self, id: &TenantId) -> f64 {
        self.tenants[id].usage.values().map(|day| day.accelerator_ms).sum::<u64>() as f64 / 1000.0
    }
}

/// (Σx)² / (n Σx²): 1 where all are equal (R. Jain, D. Chiu, W. Hawe, DEC-TR-301, 1984).
fn jain(figures: &[f64]) -> f64 {
    let squares: f64 = figures.iter().map(|figure| figure * figure).sum();
    figures.iter().sum::<f64>().powi(2) / (figures.len() as f64 * squares)
}

#[test]
fn fair_share_of_three_tenants_one_of_which_floods() {
    let mut pool = Pool::new();
    let flood = pool.join(1, 10_000, 0);
    let tenants = [flood, pool.join(2, 600, 0), pool.join(4, 800, 0)];
    let weights = [1.0, 2.0, 4.0];
    pool.dispatch();
    let mut worst: f64 = 0.0;
    for turn in 0..TURNS {
        pool.turn();
        let used: Vec<f64> = tenants.iter().map(|id| pool.used_seconds(id)).collect();
        let all: f64 = used.iter().sum();
        if turn > 50 {
            let off =
                used.iter().zip(weights).map(|(used, weight)| (used - all * weight / 7.0).abs());
            worst = off.fold(worst, f64::max);
        }
    }
    let used: Vec<f64> = tenants.iter().map(|id| pool.used_seconds(id)).collect();
    let all: f64 = used.iter().sum();
    let per_weight: Vec<f64> =
        used.iter().zip(weights).map(|(used, weight)| used / weight).collect();
    let index = jain(&per_weight);
    let hours = pool.now_ms / 3_600_000 - 1_700_000_000_000 / 3_600_000;
    println!(
        "{SLOTS} slots, {TURNS} jobs of 300 to {LONGEST} s in {hours} h; tenant of weight 1 submits 10000 at once"
    );
    for ((used, weight), name) in used.iter().zip(weights).zip(["floods", "waits", "waits"]) {
        let (part, ideal) = (used / all, weight / 7.0);
        println!("  weight {weight} ({name}): {used:9.0} s = {part:.4} of all, ideal {ideal:.4}");
    }
    println!("  Jain index {index:.6}; furthest from ideal at any time: {worst:.0} s");
    assert!(index >= 0.99, "{index}");
    assert!(worst <= LONGEST as f64, "{worst} s from ideal: more than one job");

    let new = pool.join(1, 200, 0);
    let got = pool.turn();
    println!("  a new tenant gets the next slot that comes free: {}", got == [new.clone()]);
    assert_eq!(got, std::slice::from_ref(&new));
    let (since_ms, mut alone_ms) = (pool.now_ms, 0);
    while pool.now_ms - since_ms < 8 * 3_600_000 && !pool.tenants[&new].waiting.is_empty() {
        pool.turn();
        if pool.running.iter().all(|run| run.tenant == new) {
            alone_ms = pool.now_ms - since_ms;
        }
    }
    println!("  it has all slots to itself until {:.1} h after that", alone_ms as f64 / 3.6e6);
    assert!(alone_ms as f64 <= lead::CATCH_UP_SECONDS * 1000.0);
}

#[test]
fn fair_share_passes_over_a_heavy_user_for_hours_and_not_for_days() {
    let mut pool = Pool::new();
    let heavy = pool.join(1, 1_000, 7 * 86_400 * SLOTS as u64);
    let light = pool.join(1, 1_000, 0);
    pool.dispatch();
    let since_ms = pool.now_ms;
    let mut first = None;
    let mut of_heavy = 0;
    for _ in 0..800 {
        let got = pool.turn();
        of_heavy += got.iter().filter(|one| **one == heavy).count();
        if of_heavy > 0 && first.is_none() {
            first = Some(pool.now_ms - since_ms);
        }
    }
    let waited = first.expect("the heavy user got a slot") as f64 / 3.6e6;
    println!(
        "a tenant with a week of all slots behind it waits {waited:.1} h beside one with nothing"
    );
    assert!((0.5..=lead::CATCH_UP_SECONDS / 3600.0).contains(&waited), "{waited}");
    assert!(pool.used_seconds(&light) > 0.0 && of_heavy > 200, "{of_heavy}");
}

//! Nobody takes back what they gave: preemption over random pools until nothing changes any more.

use std::collections::{BTreeMap, BTreeSet};

use trainyard_openapi::extension::Priority;
use trainyard_openapi::id::{JobId, TenantId};

use super::preempt::{Exchange, Running, preempt};
use super::{Standing, order};
use crate::contract::sample;
use crate::port::store::QueuedJob;

const POOL: &str = "default";
const PRIORITIES: [Priority; 3] = [Priority::Low, Priority::Normal, Priority::High];

struct Random(u64);

impl Random {
    fn below(&mut self, most: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (self.0 >> 33) % most
    }
}

struct World {
    devices: u32,
    /// Without penalties.
    standings: BTreeMap<TenantId, Standing>,
    waiting: Vec<QueuedJob>,
    running: Vec<Running>,
    now_ms: i64,
}

/// Ids are costly to make: they are made once.
struct Names {
    tenants: Vec<TenantId>,
    jobs: Vec<JobId>,
}

impl World {
    fn random(random: &mut Random, names: &Names) -> Self {
        let devices = 1 + random.below(6) as u32;
        let tenants = &names.tenants[..1 + random.below(3) as usize];
        let mut standings = BTreeMap::new();
        for tenant in tenants {
            standings.insert(
                tenant.clone(),
                Standing {
                    share: random.below(8) as f64 * 64.0,
                    // Powers of two, so that sums are exact in any order.
                    weight: 1 << random.below(3),
                    job_seconds: (1 << random.below(8)) as f64,
                    ..Standing::default()
                },
            );
        }
        let mut jobs = names.jobs.iter().cloned();
        let mut world =
            Self { devices, standings, waiting: Vec::new(), running: Vec::new(), now_ms: 100 };
        let mut taken = 0;
        loop {
            let tenant = tenants[random.below(tenants.len() as u64) as usize].clone();
            let size = 1 + random.below(4).saturating_sub(2) as u32;
            if taken + size > devices {
                break;
            }
            taken += size;
            let left = random.below(64) as f64;
            world.running.push(Running {
                id: jobs.next().unwrap(),
                penalty: world.standings[&tenant].penalty(size, left),
                tenant,
                priority: PRIORITIES[random.below(3) as usize],
                devices: size,
                at_risk_seconds: random.below(100) as f64,
                ran_seconds: random.below(100) as f64,
                leaving: false,
                preemptible: random.below(8) > 0,
            });
        }
        for id in jobs.take(random.below(6) as usize) {
            world.waiting.push(QueuedJob {
                id,
                tenant: tenants[random.below(tenants.len() as u64) as usize].clone(),
                priority: PRIORITIES[random.below(3) as usize],
                since_ms: random.below(100) as i64,
                pool: POOL.to_string(),
                devices: 1 + random.below(4).saturating_sub(2) as u32,
            });
        }
        world
    }

    fn with_penalties(&self) -> BTreeMap<TenantId, Standing> {
        let mut standings = self.standings.clone();
        for run in &self.running {
            standings.get_mut(&run.tenant).unwrap().share += run.penalty;
        }
        standings
    }

    fn line(&self) -> Vec<QueuedJob> {
        let mut queue = order(self.waiting.clone(), self.with_penalties());
        queue.pools.remove(POOL).unwrap_or_default().ready
    }

    fn exchanges(&self) -> Vec<Exchange> {
        preempt(POOL, self.devices, &self.line(), &self.running, &self.with_penalties(), 0.0)
    }

    fn free(&self) -> i64 {
        i64::from(self.devices) - self.running.iter().map(|run| i64::from(run.devices)).sum::<i64>()
    }

    /// The dispatcher: in order, what does not fit holds up the rest.
    fn dispatch(&mut self) -> Vec<JobId> {
        let mut started = Vec::new();
        for job in self.line() {
            if job.devices > self.devices {
                continue;
            }
            if self.free() < i64::from(job.devices) {
                break;
            }
            self.waiting.retain(|one| one.id != job.id);
            let standing = &self.standings[&job.tenant];
            started.push(job.id.clone());
            self.running.push(Running {
                id: job.id,
                penalty: standing.penalty(job.devices, standing.job_seconds),
                tenant: job.tenant,
                priority: job.priority,
                devices: job.devices,
                at_risk_seconds: 0.0,
                ran_seconds: 0.0,
                leaving: false,
                preemptible: true,
            });
        }
        started
    }

    fn give_back(&mut self, id: &JobId) {
        let at = self.running.iter().position(|run| run.id == *id).unwrap();
        let run = self.running.remove(at);
        self.now_ms += 1;
        self.waiting.push(QueuedJob {
            id: run.id,
            tenant: run.tenant,
            priority: run.priority,
            since_ms: self.now_ms,
            pool: POOL.to_string(),
            devices: run.devices,
        });
    }
}

#[test]
fn a_job_that_made_room_never_takes_it_back() {
    let tenants: Vec<TenantId> = (0..3).map(|_| sample::tenant()).collect();
    let jobs = (0..16).map(|_| JobId::generate().unwrap()).collect();
    let names = Names { tenants, jobs };
    let mut random = Random(3);
    let (mut exchanged, mut between_tenants) = (0, 0);
    for case in 0..100_000 {
        let mut world = World::random(&mut random, &names);
        world.dispatch();
        // Who made room for whom.
        let mut gave: BTreeSet<(JobId, JobId)> = BTreeSet::new();
        for round in 0.. {
            assert!(round < 20, "case {case} goes on for ever");
            let exchanges = world.exchanges();
            if exchanges.is_empty() {
                break;
            }
            let tenants: BTreeMap<JobId, TenantId> =
                world.running.iter().map(|run| (run.id.clone(), run.tenant.clone())).collect();
            for Exchange { waiting, leaving } in &exchanges {
                let winner =
                    world.waiting.iter().find(|job| job.id == *waiting).unwrap().tenant.clone();
                for loser in leaving {
                    exchanged += 1;
                    between_tenants += usize::from(tenants[loser] != winner);
                    let back = (waiting.clone(), loser.clone());
                    assert!(!gave.contains(&back), "case {case}: ping-pong");
                    gave.insert((loser.clone(), waiting.clone()));
                }
            }
            for id in exchanges.iter().flat_map(|one| &one.leaving) {
                world.give_back(id);
            }
            let started: BTreeSet<JobId> = world.dispatch().into_iter().collect();
            for Exchange { waiting, .. } in &exchanges {
                assert!(started.contains(waiting), "case {case}: another took what was freed");
            }
        }
    }
    assert!(exchanged > 10_000 && between_tenants > 1_000, "{exchanged}, {between_tenants}");
}

fn run(id: &JobId, tenant: &TenantId) -> Running {
    Running {
        id: id.clone(),
        tenant: tenant.clone(),
        priority: Priority::Low,
        devices: 1,
        penalty: 0.0,
        at_risk_seconds: 10.0,
        ran_seconds: 1_000.0,
        leaving: false,
        preemptible: true,
    }
}

#[test]
fn the_lowest_priority_with_the_least_to_lose_makes_room() {
    let tenant = sample::tenant();
    let ids: Vec<JobId> = (0..6).map(|_| JobId::generate().unwrap()).collect();
    let waiting = QueuedJob {
        id: ids[5].clone(),
        tenant: tenant.clone(),
        priority: Priority::High,
        since_ms: 0,
        pool: POOL.to_string(),
        devices: 1,
    };
    let standings = BTreeMap::from([(tenant.clone(), Standing::default())]);
    let decide = |running: &[Running]| {
        preempt(
            POOL,
            running.len() as u32,
            std::slice::from_ref(&waiting),
            running,
            &standings,
            600.0,
        )
    };
    let plain = run(&ids[0], &tenant);
    let fresh = Running { at_risk_seconds: 0.0, ran_seconds: 599.0, ..run(&ids[1], &tenant) };
    let saved = Running { at_risk_seconds: 5.0, ..run(&ids[2], &tenant) };
    let normal =
        Running { priority: Priority::Normal, at_risk_seconds: 0.0, ..run(&ids[3], &tenant) };
    let kept = Running { preemptible: false, at_risk_seconds: 0.0, ..run(&ids[4], &tenant) };
    let all = [plain.clone(), fresh.clone(), saved.clone(), normal.clone(), kept.clone()];
    let chosen = |exchanges: Vec<Exchange>| {
        exchanges.into_iter().flat_map(|one| one.leaving).collect::<Vec<_>>()
    };
    assert_eq!(chosen(decide(&all)), [saved.id]);
    assert_eq!(chosen(decide(&[plain.clone(), fresh.clone(), kept.clone()])), [plain.id]);
    let normal_alone = chosen(decide(&[normal.clone(), kept.clone()]));
    assert_eq!(normal_alone, std::slice::from_ref(&normal.id));
    assert_eq!(chosen(decide(&[fresh, kept.clone()])), [], "nobody has run for long enough");
    let leaving = Running { leaving: true, ..kept };
    assert_eq!(chosen(decide(&[normal, leaving])), [], "a device comes free anyway");
}

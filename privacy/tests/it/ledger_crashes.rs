//! A world of trainers that die at any point, lost answers, zombies and two writers, over one stored ledger.
//!
//! Whatever happens: every step whose noise was drawn is charged, every step in a checkpoint is committed, the charges fit the budget, and
//! the stored record reads back and adds up.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use proptest::prelude::*;
use trainyard_openapi::id::{JobId, TenantId};
use trainyard_privacy::ledger::{Ledger, LedgerError, Reservation, State, recompute};
use trainyard_privacy::rdp::{Orders, RdpAccountant};
use trainyard_privacy::unit::{Population, PrivacyUnit};
use trainyard_privacy::{Accountant, Accounting, Budget, Phase};

/// Noise and rate by job: fixed, so that the accountant meets few mechanisms.
const JOBS: [(f64, f64); 3] = [(1.0, 0.02), (0.8, 0.01), (2.0, 0.2)];

/// Accountants that know the mechanisms already.
static ACCOUNTANT: LazyLock<Accountant> = LazyLock::new(|| {
    let mut accountant = Accountant::default();
    know(&mut accountant.rdp);
    accountant
});
static OPACUS: LazyLock<RdpAccountant> = LazyLock::new(|| {
    let mut accountant = RdpAccountant::new(Orders::opacus());
    know(&mut accountant);
    accountant
});

fn know(accountant: &mut RdpAccountant) {
    for (noise, rate) in JOBS {
        accountant.per_step(&Phase::new(noise, rate, 1).unwrap());
    }
}

#[derive(Debug, Clone)]
enum Action {
    /// A claim under the next epoch; an earlier run of the job goes on as a zombie.
    Claim { job: usize },
    /// Reserve, run, commit, publish a checkpoint: cut off after that many of the four.
    Block { run: usize, steps: u64, after: u8 },
    /// End in order.
    Settle { run: usize },
    /// The executor's death is noticed.
    NoticeCrash { run: usize },
    /// A writer that read before the last change.
    LateWriter { run: usize },
}

fn action() -> impl Strategy<Value = Action> {
    let run = any::<prop::sample::Index>().prop_map(|index| index.index(64));
    prop_oneof![
        2 => (0..JOBS.len()).prop_map(|job| Action::Claim { job }),
        6 => (run.clone(), 1..400_u64, 0..=4_u8)
            .prop_map(|(run, steps, after)| Action::Block { run, steps, after }),
        1 => run.clone().prop_map(|run| Action::Settle { run }),
        1 => run.clone().prop_map(|run| Action::NoticeCrash { run }),
        1 => run.prop_map(|run| Action::LateWriter { run }),
    ]
}

/// A trainer, and what really happened in it.
#[derive(Debug, Clone)]
struct Run {
    job: usize,
    epoch: u64,
    alive: bool,
    reserved: u64,
    ran: u64,
    committed: u64,
    published: u64,
}

struct World {
    /// The record as it is stored.
    stored: String,
    jobs: Vec<JobId>,
    runs: Vec<Run>,
    accountant: Accountant,
    refused: usize,
}

impl World {
    fn new(accountant: Accountant) -> Self {
        let population = Population::new(PrivacyUnit::User { examples_per_user: 4 }, 5000).unwrap();
        let budget = Budget::new(4.0, 1e-5).unwrap();
        let dataset = "0f".repeat(32).try_into().unwrap();
        let tenant = TenantId::generate().unwrap();
        let ledger = Ledger::open(tenant, dataset, population, budget, Accounting::Rdp).unwrap();
        let jobs = JOBS.iter().map(|_| JobId::generate().unwrap()).collect();
        let stored = serde_json::to_string(&ledger).unwrap();
        Self { stored, jobs, runs: vec![], accountant, refused: 0 }
    }

    fn read(&self) -> Ledger {
        serde_json::from_str(&self.stored).unwrap()
    }

    fn write(&mut self, ledger: &Ledger) {
        assert!(ledger.version() >= self.read().version());
        self.stored = serde_json::to_string(ledger).unwrap();
    }

    fn reserve(&mut self, at: usize, total: u64) -> Result<(), LedgerError> {
        let (noise, rate) = JOBS[self.runs[at].job];
        let reservation = Reservation {
            job: self.jobs[self.runs[at].job].clone(),
            epoch: self.runs[at].epoch,
            number: 0,
            unit: PrivacyUnit::User { examples_per_user: 4 },
            phase: Phase::new(noise, rate, total).unwrap(),
        };
        let mut ledger = self.read();
        ledger.reserve(&mut self.accountant, ledger.version(), &reservation)?;
        self.write(&ledger);
        Ok(())
    }

    /// One block of a trainer: whatever the ledger refuses, it does not do.
    fn block(&mut self, at: usize, steps: u64, after: u8) {
        let total = self.runs[at].reserved + steps;
        if after >= 1 {
            if let Err(error) = self.reserve(at, total) {
                if let LedgerError::BudgetExceeded { .. } = error {
                    self.refused += 1;
                }
                return;
            }
            self.runs[at].reserved = total;
        }
        if after >= 2 {
            // Cut off in the middle of the block as often as at its end.
            self.runs[at].ran += if after == 2 { steps.div_ceil(2) } else { steps };
        }
        let run = self.runs[at].clone();
        if after >= 3 {
            let mut ledger = self.read();
            let version = ledger.version();
            if ledger.commit(version, &self.jobs[run.job], run.epoch, 0, run.ran).is_err() {
                return;
            }
            self.write(&ledger);
            self.runs[at].committed = run.ran;
        }
        if after >= 4 {
            self.runs[at].published = run.ran;
        } else {
            self.runs[at].alive = false;
        }
    }

    fn act(&mut self, action: &Action) {
        let pick = |run: usize, runs: &[Run]| {
            let alive: Vec<usize> = (0..runs.len()).filter(|at| runs[*at].alive).collect();
            (!alive.is_empty()).then(|| alive[run % alive.len()])
        };
        match *action {
            Action::Claim { job } => {
                let epoch = 1 + self.runs.iter().filter(|run| run.job == job).count() as u64;
                self.runs.push(Run {
                    job,
                    epoch,
                    alive: true,
                    reserved: 0,
                    ran: 0,
                    committed: 0,
                    published: 0,
                });
            }
            Action::Block { run, steps, after } => {
                if let Some(at) = pick(run, &self.runs) {
                    self.block(at, steps, after);
                }
            }
            Action::Settle { run } => {
                if let Some(at) = pick(run, &self.runs) {
                    let run = self.runs[at].clone();
                    let mut ledger = self.read();
                    let version = ledger.version();
                    let job = &self.jobs[run.job];
                    if ledger.settle(version, job, run.epoch, 0, run.ran).is_ok() {
                        self.write(&ledger);
                        self.runs[at].alive = false;
                    }
                }
            }
            Action::NoticeCrash { run } => {
                if let Some(at) = pick(run, &self.runs) {
                    self.runs[at].alive = false;
                    let mut ledger = self.read();
                    let version = ledger.version();
                    let job = self.jobs[self.runs[at].job].clone();
                    ledger.crash(version, &job, self.runs[at].epoch).unwrap();
                    self.write(&ledger);
                }
            }
            Action::LateWriter { run } => {
                let mut ledger = self.read();
                if ledger.version() > 0
                    && let Some(at) = pick(run, &self.runs)
                {
                    let job = self.jobs[self.runs[at].job].clone();
                    let late = ledger.crash(ledger.version() - 1, &job, u64::MAX);
                    assert!(matches!(late, Err(LedgerError::VersionConflict { .. })));
                    assert_eq!(ledger, self.read());
                }
            }
        }
    }

    fn check(&mut self) {
        let ledger = self.read();
        let mut ran: BTreeMap<(u64, u64), u64> = BTreeMap::new();
        for run in &self.runs {
            let (noise, rate) = JOBS[run.job];
            *ran.entry((noise.to_bits(), rate.to_bits())).or_default() += run.ran;
            let entry = ledger
                .entries()
                .iter()
                .find(|entry| *entry.job() == self.jobs[run.job] && entry.epoch() == run.epoch);
            let committed = entry.map_or(0, |entry| entry.committed());
            assert!(run.published <= committed, "a checkpoint carries steps nobody committed");
            let charged = entry.map_or(0, |entry| entry.charged().steps());
            assert!(run.ran <= charged, "{run:?} is charged for {charged}");
            if let Some(State::Settled { .. }) = entry.map(|entry| entry.state()) {
                assert_eq!(run.ran, charged, "an orderly end pays for what ran");
            }
        }
        for ((noise, rate), steps) in ran {
            let phase = ledger.charged().into_iter().find(|phase| {
                phase.noise_multiplier().to_bits() == noise
                    && phase.sampling_rate().to_bits() == rate
            });
            assert!(steps <= phase.map_or(0, |phase| phase.steps()));
        }
        assert!(ledger.spent(&mut self.accountant).unwrap() <= ledger.budget().epsilon());
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_crash_hides_a_step(actions in prop::collection::vec(action(), 1..60)) {
        let mut world = World::new(ACCOUNTANT.clone());
        for action in &actions {
            world.act(action);
            world.check();
        }
        let ledger = world.read();
        let sum = recompute(ledger.entries(), ledger.budget().delta());
        let steps: u128 = ledger.charged().iter().map(|phase| u128::from(phase.steps())).sum();
        prop_assert_eq!(sum.committed + sum.uncommitted, steps);
        let mut opacus = OPACUS.clone();
        let ours = opacus.epsilon(&ledger.charged(), ledger.budget().delta()).unwrap().epsilon;
        prop_assert!((ours - sum.epsilon.epsilon).abs() < 1e-6, "{} {:?}", ours, sum);
    }
}

#[test]
fn the_world_reaches_the_budget() {
    let mut world = World::new(Accountant::default());
    world.act(&Action::Claim { job: 0 });
    for _ in 0..40 {
        world.act(&Action::Block { run: 0, steps: 200, after: 4 });
        world.check();
    }
    assert!(world.refused > 0, "a test of a budget that is never reached");
}

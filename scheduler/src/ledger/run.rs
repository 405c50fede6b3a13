//! A run's part of a ledger: what it may reserve, what it commits, how it ends. Every call may be repeated.

use trainyard_plan::PrivacyPlan;
use trainyard_privacy::ledger::{Entry, LedgerError, Reservation, State};
use trainyard_privacy::{Accountant, Phase};

use super::{PrivacyLedger, PrivateRun};
use crate::port::control_plane::{LeaseError, LeaseId};

impl From<LedgerError> for LeaseError {
    fn from(error: LedgerError) -> Self {
        match error {
            LedgerError::StaleEpoch { .. } => Self::Fenced,
            other => Self::Refused(other.to_string()),
        }
    }
}

/// Steps that a run asks for.
#[derive(Debug, Clone)]
pub(crate) struct Wanted {
    /// The run.
    pub(crate) lease: LeaseId,
    /// Its job's plan.
    pub(crate) plan: PrivacyPlan,
    /// The step of the job's checkpoint, 0 where it has none.
    pub(crate) checkpoint: u64,
    /// The step that the run began after.
    pub(crate) from: u64,
    /// The last step that it would take.
    pub(crate) until: u64,
}

/// What was given.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Grant {
    /// The last step that may run.
    pub(crate) until: u64,
    /// By how much the epsilon of the file rose, by Rényi orders.
    pub(crate) growth: f64,
}

impl PrivacyLedger {
    /// Charges the run for the steps after `from` up to `until`, or for as many of them as both the file's budget and the job's limit hold.
    ///
    /// # Errors
    /// Refused: another `from` than before, one that no checkpoint of the job reaches, steps beyond the plan, a run that has ended, a full
    /// ledger, another unit.
    /// Fenced where a later run of the job is known.
    pub(crate) fn reserve(
        &mut self,
        accountant: &mut Accountant,
        wanted: &Wanted,
    ) -> Result<Grant, LeaseError> {
        let Wanted { lease, plan, checkpoint, from, until } = wanted;
        let planned = plan.phase.steps();
        if until < from || *until > planned {
            let text =
                format!("'until' must be from {from} to the plan's {planned} steps, not {until}");
            return Err(LeaseError::Refused(text));
        }
        let known = self.run(lease).cloned();
        match &known {
            Some(run) if run.from != *from => {
                let text = format!("'from' must be {}, as before, not {from}", run.from);
                return Err(LeaseError::Refused(text));
            }
            None if from > checkpoint => {
                let text = format!(
                    "'from' must be at most {checkpoint}, the step of the job's checkpoint, not {from}"
                );
                return Err(LeaseError::Refused(text));
            }
            _ => {}
        }
        let run = known.clone().unwrap_or_else(|| self.new_run(lease, *from));
        let entry = known.as_ref().and_then(|run| self.entry(run));
        if let Some(entry) = entry.filter(|entry| entry.state() != State::Open) {
            let charged = entry.charged().steps();
            let text = format!("the run has ended, and is charged for {charged} steps");
            return Err(LeaseError::Refused(text));
        }
        let before = entry.map_or(0, reserved);
        let steps = self.steps_that_fit(accountant, wanted, &run, before)?;
        if steps == before {
            return Ok(Grant { until: from + steps, growth: 0.0 });
        }
        let delta = self.ledger.budget().delta();
        let epsilon = |accountant: &mut Accountant, ledger: &Self| {
            let charged = ledger.ledger.charged();
            accountant.rdp.epsilon(&charged, delta).map_err(LedgerError::from)
        };
        let epsilon_before = epsilon(accountant, self)?.epsilon;
        let reservation = Reservation {
            job: run.job.clone(),
            epoch: run.epoch,
            number: run.number,
            unit: plan.population.unit(),
            phase: plan.phase.with_steps(steps),
        };
        self.ledger.reserve(accountant, self.ledger.version(), &reservation)?;
        if known.is_none() {
            self.runs.push(run);
        }
        let growth = (epsilon(accountant, self)?.epsilon - epsilon_before).max(0.0);
        Ok(Grant { until: from + steps, growth })
    }

    /// The largest number of steps, from `before` to what is wanted, that the job's limit and the file's budget both hold.
    ///
    /// The noise of a plan was chosen so that all its steps fit the limit by the same bound, so a run that nothing interrupts is given all.
    fn steps_that_fit(
        &self,
        accountant: &mut Accountant,
        wanted: &Wanted,
        run: &PrivateRun,
        before: u64,
    ) -> Result<u64, LeaseError> {
        let plan = &wanted.plan;
        let mine = |entry: &&Entry| entry.job() == &run.job;
        let this = |entry: &&Entry| (entry.epoch(), entry.number()) == (run.epoch, run.number);
        let others = self.ledger.entries().iter().filter(mine).filter(|entry| !this(entry));
        let others: Vec<Phase> = others.map(Entry::charged).collect();
        let charged = self.ledger.charged();
        let mut fits = |steps: u64| -> Result<bool, LedgerError> {
            let mut of_job = others.clone();
            of_job.push(plan.phase.with_steps(steps));
            let mut of_file = charged.clone();
            of_file.push(plan.phase.with_steps(steps - before));
            let (accounting, budget) = (self.ledger.accounting(), self.ledger.budget());
            Ok(accountant.fits(plan.accounting, &of_job, &plan.limit)?
                && accountant.fits(accounting, &of_file, budget)?)
        };
        let asked = (wanted.until - wanted.from).max(before);
        if asked == before || fits(asked)? {
            return Ok(asked);
        }
        // What was given before stays given, even where the budget was lowered since.
        let (mut low, mut high) = (before, asked);
        while high - low > 1 {
            let middle = low + (high - low) / 2;
            if fits(middle)? { low = middle } else { high = middle }
        }
        Ok(low)
    }

    /// Notes that a checkpoint of the run may carry the steps up to `step`.
    ///
    /// # Errors
    /// Refused where not all of them were reserved.
    pub(crate) fn commit(
        &mut self,
        lease: &LeaseId,
        checkpoint: u64,
        step: u64,
    ) -> Result<(), LeaseError> {
        let Some(run) = self.run(lease).cloned() else {
            return check_carried(checkpoint, step);
        };
        let steps = self.steps_of(&run, step)?;
        // A pointer that comes again, or late: what it carries is committed already.
        if self.entry(&run).is_some_and(|entry| steps <= entry.committed()) {
            return Ok(());
        }
        let version = self.ledger.version();
        Ok(self.ledger.commit(version, &run.job, run.epoch, run.number, steps)?)
    }

    /// Ends the run in order after `step`: what it reserved beyond is given back.
    ///
    /// # Errors
    /// Refused where `step` was not reserved, or a checkpoint carries more.
    pub(crate) fn settle(
        &mut self,
        lease: &LeaseId,
        checkpoint: u64,
        step: u64,
    ) -> Result<(), LeaseError> {
        let Some(run) = self.run(lease).cloned() else {
            return check_carried(checkpoint, step);
        };
        let steps = self.steps_of(&run, step)?;
        let version = self.ledger.version();
        Ok(self.ledger.settle(version, &run.job, run.epoch, run.number, steps)?)
    }

    /// Refuses a result after `step` of which not all steps are charged.
    ///
    /// # Errors
    /// Refused, with the numbers.
    pub(crate) fn check_result(
        &self,
        lease: &LeaseId,
        checkpoint: u64,
        step: u64,
    ) -> Result<(), LeaseError> {
        let Some(run) = self.run(lease) else { return check_carried(checkpoint, step) };
        let steps = self.steps_of(run, step)?;
        let charged = self.entry(run).map_or(0, |entry| entry.charged().steps());
        if steps <= charged {
            return Ok(());
        }
        let last = run.from + charged;
        Err(LeaseError::Refused(format!("step {step} was given back: the run ended after {last}")))
    }

    /// Notes that the job's runs up to `epoch` are over: those that did not end in order stay charged for all that they reserved.
    pub(crate) fn end_runs(&mut self, lease: &LeaseId) -> Result<(), LeaseError> {
        let version = self.ledger.version();
        Ok(self.ledger.crash(version, &lease.job, lease.epoch)?)
    }

    fn run(&self, lease: &LeaseId) -> Option<&PrivateRun> {
        let LeaseId { job, epoch, nonce } = lease;
        self.runs.iter().find(|run| (&run.job, &run.epoch, &run.nonce) == (job, epoch, nonce))
    }

    fn new_run(&self, lease: &LeaseId, from: u64) -> PrivateRun {
        let LeaseId { job, epoch, nonce } = lease.clone();
        let alike = self.runs.iter().filter(|run| run.job == job && run.epoch == epoch);
        let number = u32::try_from(alike.count()).unwrap_or(u32::MAX);
        PrivateRun { job, epoch, nonce, number, from }
    }

    fn entry(&self, run: &PrivateRun) -> Option<&Entry> {
        let key = (&run.job, run.epoch, run.number);
        let mut entries = self.ledger.entries().iter();
        entries.find(|entry| (entry.job(), entry.epoch(), entry.number()) == key)
    }

    /// How many of the run's own steps there are up to `step`, all of which were reserved.
    fn steps_of(&self, run: &PrivateRun, step: u64) -> Result<u64, LeaseError> {
        let held = self.entry(run).map_or(0, reserved);
        let (first, last) = (run.from, run.from + held);
        if (first..=last).contains(&step) {
            return Ok(step - first);
        }
        let text = format!("step {step} was not reserved: the run holds steps {first} to {last}");
        Err(LeaseError::Refused(text))
    }
}

fn reserved(entry: &Entry) -> u64 {
    entry.reserved().steps()
}

/// A run that reserved nothing has no steps but those of the checkpoint that it went on from.
fn check_carried(checkpoint: u64, step: u64) -> Result<(), LeaseError> {
    if step <= checkpoint {
        return Ok(());
    }
    let text = format!(
        "step {step} was not reserved: the run reserved none, and the job's checkpoint is of step {checkpoint}"
    );
    Err(LeaseError::Refused(text))
}

#[cfg(test)]
mod tests {
    use trainyard_openapi::id::{JobId, Nonce, TenantId};
    use trainyard_privacy::ledger::{DatasetHash, Ledger};
    use trainyard_privacy::unit::{Population, PrivacyUnit};
    use trainyard_privacy::{Accounting, Budget};

    use super::*;

    fn plan() -> PrivacyPlan {
        PrivacyPlan {
            population: Population::new(PrivacyUnit::Example, 100).unwrap(),
            user_field: None,
            phase: Phase::new(1.0, 0.1, 10).unwrap(),
            limit: Budget::new(100.0, 0.001).unwrap(),
            accounting: Accounting::Rdp,
            expected_epsilon: 1.0,
            clipping: trainyard_openapi::extension::Clipping::Flat,
            clip_norm: 1.0,
            count_noise: None,
        }
    }

    #[test]
    fn two_runs_of_one_epoch_are_each_charged() {
        let (population, accounting) = (plan().population, Accounting::Rdp);
        let dataset = DatasetHash::try_from("ab".repeat(32)).unwrap();
        let tenant = TenantId::generate().unwrap();
        let budget = Budget::new(1000.0, 0.001).unwrap();
        let ledger = Ledger::open(tenant, dataset, population, budget, accounting).unwrap();
        let mut ledger =
            PrivacyLedger { ledger, budget_set: false, user_field: None, runs: Vec::new() };
        let mut accountant = Accountant::default();
        // The store forgot the first claim, and gave its number once more.
        let job = JobId::generate().unwrap();
        for _ in 0..2 {
            let nonce = Nonce::generate().unwrap();
            let lease = LeaseId { job: job.clone(), epoch: 1, nonce };
            let wanted = Wanted { lease, plan: plan(), checkpoint: 0, from: 0, until: 10 };
            for _ in 0..2 {
                assert_eq!(ledger.reserve(&mut accountant, &wanted).unwrap().until, 10);
            }
        }
        let numbers: Vec<u32> = ledger.runs.iter().map(|run| run.number).collect();
        assert_eq!(numbers, [0, 1]);
        let spent = ledger.spent_by(&mut accountant, &job, &plan()).unwrap();
        assert_eq!(spent.steps, 20);
    }
}

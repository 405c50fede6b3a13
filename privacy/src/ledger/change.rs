//! The changes of a ledger. Each names the version it was made for; what it names are totals, so it can be repeated.

use trainyard_openapi::id::JobId;

use super::{Entry, Ledger, LedgerError, State};
use crate::accountant::Accountant;
use crate::phase::{Budget, Phase};
use crate::unit::PrivacyUnit;

/// Steps that a run is about to take.
#[derive(Debug, Clone, PartialEq)]
pub struct Reservation {
    /// The job.
    pub job: JobId,
    /// The epoch of the claim under which the run runs.
    pub epoch: u64,
    /// Which of the run's phases, from 0.
    pub number: u32,
    /// What the run protects: the ledger's kind of unit. Users may give another number of examples.
    pub unit: PrivacyUnit,
    /// The mechanism, with all steps of the phase so far and those about to run.
    pub phase: Phase,
}

/// What a reservation left.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Reserved {
    /// Epsilon of everything charged, at the budget's delta. Where the cheap bound fits the budget it is that one.
    pub epsilon: f64,
    /// The budget's epsilon less that.
    pub remaining_epsilon: f64,
}

impl Ledger {
    /// Reserves steps before they run. Earlier epochs of the job that are still open count as crashed from then on.
    ///
    /// # Errors
    /// Another version or unit, a budget that does not hold them, an epoch or phase that is over, another mechanism, fewer steps than before, or
    /// a full ledger.
    pub fn reserve(
        &mut self,
        accountant: &mut Accountant,
        expected: u64,
        reservation: &Reservation,
    ) -> Result<Reserved, LedgerError> {
        self.expect(expected)?;
        let Reservation { job, epoch, number, unit, phase } = reservation;
        if std::mem::discriminant(unit) != std::mem::discriminant(&self.population.unit()) {
            let kept = self.population.unit().name();
            return Err(LedgerError::AnotherUnit { kept, value: unit.name() });
        }
        self.current(job, *epoch)?;
        let place = self.entries.iter().position(|entry| entry.key() == (job, *epoch, *number));
        let before = match place {
            Some(place) => {
                let entry = &self.entries[place];
                open(entry)?;
                same_mechanism(entry.reserved(), phase)?;
                let most = Phase::MAX_STEPS;
                within("reserved", phase.steps(), entry.reserved.steps(), most)?;
                entry.reserved.steps()
            }
            None if self.entries.len() >= Self::MAX_ENTRIES => {
                return Err(LedgerError::Full(self.entries.len()));
            }
            None => 0,
        };

        let charged = self.charged();
        let more = phase.steps() - before;
        let mut all = charged.clone();
        all.push(phase.with_steps(more));
        if !accountant.fits(self.accounting, &all, &self.budget)? {
            return Err(self.refusal(accountant, &charged, &all, phase)?);
        }
        let epsilon = self.bound(accountant, &all)?;

        let mut changed = more > 0 || place.is_none();
        for entry in &mut self.entries {
            if entry.job == *job && entry.epoch < *epoch && entry.state == State::Open {
                entry.state = State::Crashed;
                changed = true;
            }
        }
        match place {
            Some(place) => self.entries[place].reserved = *phase,
            None => self.entries.push(Entry {
                job: job.clone(),
                epoch: *epoch,
                number: *number,
                reserved: *phase,
                committed: 0,
                state: State::Open,
            }),
        }
        self.version += u64::from(changed);
        let remaining_epsilon = (self.budget.epsilon() - epsilon).max(0.0);
        Ok(Reserved { epsilon, remaining_epsilon })
    }

    /// Commits the first `steps` steps of a phase: a checkpoint may carry them from now on.
    ///
    /// # Errors
    /// Another version, an epoch or phase that is over, or steps that were not reserved.
    pub fn commit(
        &mut self,
        expected: u64,
        job: &JobId,
        epoch: u64,
        number: u32,
        steps: u64,
    ) -> Result<(), LedgerError> {
        self.expect(expected)?;
        self.current(job, epoch)?;
        let entry = self.entry(job, epoch, number)?;
        open(entry)?;
        within("committed", steps, entry.committed, entry.reserved.steps())?;
        let changed = entry.committed != steps;
        entry.committed = steps;
        self.version += u64::from(changed);
        Ok(())
    }

    /// Ends a phase in order: `ran` steps were taken, whether or not a checkpoint carries them, and the rest is given back.
    ///
    /// # Errors
    /// Another version, an epoch or phase that is over, fewer steps than were committed or more than were reserved.
    pub fn settle(
        &mut self,
        expected: u64,
        job: &JobId,
        epoch: u64,
        number: u32,
        ran: u64,
    ) -> Result<(), LedgerError> {
        self.expect(expected)?;
        self.current(job, epoch)?;
        let entry = self.entry(job, epoch, number)?;
        if entry.state == (State::Settled { ran }) {
            return Ok(());
        }
        open(entry)?;
        within("ran", ran, entry.committed, entry.reserved.steps())?;
        entry.state = State::Settled { ran };
        self.version += 1;
        Ok(())
    }

    /// Notes that every open run of the job up to this epoch died: what they reserved stays charged. Nothing open is no error.
    ///
    /// # Errors
    /// Another version.
    pub fn crash(&mut self, expected: u64, job: &JobId, epoch: u64) -> Result<(), LedgerError> {
        self.expect(expected)?;
        let mut changed = false;
        for entry in &mut self.entries {
            if entry.job == *job && entry.epoch <= epoch && entry.state == State::Open {
                entry.state = State::Crashed;
                changed = true;
            }
        }
        self.version += u64::from(changed);
        Ok(())
    }

    /// Another budget from now on. One below what was spent lets nothing more be reserved.
    ///
    /// # Errors
    /// Another version, or a delta above 1 / units.
    pub fn set_budget(&mut self, expected: u64, budget: Budget) -> Result<(), LedgerError> {
        self.expect(expected)?;
        self.population.check_delta(budget.delta())?;
        self.version += u64::from(self.budget != budget);
        self.budget = budget;
        Ok(())
    }

    fn expect(&self, expected: u64) -> Result<(), LedgerError> {
        if expected == self.version {
            return Ok(());
        }
        Err(LedgerError::VersionConflict { expected, found: self.version })
    }

    /// Refuses an epoch when a later one of the job is known.
    fn current(&self, job: &JobId, epoch: u64) -> Result<(), LedgerError> {
        let of_job = self.entries.iter().filter(|entry| entry.job == *job);
        match of_job.map(Entry::epoch).max() {
            Some(latest) if latest > epoch => {
                Err(LedgerError::StaleEpoch { job: job.to_string(), epoch, latest })
            }
            _ => Ok(()),
        }
    }

    fn entry(&mut self, job: &JobId, epoch: u64, number: u32) -> Result<&mut Entry, LedgerError> {
        let found = self.entries.iter_mut().find(|entry| entry.key() == (job, epoch, number));
        found.ok_or_else(|| LedgerError::Unknown { job: job.to_string(), epoch, number })
    }

    /// The bound that a reservation within the budget shows: the costly one only where the cheap one does not fit.
    fn bound(&self, accountant: &mut Accountant, all: &[Phase]) -> Result<f64, LedgerError> {
        let rdp = accountant.rdp.epsilon(all, self.budget.delta())?.epsilon;
        if rdp <= self.budget.epsilon() {
            return Ok(rdp);
        }
        Ok(accountant.epsilon(self.accounting, all, self.budget.delta())?)
    }

    fn refusal(
        &self,
        accountant: &mut Accountant,
        charged: &[Phase],
        all: &[Phase],
        phase: &Phase,
    ) -> Result<LedgerError, LedgerError> {
        let (accounting, delta) = (self.accounting, self.budget.delta());
        let steps_left = accountant.steps_within(accounting, charged, phase, &self.budget)?;
        Ok(LedgerError::BudgetExceeded {
            steps: phase.steps(),
            requested_epsilon: accountant.epsilon(accounting, all, delta)?,
            budget_epsilon: self.budget.epsilon(),
            delta,
            remaining_epsilon: self.remaining(accountant)?,
            steps_left,
        })
    }
}

fn open(entry: &Entry) -> Result<(), LedgerError> {
    if entry.state == State::Open {
        return Ok(());
    }
    let (job, epoch, number) = (entry.job.to_string(), entry.epoch, entry.number);
    Err(LedgerError::Ended { job, epoch, number })
}

fn same_mechanism(reserved: &Phase, phase: &Phase) -> Result<(), LedgerError> {
    for (field, reserved, value) in [
        ("noise_multiplier", reserved.noise_multiplier(), phase.noise_multiplier()),
        ("sampling_rate", reserved.sampling_rate(), phase.sampling_rate()),
    ] {
        if reserved.to_bits() != value.to_bits() {
            return Err(LedgerError::AnotherMechanism { field, reserved, value });
        }
    }
    Ok(())
}

fn within(field: &'static str, value: u64, least: u64, most: u64) -> Result<(), LedgerError> {
    if (least..=most).contains(&value) {
        return Ok(());
    }
    Err(LedgerError::Steps { field, least, most, value })
}

//! What was spent of a budget: one ledger per tenant and content of a data set, whatever the file or the job is called.
//!
//! Steps are reserved before they run and committed before a checkpoint carries them. What was reserved by a run that died is charged: its
//! steps may have run, and somebody may have seen what came of them. Only a run that ends in order gives back what it did not use.
//!
//! A job that trains on several data sets reserves in the ledger of each; what one of them refuses is settled for 0 steps in the others.
//!
//! The ledger is pure data. Whoever stores it compares and sets its version: every change names the version it was made for, fails
//! on another, and leaves a higher one. Each change can be repeated after a lost answer, since it names totals and not differences.

mod change;
mod entry;
mod error;
mod recompute;

use serde::{Deserialize, Serialize};
use trainyard_openapi::id::TenantId;

pub use change::{Reservation, Reserved};
pub use entry::{DatasetHash, Entry, State};
pub use error::LedgerError;
pub use recompute::{Recomputed, recompute};

use crate::accountant::{Accountant, Accounting};
use crate::error::PrivacyError;
use crate::phase::{Budget, Phase, merge};
use crate::unit::Population;

/// The privacy budget of one data set of one tenant, and every run that drew on it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Fields")]
pub struct Ledger {
    version: u64,
    tenant: TenantId,
    dataset: DatasetHash,
    population: Population,
    budget: Budget,
    accounting: Accounting,
    entries: Vec<Entry>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Fields {
    version: u64,
    tenant: TenantId,
    dataset: DatasetHash,
    population: Population,
    budget: Budget,
    accounting: Accounting,
    entries: Vec<Entry>,
}

impl TryFrom<Fields> for Ledger {
    type Error = LedgerError;

    fn try_from(fields: Fields) -> Result<Self, LedgerError> {
        let Fields { version, tenant, dataset, population, budget, accounting, entries } = fields;
        population.check_delta(budget.delta())?;
        entries.iter().try_for_each(Entry::check)?;
        let mut keys: Vec<_> = entries.iter().map(Entry::key).collect();
        keys.sort_unstable();
        if keys.windows(2).any(|pair| pair[0] == pair[1]) {
            return Err(LedgerError::Corrupt("two entries of the same job, epoch and phase"));
        }
        Ok(Self { version, tenant, dataset, population, budget, accounting, entries })
    }
}

impl Ledger {
    /// The most entries of a ledger: runs of jobs, each with its phases.
    pub const MAX_ENTRIES: usize = 10_000;

    /// A ledger from which nothing was spent, at version 0.
    ///
    /// # Errors
    /// The budget's delta is above 1 / units.
    pub fn open(
        tenant: TenantId,
        dataset: DatasetHash,
        population: Population,
        budget: Budget,
        accounting: Accounting,
    ) -> Result<Self, LedgerError> {
        population.check_delta(budget.delta())?;
        let entries = Vec::new();
        Ok(Self { version: 0, tenant, dataset, population, budget, accounting, entries })
    }

    /// What the next change has to name.
    #[must_use]
    pub fn version(&self) -> u64 {
        self.version
    }

    /// Whose budget it is.
    #[must_use]
    pub fn tenant(&self) -> &TenantId {
        &self.tenant
    }

    /// Whose content is protected.
    #[must_use]
    pub fn dataset(&self) -> &DatasetHash {
        &self.dataset
    }

    /// The units that are protected.
    #[must_use]
    pub fn population(&self) -> &Population {
        &self.population
    }

    /// What may be spent in all.
    #[must_use]
    pub fn budget(&self) -> &Budget {
        &self.budget
    }

    /// How it is counted.
    #[must_use]
    pub fn accounting(&self) -> Accounting {
        self.accounting
    }

    /// Every run, in the order in which they first reserved.
    #[must_use]
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// What all runs are charged for, equal mechanisms added up.
    #[must_use]
    pub fn charged(&self) -> Vec<Phase> {
        let charged: Vec<Phase> = self.entries.iter().map(Entry::charged).collect();
        merge(&charged)
    }

    /// Epsilon of everything charged, at the budget's delta.
    ///
    /// # Errors
    /// None for a ledger made by this module.
    pub fn spent(&self, accountant: &mut Accountant) -> Result<f64, PrivacyError> {
        accountant.epsilon(self.accounting, &self.charged(), self.budget.delta())
    }

    /// The budget's epsilon less what was spent, at least 0. Epsilons do not add up: a run may fit whose own epsilon is larger.
    ///
    /// # Errors
    /// None for a ledger made by this module.
    pub fn remaining(&self, accountant: &mut Accountant) -> Result<f64, PrivacyError> {
        Ok((self.budget.epsilon() - self.spent(accountant)?).max(0.0))
    }
}

//! What was spent of the privacy of a file's content, as it is recorded. Pure: whoever stores it compares its revision.
//!
//! There is one for a tenant and a content, whatever its files are called: uploading a file again, or deleting it, gives nothing back. The
//! steps of a run are charged before they run, and stay charged unless the run ends in order.

mod run;

use serde::{Deserialize, Serialize};
use trainyard_openapi::extension::PrivacySpent;
use trainyard_openapi::id::{JobId, Nonce, TenantId};
use trainyard_plan::PrivacyPlan;
use trainyard_privacy::ledger::{DatasetHash, Entry, Ledger, LedgerError};
use trainyard_privacy::unit::{Population, PrivacyUnit};
use trainyard_privacy::{Accountant, Accounting, Budget, Phase, PrivacyError};

use crate::port::document::{Document, Kind};
use crate::port::store::FileRecord;
pub(crate) use run::Wanted;

/// The epsilon that a content may spend for which no budget was set: the largest that is accounted.
pub(crate) const EPSILON_MAX: f64 = 1000.0;

/// A ledger, with what the scheduler knows of it beside.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PrivacyLedger {
    /// What was reserved, committed and charged. Its budget is the largest there is where none was set.
    pub ledger: Ledger,
    /// Whether the tenant set the budget.
    pub budget_set: bool,
    /// The key of each line that names its user, where the unit is a user.
    pub user_field: Option<String>,
    /// The runs that have entries.
    pub runs: Vec<PrivateRun>,
}

/// A run that reserved steps.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PrivateRun {
    /// The job.
    pub job: JobId,
    /// The epoch of its claim.
    pub epoch: u64,
    /// The nonce of its claim: where the store forgot a claim, two runs have the same epoch, and each is charged for itself.
    pub nonce: Nonce,
    /// Which of the entries of that job and epoch is this run's.
    pub number: u32,
    /// The step that it began after.
    pub from: u64,
}

impl PrivacyLedger {
    /// One from which nothing was spent; without a budget the largest there is.
    ///
    /// # Errors
    /// A hash that is none, or a delta above 1 / units.
    pub(crate) fn open(
        file: &FileRecord,
        population: Population,
        user_field: Option<String>,
        accounting: Accounting,
        budget: Option<Budget>,
    ) -> Result<Self, LedgerError> {
        let dataset = DatasetHash::try_from(file.sha256.clone())?;
        let held = match budget {
            Some(budget) => budget,
            None => Budget::new(EPSILON_MAX, population.default_delta())?,
        };
        let ledger = Ledger::open(file.tenant.clone(), dataset, population, held, accounting)?;
        Ok(Self { ledger, budget_set: budget.is_some(), user_field, runs: Vec::new() })
    }

    /// The id of the ledger of a content.
    pub(crate) fn id_of(tenant: &TenantId, sha256: &str) -> String {
        format!("{tenant}:{sha256}")
    }

    /// What makes `unit` another one than the ledger protects; `None` where it is the same. Guarantees for different units do not add up,
    /// and neither do those for users that two keys name.
    pub(crate) fn fault_of_unit(
        &self,
        unit: PrivacyUnit,
        user_field: Option<&str>,
    ) -> Option<String> {
        let kept = self.ledger.population().unit();
        if kept.name() != unit.name() {
            let (kept, asked) = (kept.name(), unit.name());
            return Some(format!(
                "must be of the kind '{kept}', as of the jobs and the budget before on this content, not '{asked}'"
            ));
        }
        if self.user_field.as_deref() != user_field {
            let (kept, asked) = (shown(self.user_field.as_deref()), shown(user_field));
            return Some(format!(
                "must name users by '{kept}', as the jobs and the budget before on this content did, not by '{asked}'"
            ));
        }
        None
    }

    /// Whether all steps of `planned` fit into what is left.
    pub(crate) fn holds(
        &self,
        accountant: &mut Accountant,
        planned: &Phase,
    ) -> Result<bool, PrivacyError> {
        let mut all = self.ledger.charged();
        all.push(*planned);
        accountant.fits(self.ledger.accounting(), &all, self.ledger.budget())
    }

    /// What a job has spent, over all its runs, counted as its plan says.
    pub(crate) fn spent_by(
        &self,
        accountant: &mut Accountant,
        job: &JobId,
        plan: &PrivacyPlan,
    ) -> Result<PrivacySpent, LedgerError> {
        let of_job = self.ledger.entries().iter().filter(|entry| entry.job() == job);
        let charged: Vec<Phase> = of_job.map(Entry::charged).collect();
        let delta = plan.limit.delta();
        let epsilon = accountant.epsilon(plan.accounting, &charged, delta)?;
        let steps = charged.iter().map(Phase::steps).sum();
        Ok(PrivacySpent { epsilon, delta, steps })
    }
}

fn shown(user_field: Option<&str>) -> &str {
    user_field.unwrap_or("none")
}

impl Document for PrivacyLedger {
    const KIND: Kind = Kind::PrivacyLedger;

    fn id(&self) -> String {
        Self::id_of(self.ledger.tenant(), &self.ledger.dataset().to_string())
    }

    fn scope(&self) -> String {
        self.ledger.tenant().to_string()
    }
}

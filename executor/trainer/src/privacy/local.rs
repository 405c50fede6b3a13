//! The ledger of a run without a server: a file in the output directory that outlives the checkpoints beside it.

use std::path::PathBuf;

use trainyard_openapi::extension::PrivacySpent;
use trainyard_openapi::id::{JobId, TenantId};
use trainyard_openapi::job_error::JobErrorCode;
use trainyard_plan::PrivacyPlan;
use trainyard_privacy::ledger::{DatasetHash, Ledger, LedgerError, Reservation};
use trainyard_privacy::{Accountant, Phase};

use crate::error::{Result, TrainerError};
use crate::privacy::noise::no_randomness;
use crate::privacy::reserve::Grant;
use crate::weights::writer::write_durably;

/// Its name in the output directory.
pub const FILE: &str = "privacy-ledger.json";

/// The ledger and what of it this run writes.
#[derive(Debug)]
pub struct LocalLedger {
    path: PathBuf,
    ledger: Ledger,
    accountant: Accountant,
    job: JobId,
    epoch: u64,
    phase: Phase,
    reserved: u64,
}

impl LocalLedger {
    /// Opens the ledger in `path`, or begins one for the data with hash `sha256`. Every run that trained into this directory is the same job,
    /// and its limit holds for all of them together.
    ///
    /// # Errors
    /// A user error where the ledger is of other data; where it cannot be read.
    pub fn open(path: PathBuf, plan: &PrivacyPlan, sha256: &str) -> Result<Self> {
        let dataset = DatasetHash::try_from(sha256.to_string()).map_err(broken)?;
        let mut ledger = if path.exists() {
            let json = std::fs::read(&path).map_err(TrainerError::io(&path))?;
            serde_json::from_slice::<Ledger>(&json)
                .map_err(|error| TrainerError::Privacy(format!("{}: {error}", path.display())))?
        } else {
            let tenant = TenantId::generate().map_err(no_randomness)?;
            let (population, limit) = (plan.population, plan.limit);
            Ledger::open(tenant, dataset.clone(), population, limit, plan.accounting)
                .map_err(broken)?
        };
        if *ledger.dataset() != dataset || *ledger.population() != plan.population {
            let message = format!(
                "{} is the privacy ledger of other data or units; train into another directory",
                path.display()
            );
            let param = Some("training_file".to_string());
            return Err(TrainerError::user(JobErrorCode::CheckpointMismatch, param, message));
        }
        ledger.set_budget(ledger.version(), plan.limit).map_err(broken)?;
        let last = ledger.entries().last();
        let job = match last {
            Some(entry) => entry.job().clone(),
            None => JobId::generate().map_err(no_randomness)?,
        };
        let epoch = ledger.entries().iter().map(|entry| entry.epoch()).max().unwrap_or(0) + 1;
        let phase = plan.phase;
        Ok(Self { path, ledger, accountant: Accountant::default(), job, epoch, phase, reserved: 0 })
    }

    /// Charges the steps after `from` up to `until`, or as many as the limit holds.
    ///
    /// # Errors
    /// Where the file cannot be written.
    pub fn reserve(&mut self, from: u64, until: u64) -> Result<Grant> {
        let mut steps = (until - from).max(self.reserved);
        if let Err(error) = self.charge(steps) {
            let LedgerError::BudgetExceeded { steps_left, .. } = error else {
                return Err(broken(error));
            };
            steps = self.reserved + steps_left;
            if steps_left > 0 {
                self.charge(steps).map_err(broken)?;
            }
        }
        if steps > self.reserved {
            self.reserved = steps;
            self.write()?;
        }
        Ok(Grant { until: from + self.reserved, spent: self.spent()? })
    }

    /// Notes that the run took `ran` steps and ended in order.
    ///
    /// # Errors
    /// Where the file cannot be written.
    pub fn settle(&mut self, ran: u64) -> Result<PrivacySpent> {
        if self.reserved > 0 {
            let version = self.ledger.version();
            self.ledger.settle(version, &self.job, self.epoch, 0, ran).map_err(broken)?;
            self.write()?;
        }
        self.spent()
    }

    fn spent(&mut self) -> Result<PrivacySpent> {
        let (charged, delta) = (self.ledger.charged(), self.ledger.budget().delta());
        let epsilon = self.accountant.epsilon(self.ledger.accounting(), &charged, delta);
        Ok(PrivacySpent {
            epsilon: epsilon.map_err(|error| TrainerError::Privacy(error.to_string()))?,
            delta,
            steps: charged.iter().map(Phase::steps).sum(),
        })
    }

    fn charge(&mut self, steps: u64) -> std::result::Result<(), LedgerError> {
        let reservation = Reservation {
            job: self.job.clone(),
            epoch: self.epoch,
            number: 0,
            unit: self.ledger.population().unit(),
            phase: self.phase.with_steps(steps),
        };
        let version = self.ledger.version();
        self.ledger.reserve(&mut self.accountant, version, &reservation).map(|_| ())
    }

    fn write(&self) -> Result<()> {
        let json = serde_json::to_vec_pretty(&self.ledger)
            .map_err(|error| TrainerError::Privacy(error.to_string()))?;
        write_durably(&self.path, &json)
    }
}

fn broken(error: LedgerError) -> TrainerError {
    TrainerError::Privacy(error.to_string())
}

//! What a create request may do with files whose privacy is kept.

use trainyard_openapi::error::{ApiError, ErrorCode};
use trainyard_openapi::job::CreateJob;
use trainyard_plan::{
    DataFacts, ModelFacts, Plan, PrivacyPlan, StreamFacts, resolve, resolve_unit,
};
use trainyard_privacy::{Accounting, Budget};

use super::super::Scheduler;
use super::super::documents::json;
use super::internal;
use crate::error::{Result, SchedulerError};
use crate::job::JobRecord;
use crate::ledger::PrivacyLedger;
use crate::port::document::Change;
use crate::port::store::{FileRecord, StoreError};

/// The field that names whom a job protects.
const UNIT: &str = "trainyard.privacy.unit";
/// The field to ask less with.
const TARGET: &str = "trainyard.privacy.target_epsilon";

impl Scheduler {
    /// Refuses files that the job would read without keeping what is promised for them. A job that was made before a budget was set goes on.
    pub(in crate::scheduler) async fn check_privacy_of_files(
        &self,
        private: bool,
        [training_param, validation_param]: &[String; 2],
        training: &FileRecord,
        validation: Option<&FileRecord>,
    ) -> Result<()> {
        let refuse = |param: &str, text: &str| {
            Err(ApiError::field(ErrorCode::InvalidFile, param, format!("invalid {param}: {text}")))
        };
        if !private && self.has_budget(training).await? {
            let text =
                "this file has a privacy budget: jobs that read it must set 'trainyard.privacy'";
            return Ok(refuse(training_param, text)?);
        }
        let Some(validation) = validation else { return Ok(()) };
        let what = match (private, self.ledger(validation).await?) {
            (true, _) if validation.sha256 == training.sha256 => {
                "it has the content of the training file, and losses on it are told without noise"
            }
            (true, Some(_)) => {
                "private jobs train on its content, and losses on it are told without noise"
            }
            (false, Some((ledger, _))) if ledger.budget_set => {
                "this file has a privacy budget, and losses on it are told without noise"
            }
            _ => return Ok(()),
        };
        let text = format!("{what}; measure on lines that need no protection, or on none");
        Ok(refuse(validation_param, &text)?)
    }

    pub(in crate::scheduler) async fn has_budget(&self, file: &FileRecord) -> Result<bool> {
        Ok(self.ledger(file).await?.is_some_and(|(ledger, _)| ledger.budget_set))
    }

    /// What a request is held to that its lines alone tell: their number, and that of their users where users are protected.
    pub(in crate::scheduler) async fn data_facts(
        &self,
        request: &CreateJob,
        training: &FileRecord,
    ) -> Result<DataFacts> {
        let privacy = request.trainyard.as_ref().and_then(|extension| extension.privacy.as_ref());
        let unit = privacy.map(|privacy| resolve_unit(UNIT, privacy.unit.clone())).transpose()?;
        let users = match unit.and_then(|(_, user_field)| user_field) {
            None => None,
            Some(field) => Some(self.count_users("training_file", training, &field).await?),
        };
        Ok(DataFacts { examples: training.lines, users })
    }

    /// Reads a file for the users that its lines name under `field`.
    pub(super) async fn count_users(
        &self,
        param: &str,
        file: &FileRecord,
        field: &str,
    ) -> Result<u64> {
        let report = self.lines_of(file, Some(field.to_string())).await?;
        match report.error_summary(&file.filename) {
            None => Ok(report.users.unwrap_or(0)),
            Some(summary) => {
                let text = format!("invalid {param}: {summary}");
                Err(ApiError::field(ErrorCode::InvalidFile, param, text).into())
            }
        }
    }

    /// Resolves a request. For a private one that is a search for noise, which takes a processor a while.
    pub(in crate::scheduler) async fn plan_of(
        &self,
        request: &CreateJob,
        seed: u64,
        data: DataFacts,
        stream: StreamFacts,
        facts: ModelFacts,
    ) -> Result<Plan> {
        let host = self.inner.parts.host;
        if request.trainyard.as_ref().is_none_or(|extension| extension.privacy.is_none()) {
            return Ok(resolve(request, seed, data, &stream, &facts, host)?);
        }
        let request = request.clone();
        let planned = tokio::task::spawn_blocking(move || {
            resolve(&request, seed, data, &stream, &facts, host)
        });
        let panicked = |error| SchedulerError::Internal(format!("planning panicked: {error}"));
        Ok(planned.await.map_err(panicked)??)
    }

    /// Refuses a unit that the content's ledger does not protect. The first job or budget on a content settles it.
    pub(in crate::scheduler) async fn check_unit(
        &self,
        file: &FileRecord,
        plan: &PrivacyPlan,
    ) -> Result<()> {
        let Some((ledger, _)) = self.ledger(file).await? else { return Ok(()) };
        match ledger.fault_of_unit(plan.population.unit(), plan.user_field.as_deref()) {
            None => Ok(()),
            Some(fault) => {
                let text = format!("invalid value for '{UNIT}': {fault}");
                Err(ApiError::field(ErrorCode::InvalidValue, UNIT, text).into())
            }
        }
    }

    /// Refuses a private job whose steps do not all fit into what is left of its file's budget, and else opens the file's ledger where there
    /// is none.
    ///
    /// Jobs that were made before and have not reserved steps count for nothing here: several may be taken of which one fits. Each is
    /// charged before its steps run, and the budget holds there.
    pub(in crate::scheduler) async fn admit_private(&self, job: &JobRecord) -> Result<()> {
        let Some(plan) = job.plan.privacy.clone() else { return Ok(()) };
        let file = self.store().file(&job.tenant, &job.training_file).await?;
        // Deleted since it was looked at: the job's validation says so.
        let Some(file) = file else { return Ok(()) };
        let found = self.ledger(&file).await?;
        if let Some((ledger, _)) = found {
            self.check_unit(&file, &plan).await?;
            return self.check_room(ledger, plan).await;
        }
        let ledger = PrivacyLedger::open(
            &file,
            plan.population,
            plan.user_field.clone(),
            plan.accounting,
            None,
        );
        let write = Change::none().put(&ledger.map_err(internal)?, 1).map_err(json)?;
        match self.store().apply(&write).await {
            // Another request opened it.
            Err(StoreError::Conflict) => self.check_unit(&file, &plan).await,
            opened => Ok(opened?),
        }
    }

    async fn check_room(&self, ledger: PrivacyLedger, plan: PrivacyPlan) -> Result<()> {
        let looked = self.count(move |accountant| {
            if ledger.holds(accountant, &plan.phase)? {
                return Ok(None);
            }
            let PrivacyLedger { ledger, budget_set, .. } = &ledger;
            let (spent, budget) = (ledger.spent(accountant)?, ledger.budget());
            let (counted, charged) = (ledger.accounting(), ledger.charged());
            let left = accountant.steps_within(counted, &charged, &plan.phase, budget)?;
            Ok::<_, trainyard_privacy::PrivacyError>(Some(Excess {
                budget: *budget,
                budget_set: *budget_set,
                counted,
                spent,
                steps: plan.phase.steps(),
                steps_left: left,
            }))
        });
        match looked.await?.map_err(internal)? {
            None => Ok(()),
            Some(excess) => {
                let code = ErrorCode::PrivacyBudgetExceeded;
                Err(ApiError::field(code, TARGET, excess.to_string()).into())
            }
        }
    }
}

/// A job that does not fit.
struct Excess {
    budget: Budget,
    budget_set: bool,
    counted: Accounting,
    spent: f64,
    steps: u64,
    steps_left: u64,
}

impl std::fmt::Display for Excess {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { budget, budget_set, counted, spent, steps, steps_left } = self;
        let (epsilon, delta) = (budget.epsilon(), budget.delta());
        let counted = match counted {
            Accounting::Prv => "prv",
            Accounting::Rdp => "rdp",
        };
        let whose = match budget_set {
            true => format!("the training file's privacy budget is epsilon {epsilon}"),
            false => format!(
                "the training file has no privacy budget, and epsilon {epsilon} is the most that is accounted"
            ),
        };
        let left = (epsilon - spent).max(0.0);
        write!(
            f,
            "{whose} at delta {delta:.2e}, counted by {counted}: {spent:.4} is spent and {left:.4} remains, which holds about {steps_left} of \
             the job's {steps} steps with this noise. Ask for a smaller target_epsilon, for fewer steps, or for a larger budget of the file"
        )
    }
}

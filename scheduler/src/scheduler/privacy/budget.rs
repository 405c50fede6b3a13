//! The budget of a file's content, as its tenant sees and sets it, and what a job would take of it.

use serde_json::json;
use trainyard_openapi::auto::Auto;
use trainyard_openapi::error::{ApiError, ErrorCode};
use trainyard_openapi::file::Purpose;
use trainyard_openapi::file_privacy::{
    FilePrivacy, FilePrivacyRun, FilePrivacyState, PrivacyBudget, SetPrivacyBudget,
};
use trainyard_openapi::id::FileId;
use trainyard_openapi::preflight::{PrivacyForecast, PrivacyForecastPoint};
use trainyard_plan::{accountant_of, resolve_unit, unit_of};
use trainyard_privacy::ledger::{Entry, State};
use trainyard_privacy::unit::Population;
use trainyard_privacy::{Accounting, Budget, PrivacyError};

use super::super::documents::json as as_internal;
use super::super::{CONFLICTS_MAX, Scheduler};
use super::internal;
use crate::error::Result;
use crate::job::JobRecord;
use crate::ledger::PrivacyLedger;
use crate::port::document::Change;
use crate::port::store::{FileRecord, StoreError};
use crate::tenant::TenantContext;

/// Points of a forecast.
const FORECAST_POINTS: u32 = 10;

impl Scheduler {
    /// The privacy budget of a file's content, what was spent of it, and by which runs.
    ///
    /// # Errors
    /// `file_not_found`.
    pub async fn file_privacy(&self, ctx: &TenantContext, id: &FileId) -> Result<FilePrivacy> {
        let file = self.file_record(ctx, id).await?;
        let ledger = self.ledger(&file).await?.map(|(ledger, _)| ledger);
        self.privacy_of(&file, ledger).await
    }

    /// Sets what all private jobs on a file's content may spend together, those of before included. From then on only private jobs may
    /// train on it. One below what was spent lets nothing more run.
    ///
    /// # Errors
    /// `file_not_found`; `invalid_file_purpose`; `invalid_value` for an epsilon or delta out of range, too few units, or a unit that is not
    /// that of the jobs before; `invalid_file` where lines do not name their users.
    pub async fn set_privacy_budget(
        &self,
        ctx: &TenantContext,
        id: &FileId,
        new: &SetPrivacyBudget,
    ) -> Result<FilePrivacy> {
        let file = self.file_record(ctx, id).await?;
        if file.purpose != Purpose::FineTune {
            let text = format!("'{id}' has another purpose than 'fine-tune': nothing trains on it");
            return Err(ApiError::field(ErrorCode::InvalidPurpose, "id", text).into());
        }
        for _ in 0..CONFLICTS_MAX {
            let (before, rev) = match self.ledger(&file).await? {
                Some((before, rev)) => (Some(before), rev),
                None => (None, 0),
            };
            let ledger = match before.clone() {
                Some(ledger) => with_budget(ledger, new)?,
                None => self.with_first_budget(&file, new).await?,
            };
            if before.as_ref() == Some(&ledger) {
                return self.privacy_of(&file, Some(ledger)).await;
            }
            let now_ms = self.store().now_ms().await?;
            let old = before.filter(|before| before.budget_set).map(|before| shown(&before));
            let detail = json!({"sha256": file.sha256, "budget": shown(&ledger), "before": old});
            let entry = Self::audited(ctx, now_ms, "file.privacy_budget_set", id, detail);
            let write = Change::audited(entry).put(&ledger, rev + 1).map_err(as_internal)?;
            match self.store().apply(&write).await {
                Err(StoreError::Conflict) => {}
                Err(error) => return Err(error.into()),
                Ok(()) => return self.privacy_of(&file, Some(ledger)).await,
            }
        }
        Err(StoreError::Unavailable(format!("the ledger of {id} changes too fast")).into())
    }

    /// A ledger that the budget opens: its unit is what is said here, or the example.
    async fn with_first_budget(
        &self,
        file: &FileRecord,
        new: &SetPrivacyBudget,
    ) -> Result<PrivacyLedger> {
        let (unit, user_field) = resolve_unit("unit", new.unit.clone().unwrap_or_default())?;
        let units = match &user_field {
            None => file.lines,
            Some(field) => self.count_users("file_id", file, field).await?,
        };
        let population = Population::new(unit, units).map_err(refused)?;
        let budget = budget_of(new, &population)?;
        let accounting = Accounting::default();
        let opened = PrivacyLedger::open(file, population, user_field, accounting, Some(budget));
        opened.map_err(internal)
    }

    async fn privacy_of(
        &self,
        file: &FileRecord,
        ledger: Option<PrivacyLedger>,
    ) -> Result<FilePrivacy> {
        let nothing = FilePrivacy {
            object: "file.privacy".to_string(),
            file: file.id.clone(),
            sha256: file.sha256.clone(),
            unit: None,
            units: None,
            accountant: None,
            budget: None,
            spent_epsilon: 0.0,
            remaining_epsilon: None,
            delta: None,
            jobs: Vec::new(),
        };
        let Some(record) = ledger else { return Ok(nothing) };
        let inner = record.ledger.clone();
        let spent = self.count(move |accountant| inner.spent(accountant)).await?;
        let spent = spent.map_err(internal)?;
        let PrivacyLedger { ledger, user_field, .. } = &record;
        let (population, budget) = (ledger.population(), shown(&record));
        Ok(FilePrivacy {
            unit: Some(unit_of(population.unit(), user_field.as_deref())),
            units: Some(population.units()),
            accountant: Some(accountant_of(ledger.accounting())),
            budget,
            spent_epsilon: spent,
            remaining_epsilon: budget.map(|budget| (budget.epsilon - spent).max(0.0)),
            delta: Some(ledger.budget().delta()),
            jobs: ledger.entries().iter().map(run_of).collect(),
            ..nothing
        })
    }

    /// What the job would take of its training file's budget; `None` for one that is not private.
    pub(in crate::scheduler) async fn privacy_forecast(
        &self,
        ctx: &TenantContext,
        job: &JobRecord,
    ) -> Result<Option<PrivacyForecast>> {
        let Some(plan) = job.plan.privacy.clone() else { return Ok(None) };
        let file = self.file_record(ctx, &job.training_file).await?;
        let record = match self.ledger(&file).await? {
            Some((record, _)) => record,
            None => {
                let (population, field) = (plan.population, plan.user_field.clone());
                PrivacyLedger::open(&file, population, field, plan.accounting, None)
                    .map_err(internal)?
            }
        };
        let budget = shown(&record);
        let counted = self.count(move |accountant| {
            let (charged, delta) = (record.ledger.charged(), record.ledger.budget().delta());
            let spent = record.ledger.spent(accountant)?;
            let fits = record.holds(accountant, &plan.phase)?;
            let points = accountant.forecast(&charged, &plan.phase, delta, FORECAST_POINTS)?;
            let not_covered = plan.extension().not_covered;
            Ok::<_, PrivacyError>((spent, fits, points, not_covered))
        });
        let (spent, fits, points, not_covered) = counted.await?.map_err(internal)?;
        let point = |point: &trainyard_privacy::Forecast| PrivacyForecastPoint {
            step: point.steps,
            epsilon: point.epsilon,
        };
        Ok(Some(PrivacyForecast {
            spent_before: spent,
            budget,
            remaining: budget.map(|budget| (budget.epsilon - spent).max(0.0)),
            fits,
            forecast: points.iter().map(point).collect(),
            not_covered,
        }))
    }
}

/// The ledger with another budget.
fn with_budget(mut record: PrivacyLedger, new: &SetPrivacyBudget) -> Result<PrivacyLedger> {
    if let Some(unit) = &new.unit {
        let (unit, user_field) = resolve_unit("unit", unit.clone())?;
        if let Some(fault) = record.fault_of_unit(unit, user_field.as_deref()) {
            let text = format!("invalid value for 'unit': {fault}");
            return Err(ApiError::field(ErrorCode::InvalidValue, "unit", text).into());
        }
    }
    let budget = budget_of(new, record.ledger.population())?;
    record.ledger.set_budget(record.ledger.version(), budget).map_err(internal)?;
    record.budget_set = true;
    Ok(record)
}

fn budget_of(new: &SetPrivacyBudget, population: &Population) -> Result<Budget> {
    let delta = match new.budget.delta {
        Auto::Auto => population.default_delta(),
        Auto::Value(delta) => population.check_delta(delta).map_err(refused)?,
    };
    Ok(Budget::new(new.budget.epsilon, delta).map_err(refused)?)
}

/// What the privacy crate refuses, under the field's whole name.
fn refused(error: PrivacyError) -> ApiError {
    let param = match &error {
        PrivacyError::OutOfRange { field: "epsilon", .. } => "budget.epsilon",
        PrivacyError::OutOfRange { field: "delta", .. } => "budget.delta",
        PrivacyError::OutOfRange { field: "examples_per_user", .. } => "unit.examples_per_unit",
        _ => "unit",
    };
    ApiError::field(ErrorCode::InvalidValue, param, format!("invalid value for '{param}': {error}"))
}

/// The budget that the tenant set.
fn shown(record: &PrivacyLedger) -> Option<PrivacyBudget> {
    let budget = record.ledger.budget();
    let shown = PrivacyBudget { epsilon: budget.epsilon(), delta: budget.delta() };
    record.budget_set.then_some(shown)
}

fn run_of(entry: &Entry) -> FilePrivacyRun {
    FilePrivacyRun {
        job: entry.job().clone(),
        epoch: entry.epoch(),
        noise_multiplier: entry.reserved().noise_multiplier(),
        sampling_rate: entry.reserved().sampling_rate(),
        steps_reserved: entry.reserved().steps(),
        steps_committed: entry.committed(),
        steps_charged: entry.charged().steps(),
        state: match entry.state() {
            State::Open => FilePrivacyState::Open,
            State::Settled { .. } => FilePrivacyState::Settled,
            State::Crashed => FilePrivacyState::Crashed,
        },
    }
}

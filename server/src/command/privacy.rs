//! `trainyard files privacy` and `set-budget`: the privacy budget of a file's content.

use serde_json::{Value, json};
use trainyard_openapi::auto::Auto;
use trainyard_openapi::extension::PrivacyUnit;
use trainyard_openapi::file_privacy::{FilePrivacy, FilePrivacyRun, FilePrivacyState};

use super::connection::{Connection, idempotency_key};
use crate::client::{ClientError, read};
use crate::output::{self, Format};

/// Shows what was spent, and by which runs.
pub(super) async fn get(id: &str, connection: &Connection) -> Result<(), ClientError> {
    let answer = connection.client()?.get(&["files", id, "privacy"], &[]).await?;
    show(&answer, connection.format())
}

/// Sets the budget, and shows what is left of it.
pub(super) async fn set(
    id: &str,
    epsilon: f64,
    delta: Option<f64>,
    connection: &Connection,
) -> Result<(), ClientError> {
    let delta = delta.map_or(Auto::Auto, Auto::Value);
    let body = json!({"budget": {"epsilon": epsilon, "delta": delta}});
    let key = idempotency_key()?;
    let answer = connection.client()?.post(&["files", id, "privacy"], Some(&body), &key).await?;
    show(&answer, connection.format())
}

fn show(answer: &Value, format: Format) -> Result<(), ClientError> {
    if format == Format::Json {
        return Ok(output::json(answer)?);
    }
    let privacy: FilePrivacy = read(answer)?;
    output::fields(&details(&privacy))?;
    if privacy.jobs.is_empty() {
        return Ok(());
    }
    let header = ["JOB", "RUN", "STATE", "CHARGED", "RESERVED", "NOISE", "RATE"];
    let rows: Vec<_> = privacy.jobs.iter().map(row).collect();
    Ok(output::table(&header, &rows)?)
}

fn details(privacy: &FilePrivacy) -> Vec<(&'static str, String)> {
    let mut fields = vec![("file", privacy.file.to_string()), ("sha256", privacy.sha256.clone())];
    let unit = privacy.unit.as_ref().map(|unit| match unit {
        PrivacyUnit::Named(_) => "examples".to_string(),
        PrivacyUnit::User(user) => format!("users by '{}'", user.user_field),
    });
    let units = unit.zip(privacy.units).map(|(unit, units)| format!("{units} {unit}"));
    fields.extend(units.map(|units| ("protects", units)));
    let budget = privacy.budget.map(|budget| format!("epsilon {}", budget.epsilon));
    fields.push(("budget", budget.unwrap_or_else(|| "none set".to_string())));
    fields.push(("spent", format!("epsilon {:.4}", privacy.spent_epsilon)));
    fields.extend(privacy.remaining_epsilon.map(|left| ("left", format!("epsilon {left:.4}"))));
    fields.extend(privacy.delta.map(|delta| ("at delta", format!("{delta:.2e}"))));
    fields
}

fn row(run: &FilePrivacyRun) -> Vec<String> {
    let state = match run.state {
        FilePrivacyState::Open => "open",
        FilePrivacyState::Settled => "settled",
        FilePrivacyState::Crashed => "crashed",
    };
    vec![
        run.job.to_string(),
        run.epoch.to_string(),
        state.to_string(),
        run.steps_charged.to_string(),
        run.steps_reserved.to_string(),
        format!("{:.4}", run.noise_multiplier),
        format!("{:.4}", run.sampling_rate),
    ]
}

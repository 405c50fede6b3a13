//! What a run with stages hands back beside the adapter: the matrix as CSV and as a picture, what the next job needs, and what the model
//! card says of it.

use std::fmt::Write as _;
use std::path::Path;

use trainyard_continual::report;
use trainyard_openapi::extension::{ContinualResult, StageResult};

use crate::continual::earlier::{FILE, FORMAT, Left, LeftStage, LeftStrategy, TENSORS};
use crate::continual::json;
use crate::continual::stream::Stream;
use crate::error::Result;
use crate::train::session::{Mode, Session};
use crate::weights::writer;

/// The matrix of the loss as CSV.
pub const CSV: &str = "forgetting.csv";
/// The same as a picture.
pub const PICTURE: &str = "forgetting.svg";

/// Writes the files into `directory`.
///
/// # Errors
/// Where the system refuses.
pub fn write(directory: &Path, stream: &Stream<'_>, session: &Session<'_>) -> Result<()> {
    let Some(state) = &session.state.continual else { return Ok(()) };
    let Mode::Staged(staged) = &session.mode else { return Ok(()) };
    let told = stream.result(session)?;
    if let (Some(loss), Some(told)) = (state.matrices.first(), told.matrices.first()) {
        let after: Vec<&str> = told.after.iter().map(String::as_str).collect();
        writer::write_durably(&directory.join(CSV), report::csv(loss, &after).as_bytes())?;
        let picture = report::heat_map(loss, &after);
        writer::write_durably(&directory.join(PICTURE), picture.as_bytes())?;
    }
    let earlier = stream.earlier.iter().flat_map(|earlier| earlier.stages.iter().cloned());
    let own = state.stages.iter().filter(|stage| stage.last_step.is_some()).cloned();
    let own: Vec<LeftStage> = match stream.courses() == state.order.len() && stream.is_joint() {
        // All stages were one; each is one for the next job.
        true => own.take(1).flat_map(|result| stream.left_jointly(&result)).collect(),
        false => own.zip(&state.order).map(|(result, &given)| stream.left(result, given)).collect(),
    };
    let strategies = staged.planned.iter().zip(staged.states()?);
    let left = Left {
        format: FORMAT,
        stages: earlier.chain(own).collect(),
        held_out_sha256: stream.held_out.as_ref().map(|dataset| dataset.sha256.clone()),
        matrices: state.matrices.clone(),
        strategies: strategies
            .map(|(plan, state)| LeftStrategy { plan: plan.clone(), state })
            .collect(),
    };
    let bytes = serde_json::to_vec_pretty(&left).map_err(json)?;
    writer::write_durably(&directory.join(FILE), &bytes)?;
    writer::write(&directory.join(TENSORS), &staged.tensors()?.0)
}

/// The section of the model card.
pub fn section(result: &ContinualResult) -> String {
    let mut text = String::from("## What was forgotten\n\n");
    for matrix in &result.matrices {
        let better = if matrix.higher_is_better { "higher" } else { "lower" };
        let _ = writeln!(
            text,
            "`{}` on each stage (column) after each stage (row); {better} is better.\n",
            matrix.metric
        );
        let held_out = matrix.base.held_out.is_some();
        let cell = |name: &str| name.replace('|', "\\|");
        let mut names: Vec<String> = matrix.stages.iter().map(|name| cell(name)).collect();
        if held_out {
            names.push("held out".to_string());
        }
        let _ = writeln!(text, "| after | {} |", names.join(" | "));
        let _ = writeln!(text, "|---|{}", "---|".repeat(names.len()));
        let rows = std::iter::once(("base model".to_string(), &matrix.base));
        let after = matrix.after.iter().map(|name| cell(name)).zip(&matrix.rows);
        for (name, row) in rows.chain(after) {
            let values: Vec<String> = row
                .stages
                .iter()
                .chain(row.held_out.as_ref())
                .map(|value| format!("{value:.4}"))
                .collect();
            let _ = writeln!(text, "| {name} | {} |", values.join(" | "));
        }
        let figure = |value: Option<f64>| {
            value.map_or("not defined".to_string(), |value| format!("{value:.4}"))
        };
        let _ = writeln!(
            text,
            "\nTurned so that higher is better: average {}, backward transfer {}, forward transfer {}; forgetting {}.\n",
            figure(matrix.average),
            figure(matrix.backward_transfer),
            figure(matrix.forward_transfer),
            figure(matrix.forgetting),
        );
    }
    for stage in &result.stages {
        let what = if stage.kept { "kept" } else { "rejected" };
        let reason = stage.reason.as_ref().map(|why| format!(": {why}")).unwrap_or_default();
        let _ = writeln!(text, "- `{}` {what}{reason}", stage.name);
    }
    text.push('\n');
    text
}

/// What is left of stages for the next job.
impl Stream<'_> {
    /// Whether all stages are trained at once.
    pub fn is_joint(&self) -> bool {
        self.joint.is_some()
    }

    /// A stage with its files.
    pub fn left(&self, result: StageResult, given: usize) -> LeftStage {
        let stage = &self.stages[given];
        LeftStage {
            result,
            training_sha256: Some(stage.training.sha256.clone()),
            validation_sha256: stage.validation.as_ref().map(|dataset| dataset.sha256.clone()),
        }
    }

    /// Every stage of those that were one.
    pub fn left_jointly(&self, result: &StageResult) -> Vec<LeftStage> {
        let of = |given: usize| {
            let name = self.stages[given].name.to_string();
            self.left(StageResult { name, ..result.clone() }, given)
        };
        (0..self.stages.len()).map(of).collect()
    }
}

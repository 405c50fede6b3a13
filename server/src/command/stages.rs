//! The flags of `jobs create` for a job of stages, and what is shown of one.

use std::io;

use serde_json::{Map, Value, json};
use trainyard_openapi::extension::{ContinualProgress, Matrix};
use trainyard_openapi::job::Job;

use super::create::{file_id, set};
use crate::client::{Client, ClientError};
use crate::output;

/// A stage as the flag names it.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Stage {
    name: String,
    training: String,
    validation: Option<String>,
}

/// The flags of a job that trains one adapter through several stages, or goes on from an earlier result.
#[allow(clippy::doc_markdown, reason = "the doc comments are the help text")]
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Stages")]
pub(crate) struct StageArgs {
    /// A stage: its name, what it trains on and what it is measured with, each a file's id or a local JSONL file. Repeated, in the order of training.
    #[arg(long, value_name = "NAME=TRAINING,VALIDATION", value_parser = stage, conflicts_with_all = ["training_file", "validation_file"])]
    stage: Vec<Stage>,
    /// What is done against forgetting: replay, derpp, ewc, lwf, a_gem, o_lora, ema, merge, joint, or JSON such as '{"type": "replay", "ratio": 0.3}'. May be repeated.
    #[arg(long, value_name = "NAME_OR_JSON", value_parser = strategy)]
    strategy: Vec<Value>,
    /// A general file that is measured after every stage and never trained on.
    #[arg(long, value_name = "ID_OR_PATH")]
    held_out_file: Option<String>,
    /// Reject a stage after which the loss on an earlier one is so many nats above its best.
    #[arg(long, value_name = "NATS")]
    max_forgetting: Option<f64>,
}

impl StageArgs {
    /// Adds what the flags say to the request, uploading local files before.
    pub(crate) async fn add_to(
        &self,
        body: &mut Map<String, Value>,
        client: &Client,
    ) -> Result<(), ClientError> {
        let mut continual = Map::new();
        let mut stages = Vec::with_capacity(self.stage.len());
        for Stage { name, training, validation } in &self.stage {
            let training = file_id(client, training, &format!("--stage {name}")).await?;
            let validation = match validation {
                Some(file) => Some(file_id(client, file, &format!("--stage {name}")).await?),
                None => None,
            };
            stages.push(
                json!({"name": name, "training_file": training, "validation_file": validation}),
            );
        }
        if let Some(first) = stages.first() {
            body.insert("training_file".to_string(), first["training_file"].clone());
            continual.insert("stages".to_string(), Value::from(stages));
        }
        if !self.strategy.is_empty() {
            continual.insert("strategies".to_string(), Value::from(self.strategy.clone()));
        }
        if let Some(file) = &self.held_out_file {
            let id = file_id(client, file, "--held-out-file").await?;
            continual.insert("held_out_file".to_string(), Value::from(id));
        }
        if let Some(limit) = self.max_forgetting {
            continual.insert("max_forgetting".to_string(), Value::from(limit));
        }
        for (key, value) in continual {
            set(body, &format!("trainyard.continual.{key}"), value)?;
        }
        Ok(())
    }
}

fn stage(text: &str) -> Result<Stage, String> {
    let wrong = || format!("'{text}' is no NAME=TRAINING,VALIDATION");
    let (name, files) = text.split_once('=').ok_or_else(wrong)?;
    let mut files = files.split(',').map(str::to_string);
    let (training, validation) = (files.next().unwrap_or_default(), files.next());
    if name.is_empty() || training.is_empty() || validation.as_deref() == Some("") {
        return Err(wrong());
    }
    if files.next().is_some() {
        return Err(format!(
            "'{text}' names more than two files; one whose path has a comma is uploaded first, and named by its id"
        ));
    }
    Ok(Stage { name: name.to_string(), training, validation })
}

fn strategy(text: &str) -> Result<Value, String> {
    if !text.trim_start().starts_with('{') {
        return Ok(json!({ "type": text }));
    }
    serde_json::from_str(text).map_err(|error| format!("'{text}' is no JSON: {error}"))
}

/// Where a running job is in its stages.
pub(crate) fn place(progress: &ContinualProgress) -> String {
    let ContinualProgress { stage, stages, name, .. } = progress;
    format!("{stage}/{stages} '{name}'")
}

/// Writes what came of a job's stages, if it has any: each with its outcome, and the matrix of each measure.
pub(crate) fn show_results(job: &Job) -> io::Result<()> {
    let result = job.trainyard.result.as_ref().and_then(|result| result.continual.as_ref());
    let Some(result) = result else { return Ok(()) };
    output::line("")?;
    let rows = result.stages.iter().map(|stage| {
        let step = stage.last_step.map(|step| step.to_string()).unwrap_or_default();
        let outcome = if stage.kept { "kept" } else { "rejected" };
        let reason = stage.reason.clone().unwrap_or_default();
        vec![stage.name.clone(), step, outcome.to_string(), reason]
    });
    output::table(&["STAGE", "LAST STEP", "OUTCOME", "REASON"], &rows.collect::<Vec<_>>())?;
    result.matrices.iter().try_for_each(show_matrix)
}

fn show_matrix(matrix: &Matrix) -> io::Result<()> {
    let better = if matrix.higher_is_better { "higher" } else { "lower" };
    output::line(&format!("\n{} on each stage, {better} is better", matrix.metric))?;
    let mut header = vec!["AFTER"];
    header.extend(matrix.stages.iter().map(String::as_str));
    header.extend(matrix.base.held_out.map(|_| "HELD OUT"));
    let after = matrix.after.iter().map(String::as_str).zip(&matrix.rows);
    let rows = std::iter::once(("base model", &matrix.base)).chain(after).map(|(name, row)| {
        let values = row.stages.iter().chain(row.held_out.as_ref());
        let values = values.map(|value| format!("{value:.4}"));
        std::iter::once(name.to_string()).chain(values).collect()
    });
    output::table(&header, &rows.collect::<Vec<_>>())?;
    let figure = |value: Option<f64>| value.map_or("-".to_string(), |value| format!("{value:.4}"));
    output::line(&format!(
        "average {}, backward transfer {}, forward transfer {}, forgetting {}",
        figure(matrix.average),
        figure(matrix.backward_transfer),
        figure(matrix.forward_transfer),
        figure(matrix.forgetting),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stage_is_a_name_and_one_or_two_files() {
        let of = |name: &str, training: &str, validation: Option<&str>| Stage {
            name: name.to_string(),
            training: training.to_string(),
            validation: validation.map(str::to_string),
        };
        assert_eq!(stage("law=a.jsonl,b.jsonl"), Ok(of("law", "a.jsonl", Some("b.jsonl"))));
        assert_eq!(stage("law=file-1"), Ok(of("law", "file-1", None)));
        for wrong in ["law", "=a,b", "law=", "law=,b", "law=a,", "law=a,b,c"] {
            assert!(stage(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_strategy_is_a_name_or_json() {
        assert_eq!(strategy("ewc"), Ok(json!({"type": "ewc"})));
        let text = r#"{"type": "replay", "ratio": 0.3}"#;
        assert_eq!(strategy(text), Ok(json!({"type": "replay", "ratio": 0.3})));
        assert!(strategy("{type").is_err());
    }
}

//! When a job is measured, saved and stopped early.

use serde::{Deserialize, Serialize};

use crate::auto::Auto;

/// When checkpoints are written and how many are kept.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Checkpointing {
    /// A checkpoint every so many optimizer steps; null leaves it to the time.
    pub every_steps: Option<u32>,
    /// A checkpoint every so many seconds; null leaves it to the steps.
    pub every_seconds: Option<u32>,
    /// How many of the newest are kept.
    #[schema(minimum = 1)]
    pub keep: u32,
}

impl Default for Checkpointing {
    fn default() -> Self {
        Self { every_steps: None, every_seconds: Some(300), keep: 3 }
    }
}

/// When the validation file is looked at.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Evaluation {
    /// Every so many optimizer steps, besides before the first and after the last.
    #[schema(schema_with = crate::auto::integer)]
    pub every_steps: Auto<u32>,
    /// What is measured.
    pub metrics: Vec<Metric>,
}

impl Default for Evaluation {
    fn default() -> Self {
        let metrics = vec![Metric::Loss, Metric::TokenAccuracy, Metric::Perplexity];
        Self { every_steps: Auto::Auto, metrics }
    }
}

/// The metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Metric {
    /// Mean negative log-likelihood of a target token, in nats.
    Loss,
    /// Share of the target tokens that the model puts first.
    TokenAccuracy,
    /// The exponential of the loss.
    Perplexity,
}

/// When to stop before the last epoch.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct EarlyStopping {
    /// Evaluations without an improvement after which the job stops.
    #[schema(minimum = 1)]
    pub patience: u32,
    /// The least fall of the validation loss that counts as an improvement.
    pub min_delta: f64,
}

impl Default for EarlyStopping {
    fn default() -> Self {
        Self { patience: 3, min_delta: 0.0 }
    }
}

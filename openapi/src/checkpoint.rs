//! A saved state of a running job: a loadable adapter of its own.

use serde::{Deserialize, Serialize};

use crate::id::{CheckpointId, JobId};

/// A checkpoint of a job.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct JobCheckpoint {
    /// The id.
    pub id: CheckpointId,
    /// Always `fine_tuning.job.checkpoint`.
    #[schema(example = "fine_tuning.job.checkpoint")]
    pub object: String,
    /// When, in Unix seconds.
    pub created_at: i64,
    /// The name of the checkpoint as a model.
    pub fine_tuned_model_checkpoint: String,
    /// The job.
    pub fine_tuning_job_id: JobId,
    /// The optimizer step after which it was written.
    pub step_number: u64,
    /// The figures at that step.
    pub metrics: CheckpointMetrics,
    /// What Trainyard says beyond OpenAI's contract; left out where there is nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trainyard: Option<CheckpointExtension>,
}

/// What a checkpoint is beside a step of its job.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct CheckpointExtension {
    /// The stage that it is the end of. It is kept, however many are written after it.
    pub stage: String,
}

/// OpenAI's seven figures of a checkpoint. The columns of the result file have the same names and definitions.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(default)]
pub struct CheckpointMetrics {
    /// The optimizer step.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub step: Option<u64>,
    /// Loss of this step's batch before its update.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub train_loss: Option<f64>,
    /// Token accuracy of the same.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub train_mean_token_accuracy: Option<f64>,
    /// The last validation loss up to this step.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub valid_loss: Option<f64>,
    /// Token accuracy of the same.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub valid_mean_token_accuracy: Option<f64>,
    /// Loss over the whole validation file at this step.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub full_valid_loss: Option<f64>,
    /// Token accuracy over the whole validation file at this step.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub full_valid_mean_token_accuracy: Option<f64>,
}

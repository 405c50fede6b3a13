//! How far a job is and what came out of it.

use serde::{Deserialize, Serialize};

use crate::extension::{ContinualProgress, ContinualResult, PrivacySpent};

/// How far a job is.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(default)]
pub struct Progress {
    /// Optimizer steps done.
    pub step: u64,
    /// Optimizer steps in all, once the data has been read.
    pub total_steps: Option<u64>,
    /// Tokens that went through the model while training.
    pub tokens: u64,
    /// Tokens a second over the last steps.
    pub tokens_per_second: Option<f64>,
    /// Seconds until the job ends, as far as the last steps tell.
    pub eta_seconds: Option<f64>,
    /// Loss of the last step.
    pub train_loss: Option<f64>,
    /// The last validation loss.
    pub valid_loss: Option<f64>,
    /// Place in the queue, 1 being the next to run.
    pub queue_position: Option<u64>,
    /// Why the job does not run yet.
    pub waiting_reason: Option<String>,
    /// When the job is likely to start, in Unix seconds: from what running jobs say of their end and how long their tenants' jobs ran
    /// before. Null where that is not known, and where the job does not wait for devices.
    pub estimated_start_at: Option<i64>,
    /// Attempts to run the job so far.
    pub attempts: u32,
    /// What a private job has spent of its budget; null where the job is not private or has not begun.
    pub privacy: Option<PrivacySpent>,
    /// The stage at hand; null where the job has no stages or has not begun.
    pub continual: Option<ContinualProgress>,
}

/// What came out of a job that succeeded.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(default)]
pub struct JobResult {
    /// Mean training loss over the last epoch's steps.
    pub train_loss: Option<f64>,
    /// Validation loss before the first step.
    pub initial_valid_loss: Option<f64>,
    /// Validation loss of the adapter that is handed back, over the whole validation file.
    pub valid_loss: Option<f64>,
    /// Validation token accuracy of the same.
    pub valid_mean_token_accuracy: Option<f64>,
    /// Optimizer steps taken.
    pub steps: u64,
    /// Whether early stopping ended the job.
    pub stopped_early: bool,
    /// Tokens that the loss was taken over, all epochs together.
    pub target_tokens: u64,
    /// Parameters that were trained.
    pub trainable_parameters: u64,
    /// Rows of a micro-batch at the end: fewer than `batching.micro_batch_size` where memory ran out. Null where an older version
    /// trained it.
    pub micro_batch_size: Option<u32>,
    /// Seconds of training, all attempts together.
    pub training_seconds: f64,
    /// SHA-256 of the training file.
    pub training_data_sha256: Option<String>,
    /// SHA-256 of the weights that were trained: of `adapter_model.safetensors`, of a head `head.safetensors`, of all weights `model.safetensors`.
    pub adapter_sha256: Option<String>,
    /// What a private job spent; null where the job is not private.
    pub privacy: Option<PrivacySpent>,
    /// How much louder than the noise the private gradients were: the mean over all steps of signal over noise, in squared norms. Worked
    /// out from what was released with noise, so it costs nothing. Null where the job is not private.
    pub signal_to_noise: Option<f64>,
    /// What came of the stages and what was forgotten; null where the job has none.
    pub continual: Option<ContinualResult>,
    /// What happened to the rows of the data, by name: truncated, rejected and so on.
    pub data_report: std::collections::BTreeMap<String, u64>,
}

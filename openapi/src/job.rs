//! The fine-tuning job: what a client sends and what it gets back.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::extension::{Extension, JobExtension};
use crate::id::{FileId, JobId};
use crate::job_error::JobErrorCode;
use crate::method::{Hyperparameters, Method};

/// The body of `POST /v1/fine_tuning/jobs`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CreateJob {
    /// The base model, by a name that `GET /v1/models` lists; or a fine-tuned model or checkpoint, by its name, which the job then goes on from.
    pub model: String,
    /// The id of an uploaded JSONL file with purpose `fine-tune`.
    pub training_file: String,
    /// The id of a file that is measured but not trained on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub validation_file: Option<String>,
    /// Up to 64 characters that go into the name of the fine-tuned model.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub suffix: Option<String>,
    /// Seed of everything random, 0 to 2147483647; drawn where left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seed: Option<u64>,
    /// Up to 16 pairs of the client's own; keys up to 64 characters, values up to 512.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metadata: Option<BTreeMap<String, String>>,
    /// Deprecated in OpenAI's contract: use `method`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hyperparameters: Option<Hyperparameters>,
    /// The training method; supervised where left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub method: Option<Method>,
    /// Experiment trackers. Not available in this version: a non-empty list is refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Vec<Object>>)]
    pub integrations: Option<Vec<serde_json::Value>>,
    /// Trainyard's own settings.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trainyard: Option<Extension>,
}

/// The states of a job.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    Hash,
    PartialOrd,
    Ord,
    Serialize,
    Deserialize,
    utoipa::ToSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum JobStatus {
    /// The files are being read, line by line.
    ValidatingFiles,
    /// Waiting for an executor.
    Queued,
    /// An executor trains it.
    Running,
    /// Held back by its owner.
    Paused,
    /// Done: `fine_tuned_model` is there.
    Succeeded,
    /// Ended without a model: `error` says why.
    Failed,
    /// Ended by its owner.
    Cancelled,
}

impl JobStatus {
    /// Whether the job can never leave this state.
    pub const fn is_terminal(self) -> bool {
        matches!(self, Self::Succeeded | Self::Failed | Self::Cancelled)
    }

    /// The word on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ValidatingFiles => "validating_files",
            Self::Queued => "queued",
            Self::Running => "running",
            Self::Paused => "paused",
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
        }
    }
}

/// Why a job failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct JobError {
    /// Machine-readable; the document's table of job errors has them all, with who can mend each.
    #[schema(value_type = String, example = "invalid_training_file")]
    pub code: JobErrorCode,
    /// A sentence for people.
    pub message: String,
    /// The field or the place in a file at fault.
    #[schema(required = true)]
    pub param: Option<String>,
}

/// A fine-tuning job.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Job {
    /// The id.
    pub id: JobId,
    /// Always `fine_tuning.job`.
    #[schema(example = "fine_tuning.job")]
    pub object: String,
    /// When the job was made, in Unix seconds.
    pub created_at: i64,
    /// Why the job failed; null unless it did.
    #[schema(required = true)]
    pub error: Option<JobError>,
    /// The name of the result; null until the job has succeeded.
    #[schema(required = true)]
    pub fine_tuned_model: Option<String>,
    /// When the job ended, in Unix seconds.
    #[schema(required = true)]
    pub finished_at: Option<i64>,
    /// The hyperparameters in use.
    pub hyperparameters: Hyperparameters,
    /// The base model, or the earlier result that the job goes on from.
    pub model: String,
    /// The tenant.
    pub organization_id: String,
    /// The ids of the result CSV files.
    pub result_files: Vec<FileId>,
    /// The state.
    pub status: JobStatus,
    /// Tokens trained on, all epochs together; null until the job has ended.
    #[schema(required = true)]
    pub trained_tokens: Option<u64>,
    /// The training file.
    pub training_file: FileId,
    /// The validation file.
    #[schema(required = true)]
    pub validation_file: Option<FileId>,
    /// The seed in use.
    pub seed: u64,
    /// When the job is expected to end, in Unix seconds; null while that is not known.
    #[schema(required = true)]
    pub estimated_finish: Option<i64>,
    /// The method, with the hyperparameters in use.
    pub method: Method,
    /// The client's own pairs.
    #[schema(required = true)]
    pub metadata: Option<BTreeMap<String, String>>,
    /// Always empty in this version.
    #[schema(value_type = Vec<Object>)]
    pub integrations: Vec<serde_json::Value>,
    /// Trainyard's own settings, resolved, with progress and result.
    pub trainyard: JobExtension,
}

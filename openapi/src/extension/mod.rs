//! The `trainyard` object: everything of a job that OpenAI's contract has no word for.
//!
//! A client that leaves it out gets the defaults written here. Unknown keys are refused. To add a setting, add a
//! field with a default to the struct of its concern; the plan crate then has to say what it means.

mod adapter;
mod continual;
mod data;
mod evaluation;
mod optimizer;
mod privacy;
mod progress;
mod resources;

pub use adapter::{Adapter, AdapterKind, TargetModules};
pub use continual::{
    AGem, Continual, ContinualProgress, ContinualResult, Derpp, Ema, Ewc, JobContinual, Joint, Lwf,
    Matrix, MatrixRow, MemoryPolicy, Merge, NewStage, OLora, Replay, StageOrder, StageResult,
    Strategy,
};
pub use data::{Batching, Overlong, Precision, Sequence};
pub use evaluation::{Checkpointing, EarlyStopping, Evaluation, Metric};
pub use optimizer::{Optimizer, OptimizerKind, Schedule, ScheduleKind};
pub use privacy::{
    Clipping, JobPrivacy, NamedUnit, Privacy, PrivacyAccountant, PrivacySpent, PrivacyUnit,
    UserUnit,
};
pub use progress::{JobResult, Progress};
pub use resources::{Priority, Resources};

use serde::{Deserialize, Serialize};

use crate::auto::Auto;
use crate::erasure::JobErasure;
use crate::webhook::{JobWebhook, NewJobWebhook};

/// Trainyard's own settings of a create request.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Extension {
    /// What is trained on top of the frozen base.
    pub adapter: Adapter,
    /// The optimizer.
    pub optimizer: Optimizer,
    /// The course of the learning rate.
    pub schedule: Schedule,
    /// The number format of the frozen base and of activations.
    #[schema(schema_with = crate::auto::precision)]
    pub precision: Auto<Precision>,
    /// How examples become rows of tokens.
    pub sequence: Sequence,
    /// How an effective batch is cut to fit the memory.
    pub batching: Batching,
    /// When checkpoints are written and how many are kept.
    pub checkpoint: Checkpointing,
    /// When the validation file is looked at.
    pub evaluation: Evaluation,
    /// When to stop before the last epoch; null trains to the end.
    pub early_stopping: Option<EarlyStopping>,
    /// Data cleaning. Not available in this version: anything but null is refused.
    #[schema(value_type = Option<Object>)]
    pub data: Option<serde_json::Value>,
    /// Differential privacy; null trains without.
    pub privacy: Option<Privacy>,
    /// Continual learning: a stream of stages, or what is done against forgetting while training on from an earlier result.
    pub continual: Option<Continual>,
    /// What the job may use.
    pub resources: Resources,
    /// An endpoint that is told of this job's events, beside those of the tenant.
    pub webhook: Option<NewJobWebhook>,
}

/// The same settings as the job carries them out, every `"auto"` resolved, with progress and result.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct JobExtension {
    /// The settings, resolved.
    pub adapter: Adapter,
    /// The optimizer; `learning_rate` is the peak rate in use.
    pub optimizer: Optimizer,
    /// The course of the learning rate.
    pub schedule: Schedule,
    /// The number format.
    #[schema(schema_with = crate::auto::precision)]
    pub precision: Auto<Precision>,
    /// How examples become rows.
    pub sequence: Sequence,
    /// How the effective batch is cut.
    pub batching: Batching,
    /// When checkpoints are written.
    pub checkpoint: Checkpointing,
    /// When the validation file is looked at.
    pub evaluation: Evaluation,
    /// When to stop early.
    pub early_stopping: Option<EarlyStopping>,
    /// Always null in this version.
    #[schema(value_type = Option<Object>)]
    pub data: Option<serde_json::Value>,
    /// Differential privacy, the noise chosen and the cost worked out; null where the job is not private.
    pub privacy: Option<JobPrivacy>,
    /// The stages and what is done against forgetting; null where the job trains one file from a base model.
    pub continual: Option<JobContinual>,
    /// What the job may use.
    pub resources: Resources,
    /// The endpoint that is told of this job's events; its secret is not shown.
    pub webhook: Option<JobWebhook>,
    /// How far the job is.
    pub progress: Progress,
    /// What came out, once the job has succeeded.
    pub result: Option<JobResult>,
    /// That what the job made was erased, with a file that it read; null where it was not.
    pub erased: Option<JobErasure>,
}

//! A dry run of a create request: what would be done, what is wrong, what it would take.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::extension::JobExtension;
use crate::file_privacy::PrivacyBudget;
use crate::id::FileId;
use crate::method::Method;

/// What a create request would come to. Nothing is stored of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Preflight {
    /// Always `fine_tuning.preflight`.
    #[schema(example = "fine_tuning.preflight")]
    pub object: String,
    /// Whether the job would be taken and get past `validating_files`.
    pub valid: bool,
    /// The base model, or the earlier result that the job goes on from.
    pub model: String,
    /// The seed that would be used; drawn anew each time where the request names none.
    pub seed: u64,
    /// The method, every `"auto"` resolved.
    pub method: Method,
    /// Trainyard's own settings, every `"auto"` resolved.
    pub trainyard: JobExtension,
    /// The files: training first.
    pub files: Vec<PreflightFile>,
    /// Optimizer steps; exact where `token_counts` is null, else an estimate from the number of lines.
    pub total_steps: u64,
    /// Tokens that would go through the model, all epochs together; null where they could not be counted.
    #[schema(required = true)]
    pub total_tokens: Option<u64>,
    /// Why tokens could not be counted; null where they were.
    #[schema(required = true)]
    pub token_counts: Option<String>,
    /// Whether it fits the memory.
    pub memory: MemoryFit,
    /// How long it would take; null where nothing is known to go by.
    #[schema(required = true)]
    pub time: Option<TimeEstimate>,
    /// Where it would stand in the queue.
    pub queue: QueuePlace,
    /// What consumers of the adapter would make of it.
    pub compatibility: Vec<Compatibility>,
    /// What a private job would cost; null where the job is not private.
    #[schema(required = true)]
    pub privacy: Option<PrivacyForecast>,
}

/// What a private job would cost its training file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct PrivacyForecast {
    /// Epsilon that earlier jobs on the same content spent.
    pub spent_before: f64,
    /// What may be spent in all; null where no budget was set.
    #[schema(required = true)]
    pub budget: Option<PrivacyBudget>,
    /// The budget's epsilon less what was spent; null where no budget was set.
    #[schema(required = true)]
    pub remaining: Option<f64>,
    /// Whether all steps of the job fit now: a job that does not fit is refused.
    pub fits: bool,
    /// The file's epsilon as the job goes on, in ten equal parts. By Rényi orders, so a little above what is charged by `prv`.
    pub forecast: Vec<PrivacyForecastPoint>,
    /// What the guarantee does not cover.
    pub not_covered: Vec<String>,
}

/// A point of a forecast.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct PrivacyForecastPoint {
    /// Steps of the job done by then.
    pub step: u64,
    /// Epsilon of everything up to there.
    pub epsilon: f64,
}

/// A file of the request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct PreflightFile {
    /// The field that names it: `training_file`, `validation_file`, or one of `trainyard.continual`.
    pub param: String,
    /// The file.
    pub id: FileId,
    /// The name it was uploaded under.
    pub filename: String,
    /// Lines, blank ones included.
    pub lines: u64,
    /// Lines that are examples.
    pub examples: u64,
    /// Blank lines, passed over.
    pub blank_lines: u64,
    /// Lines that cannot be trained on, the first 10000 of them with number and code.
    pub errors: Vec<BadLine>,
    /// Bad lines in all.
    pub error_count: u64,
    /// What would become of the rows, by name, such as `rows`, `target_tokens`, `truncated` and `rejected`. Null where tokens could not be counted.
    #[schema(required = true)]
    pub data_report: Option<BTreeMap<String, u64>>,
}

/// A line that cannot be trained on.
#[derive(
    Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, utoipa::ToSchema,
)]
pub struct BadLine {
    /// Its number, from 1.
    pub line: u64,
    /// Machine-readable, such as `invalid_json`.
    pub code: String,
    /// The place inside the line, such as `messages[1].role`; empty where it is the line itself.
    pub field: String,
    /// A sentence for people.
    pub message: String,
}

/// What the job needs of memory, estimated from above.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct MemoryFit {
    /// Whether the estimate is within the limit.
    pub fits: bool,
    /// Bytes in all.
    pub estimated_bytes: u64,
    /// Bytes that a job of the pool may use.
    pub limit_bytes: u64,
    /// The parts by name: weights, adapter, activations, loss, engine.
    pub parts: BTreeMap<String, u64>,
    /// The largest `trainyard.batching.micro_batch_size` that fits with the other settings as they are; null where none does.
    #[schema(required = true)]
    pub largest_micro_batch_size: Option<u32>,
}

/// How long the job would run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct TimeEstimate {
    /// Seconds of training, without the wait.
    pub seconds: f64,
    /// Tokens a second that this assumes.
    pub tokens_per_second: f64,
    /// What the rate is from: `earlier_jobs` of the tenant on the same model, or `measured_rate` of this machine's matrix products.
    pub basis: String,
}

/// Where the job would stand in the queue if it were made now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct QueuePlace {
    /// Its place, 1 being the next to run.
    pub position: u64,
    /// Why it would wait; null where a slot is free for it.
    #[schema(required = true)]
    pub waiting_reason: Option<String>,
    /// When it would likely start, in Unix seconds; null where that is not known.
    #[schema(required = true)]
    pub estimated_start_at: Option<i64>,
}

/// What a consumer of the adapter would make of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Compatibility {
    /// `peft`, `vllm` or `llama.cpp`.
    pub consumer: String,
    /// Whether it takes the adapter and applies it as it was trained.
    pub accepted: bool,
    /// What to set, or why it is refused.
    pub notes: Vec<String>,
}

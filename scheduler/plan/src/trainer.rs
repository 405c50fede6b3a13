//! What agent and trainer say to each other: a run specification as a file, NDJSON events on the trainer's standard
//! output, NDJSON commands on its standard input.
//!
//! The trainer holds no credentials and opens no socket, so this is all it ever hears and says.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use trainyard_openapi::extension::{ContinualProgress, ContinualResult, PrivacySpent};
use trainyard_openapi::preflight::BadLine;

use crate::plan::Plan;

/// The trainer's exit codes.
pub mod exit {
    /// The adapter is written and checked.
    pub const DONE: i32 = 0;
    /// A fault of the engine or of the machine.
    pub const INTERNAL: i32 = 1;
    /// The request or its data cannot be trained; a retry gives the same.
    pub const USER: i32 = 2;
    /// Stopped after a checkpoint, as asked; `EX_TEMPFAIL`.
    pub const STOPPED: i32 = 75;
    /// Cancelled, as asked.
    pub const CANCELLED: i32 = 130;
}

/// A run: the plan and where its files are.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RunSpec {
    /// What to do.
    pub plan: Plan,
    /// The base model: a Hugging Face directory or a GGUF file.
    pub model: PathBuf,
    /// The name of the base model, for the adapter's configuration and model card.
    pub model_name: String,
    /// The training data.
    pub training_file: PathBuf,
    /// The validation data.
    pub validation_file: Option<PathBuf>,
    /// The names that the user knows the two files by, for messages.
    pub training_file_name: String,
    /// The same for the validation data.
    pub validation_file_name: Option<String>,
    /// Rows of a micro-batch, where earlier attempts ran out of memory with the plan's. The effective batch stays the plan's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub micro_batch_size: Option<u32>,
    /// The files of the plan's stages, and of the result that it goes on from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub continual: Option<ContinualFiles>,
}

/// The files of a job with stages.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ContinualFiles {
    /// Those of each stage, in the order of the plan; the first one's are also the run's own.
    pub stages: Vec<StageFiles>,
    /// The general file.
    pub held_out: Option<NamedFile>,
    /// The directory with every artifact of the earlier result that the run goes on from.
    pub parent: Option<PathBuf>,
    /// Training and validation files of earlier jobs' stages that are still there, by SHA-256. What is not among them was deleted or
    /// erased: it is neither replayed nor measured.
    pub earlier: BTreeMap<String, NamedFile>,
}

/// The files of a stage.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StageFiles {
    /// What it trains on.
    pub training: NamedFile,
    /// What it is measured with; null only where a job without stages of its own has none.
    pub validation: Option<NamedFile>,
}

/// A file, and what the user calls it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NamedFile {
    /// Where it lies.
    pub path: PathBuf,
    /// Its name, for messages.
    pub name: String,
}

/// A word from agent to trainer.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "command")]
pub enum TrainerCommand {
    /// End at the next boundary; nothing is kept.
    Cancel,
    /// Write a checkpoint at the next step boundary, then end.
    Stop,
    /// Write a checkpoint at the next step boundary and go on.
    Checkpoint,
    /// The answer to [`TrainerEvent::Reserve`]: the steps up to `until` are charged and may run; none after them, where it is less than was
    /// asked for, since the budget holds no more.
    Reserved {
        /// The last step that may run, from 1.
        until: u64,
        /// What the job has spent with them.
        spent: PrivacySpent,
    },
}

/// A word from trainer to agent.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "event")]
pub enum TrainerEvent {
    /// The model is loaded and the data is read; training begins.
    Started(Started),
    /// A private run waits until the steps after `from`, up to `until`, are charged. Nothing of the data is touched before.
    Reserve {
        /// The step that this run began after.
        from: u64,
        /// The last step that it would take, from 1; never less than before.
        until: u64,
    },
    /// An optimizer step is done.
    Step(Step),
    /// The validation data was looked at.
    Evaluation(EvaluationReport),
    /// A stage begins.
    StageBegan(ContinualProgress),
    /// A stage is over: measured on all stages, and kept or rejected.
    StageEnded {
        /// Its name.
        name: String,
        /// Whether the adapter goes on with it.
        kept: bool,
        /// What the gate said.
        reason: Option<String>,
        /// All stages so far.
        result: ContinualResult,
    },
    /// A checkpoint is complete on disk.
    Checkpoint(CheckpointWritten),
    /// Work between steps goes on. Who hears nothing for long takes the trainer to be stuck.
    Working {
        /// At what.
        stage: Stage,
    },
    /// Memory ran out; the same step is done again with smaller micro-batches.
    MicroBatchReduced {
        /// The step, from 1; the step after which the validation data was looked at.
        step: u64,
        /// Rows of a micro-batch before.
        from: u32,
        /// Rows of a micro-batch from now on.
        to: u32,
        /// What the allocator said.
        reason: String,
    },
    /// Something worth telling the user.
    Log {
        /// `info`, `warn` or `error`.
        level: String,
        /// A sentence.
        message: String,
    },
    /// The adapter is complete on disk and passed its checks.
    Finished(Finished),
    /// The run ended as asked, with what is needed to go on.
    Stopped {
        /// The step of the last checkpoint.
        step: u64,
    },
    /// The run ended as asked; nothing is kept.
    Cancelled {
        /// Steps done.
        step: u64,
    },
    /// The run cannot go on.
    Failed {
        /// Machine-readable.
        code: String,
        /// For people.
        message: String,
        /// The field or place at fault.
        param: Option<String>,
        /// Whether it is the user's to mend, so that a retry is pointless.
        user: bool,
    },
}

/// What is done when no step is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    /// Reading data, model and checkpoint.
    Loading,
    /// Looking at the validation data.
    Evaluating,
    /// Writing a checkpoint.
    Saving,
    /// Checking and writing the adapter.
    Exporting,
}

/// What is known when training begins.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Started {
    /// `cpu` or `cuda`.
    pub device: String,
    /// Parameters of base and adapter.
    pub parameters: u64,
    /// Parameters that are trained.
    pub trainable_parameters: u64,
    /// Optimizer steps of the whole run.
    pub total_steps: u64,
    /// The step that the run goes on from, 0 for a new one.
    pub resumed_from_step: u64,
    /// Whether rows are packed.
    pub packing: bool,
    /// What happened to the rows of the training file, by name.
    pub data_report: BTreeMap<String, u64>,
    /// The same for the validation file.
    pub validation_report: Option<BTreeMap<String, u64>>,
    /// SHA-256 of the training file, in hexadecimal.
    pub training_data_sha256: String,
}

/// An optimizer step.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Step {
    /// Steps done, from 1.
    pub step: u64,
    /// Steps in all.
    pub total_steps: u64,
    /// Passes begun, as a fraction.
    pub epoch: f64,
    /// Loss of the step's batch; none of a private run, as it would tell of the batch without noise.
    pub train_loss: Option<f64>,
    /// Token accuracy of the same.
    pub train_mean_token_accuracy: Option<f64>,
    /// The rate used.
    pub learning_rate: f64,
    /// The gradient's norm before clipping; in a private run that of the noised gradient.
    pub grad_norm: f64,
    /// Tokens so far, padding not counted. In a private run what so many steps take on average.
    pub tokens: u64,
    /// Tokens with a target so far, counted in the same way.
    pub target_tokens: u64,
    /// Tokens a second over the last steps.
    pub tokens_per_second: f64,
    /// Seconds until the end, as the last steps tell.
    pub eta_seconds: f64,
    /// Seconds of training so far, earlier attempts included.
    pub training_seconds: f64,
    /// Bytes that libtorch holds of the accelerator's memory, what it keeps for reuse included; null on the processor.
    #[serde(default)]
    pub accelerator_memory_bytes: Option<u64>,
}

/// A look at the validation data.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct EvaluationReport {
    /// After this step; 0 is before the first.
    pub step: u64,
    /// The loss.
    pub valid_loss: f64,
    /// The token accuracy.
    pub valid_mean_token_accuracy: f64,
    /// The exponential of the loss.
    pub perplexity: f64,
    /// Whether it is the last one, of the adapter that is handed back.
    pub last: bool,
}

/// A complete checkpoint.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CheckpointWritten {
    /// The step.
    pub step: u64,
    /// Its directory, relative to the run's output directory.
    pub directory: PathBuf,
    /// SHA-256 of its manifest.
    pub manifest_sha256: String,
    /// The stage that it is the end of: such a checkpoint is kept, however many are written after it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stage: Option<String>,
    /// Loss of the last step.
    pub train_loss: Option<f64>,
    /// Token accuracy of the last step.
    pub train_mean_token_accuracy: Option<f64>,
    /// The last validation loss so far.
    pub valid_loss: Option<f64>,
    /// Token accuracy of the same.
    pub valid_mean_token_accuracy: Option<f64>,
}

/// A run that is done.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Finished {
    /// The adapter's directory, relative to the run's output directory.
    pub directory: PathBuf,
    /// SHA-256 of its manifest.
    pub manifest_sha256: String,
    /// SHA-256 of the weights that were trained: of `adapter_model.safetensors`, of a head `head.safetensors`, of all weights `model.safetensors`.
    pub adapter_sha256: String,
    /// Steps taken.
    pub steps: u64,
    /// Whether early stopping ended it.
    pub stopped_early: bool,
    /// Rows of a micro-batch at the end; null from an older trainer.
    #[serde(default)]
    pub micro_batch_size: Option<u32>,
    /// Mean training loss over the last epoch's steps.
    pub train_loss: Option<f64>,
    /// Validation loss before the first step.
    pub initial_valid_loss: Option<f64>,
    /// Validation loss of the adapter.
    pub valid_loss: Option<f64>,
    /// Validation token accuracy of the adapter.
    pub valid_mean_token_accuracy: Option<f64>,
    /// Tokens, padding not counted.
    pub tokens: u64,
    /// Tokens with a target.
    pub target_tokens: u64,
    /// Seconds of training over all attempts.
    pub training_seconds: f64,
    /// What a private run spent; null of any other.
    #[serde(default)]
    pub privacy: Option<PrivacySpent>,
    /// The mean over a private run's steps of signal over noise, in squared norms.
    #[serde(default)]
    pub signal_to_noise: Option<f64>,
    /// What came of the stages; null of a job without.
    #[serde(default)]
    pub continual: Option<ContinualResult>,
}

/// What the trainer finds in a run's files without training: the answer of `trainyard-trainer inspect`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Inspection {
    /// The training file.
    pub training: InspectedFile,
    /// The validation file.
    pub validation: Option<InspectedFile>,
    /// Whether rows would be packed.
    pub packing: bool,
    /// Optimizer steps of the whole run.
    pub total_steps: u64,
    /// Matrix products of this model's shape on this machine, in floating-point operations a second.
    pub matmul_flops_per_second: f64,
}

/// What is in a file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct InspectedFile {
    /// What would become of its rows, by name.
    pub report: BTreeMap<String, u64>,
    /// Lines that cannot be trained on, the first of them.
    pub errors: Vec<BadLine>,
    /// Such lines in all.
    pub error_count: u64,
}

/// The last file written into a checkpoint or an adapter directory: what belongs to it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// The optimizer step.
    pub step: u64,
    /// SHA-256 of the plan's JSON; a checkpoint of another plan is never resumed.
    pub plan_sha256: String,
    /// Every other file of the directory by name.
    pub files: BTreeMap<String, ManifestEntry>,
}

/// A file of a manifest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ManifestEntry {
    /// Size in bytes.
    pub bytes: u64,
    /// SHA-256 in hexadecimal.
    pub sha256: String,
}

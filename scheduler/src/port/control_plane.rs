//! What an executor may ask: the only door through which a run changes the record.
//!
//! An executor says every while that it is there ([`ControlPlane::enlist`]); the rest is about one claimed job each.
//! Every call after the claim carries the lease's epoch and nonce. A call with any other pair is answered
//! [`LeaseError::Fenced`]: the executor stops at once and uploads nothing more. Every call may be repeated.

use std::collections::BTreeMap;
use std::time::Duration;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use trainyard_openapi::checkpoint::CheckpointMetrics;
use trainyard_openapi::event::{EventKind, EventLevel};
use trainyard_openapi::extension::{JobResult, PrivacySpent, Progress};
use trainyard_openapi::id::{ExecutorId, FileId, JobId, Nonce, TenantId};
use trainyard_openapi::job::JobError;
use trainyard_plan::Plan;

use super::queue::Ticket;

/// Which run of which job is speaking.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeaseId {
    /// The job.
    pub job: JobId,
    /// Counts the claims of the job; never falls.
    pub epoch: u64,
    /// Random, of the executor's choosing: tells two runs apart even where the store forgot a claim.
    pub nonce: Nonce,
}

/// A claimed job: all that the executor needs to run it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Claim {
    /// The lease.
    pub lease: LeaseId,
    /// Whose job it is, for the log; none where the control plane is older.
    #[serde(default)]
    pub tenant: Option<TenantId>,
    /// How long it holds without a heartbeat, in seconds.
    pub lease_seconds: u64,
    /// What to do.
    pub plan: Plan,
    /// Rows of a micro-batch: the plan's, or fewer where earlier attempts ran out of memory.
    pub micro_batch_size: u32,
    /// The base model's name.
    pub model: String,
    /// The training file.
    pub training_file: InputFile,
    /// The validation file.
    pub validation_file: Option<InputFile>,
    /// The files of its stages, where the plan has any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub continual: Option<ContinualInputs>,
    /// The checkpoint to go on from.
    pub checkpoint: Option<CheckpointPointer>,
    /// Seconds of running time left of `max_runtime_seconds`.
    pub runtime_seconds_left: u64,
}

/// A file of the tenant.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct InputFile {
    /// The id.
    pub id: FileId,
    /// The name it was uploaded under, for messages.
    pub filename: String,
    /// Where it lies in the object store.
    pub key: String,
}

/// A complete checkpoint in the object store.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CheckpointPointer {
    /// The epoch that wrote it.
    pub epoch: u64,
    /// The optimizer step.
    pub step: u64,
    /// The prefix of its files; `{prefix}/manifest.json` names them all.
    pub prefix: String,
    /// SHA-256 of the manifest, in hexadecimal.
    pub manifest_sha256: String,
    /// The stage that it is the end of, if it is one's: such a checkpoint is kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stage: Option<String>,
}

/// The files of a job with stages.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ContinualInputs {
    /// Those of each stage, in the order of the plan.
    pub stages: Vec<StageInputs>,
    /// The general file.
    pub held_out: Option<InputFile>,
    /// The earlier result that the job goes on from.
    pub parent: Option<ParentInput>,
    /// Files of earlier jobs' stages that are still there and may be read, by SHA-256 of their content.
    pub earlier: BTreeMap<String, InputFile>,
}

/// The files of a stage.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StageInputs {
    /// What it trains on.
    pub training: InputFile,
    /// What it is measured with.
    pub validation: Option<InputFile>,
}

/// Where the files of an earlier result lie.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ParentInput {
    /// Their prefix; `{prefix}/manifest.json` names them all.
    pub prefix: String,
    /// SHA-256 of the manifest, in hexadecimal.
    pub manifest_sha256: String,
}

/// What an executor says of itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Presence {
    /// The pool whose tickets it takes.
    pub pool: String,
    /// Devices, each of which runs one job at a time.
    pub devices: u32,
    /// It takes no more tickets and ends once its runs have.
    pub draining: bool,
}

/// What the executor shall do next.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Directive {
    /// Go on.
    Continue,
    /// The owner cancelled: stop, keep nothing, call `release` with [`ReleaseReason::Cancelled`].
    Cancel,
    /// The owner paused: checkpoint, then release with [`ReleaseReason::Paused`].
    Pause,
    /// Another job goes first: checkpoint, then release with [`ReleaseReason::Preempted`].
    Preempt,
    /// The job has used up its running time: stop, then `fail` with code `max_runtime_exceeded`.
    TimeUp,
}

/// Why a run ends without a result.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ReleaseReason {
    /// As the owner asked.
    Cancelled,
    /// As the owner asked.
    Paused,
    /// For another job.
    Preempted,
    /// The executor shuts down; costs the job no attempt.
    Shutdown,
}

impl ReleaseReason {
    /// The word for it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Cancelled => "cancelled",
            Self::Paused => "paused",
            Self::Preempted => "preempted",
            Self::Shutdown => "shutdown",
        }
    }
}

/// Something to tell the owner.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NewEvent {
    /// How grave.
    pub level: EventLevel,
    /// Whether `data` has metrics.
    pub kind: EventKind,
    /// For people.
    pub message: String,
    /// The figures.
    pub data: serde_json::Map<String, serde_json::Value>,
}

/// What a run ended with.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Completion {
    /// The prefix of the adapter's files; its `manifest.json` names them all.
    pub prefix: String,
    /// SHA-256 of the manifest, in hexadecimal.
    pub manifest_sha256: String,
    /// The key of the result CSV, which lies under `prefix`.
    pub result_csv_key: String,
    /// Size of the result CSV in bytes.
    pub result_csv_bytes: u64,
    /// Tokens trained on.
    pub trained_tokens: u64,
    /// The figures.
    pub result: JobResult,
}

/// Steps of a private run that were charged.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct ReservedSteps {
    /// The last step that may run: less than was asked for where the file's budget or the job's limit holds no more, more where more was
    /// reserved before.
    pub until: u64,
    /// What the job has spent with them.
    pub spent: PrivacySpent,
}

/// Why the control plane did not do it.
#[derive(Debug, Clone, thiserror::Error)]
pub enum LeaseError {
    /// The ticket is used, stale or for a job that has ended: drop it.
    #[error("the ticket is stale")]
    Stale,
    /// Another run holds the job, or it has ended: stop at once.
    #[error("the lease is fenced")]
    Fenced,
    /// What was handed over does not hold together, such as a manifest under a foreign prefix.
    #[error("refused: {0}")]
    Refused(String),
    /// No definite answer; ask again.
    #[error("control plane unavailable: {0}")]
    Unavailable(String),
}

impl LeaseError {
    /// The word for it between processes.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Stale => "stale",
            Self::Fenced => "fenced",
            Self::Refused(_) => "refused",
            Self::Unavailable(_) => "unavailable",
        }
    }

    /// The error that `code` names; none where it names none. `detail` is what was refused, or why there is no answer.
    pub fn of_code(code: &str, detail: &str) -> Option<Self> {
        match code {
            "stale" => Some(Self::Stale),
            "fenced" => Some(Self::Fenced),
            "refused" => Some(Self::Refused(detail.to_string())),
            "unavailable" => Some(Self::Unavailable(detail.to_string())),
            _ => None,
        }
    }
}

/// The executor's side of the scheduler.
#[async_trait]
pub trait ControlPlane: Send + Sync {
    /// Says that the executor is there, every [`crate::executor::ENLIST_SECONDS`]. It counts for [`crate::executor::LIVING_MS`] after that by the
    /// store's clock, and no more once it said that it is draining.
    async fn enlist(&self, executor: &ExecutorId, presence: &Presence) -> Result<(), LeaseError>;

    /// Claims a dispatched job. The same nonce again gets the same answer.
    async fn claim(
        &self,
        ticket: &Ticket,
        executor: &ExecutorId,
        nonce: &Nonce,
    ) -> Result<Claim, LeaseError>;

    /// Keeps the lease and reports how far the run is.
    async fn heartbeat(
        &self,
        lease: &LeaseId,
        progress: &Progress,
    ) -> Result<Directive, LeaseError>;

    /// What the run shall do, as soon as it is anything but [`Directive::Continue`], or `Continue` after `wait`. Changes
    /// nothing: a lease is kept by heartbeats alone.
    async fn directive(&self, lease: &LeaseId, wait: Duration) -> Result<Directive, LeaseError>;

    /// Records how far the run is and appends events to the job's history, in order. `first` is how many events the run has reported
    /// before these: those that an earlier call brought, be it that its answer was lost, are not appended again.
    async fn report(
        &self,
        lease: &LeaseId,
        progress: &Progress,
        first: u64,
        events: Vec<NewEvent>,
    ) -> Result<(), LeaseError>;

    /// Moves the job's checkpoint pointer to files that are already durable. A lower step than the pointer's is refused.
    async fn checkpoint(
        &self,
        lease: &LeaseId,
        pointer: &CheckpointPointer,
        metrics: &CheckpointMetrics,
    ) -> Result<(), LeaseError>;

    /// Charges a private run for the steps after `from`, the step that it began after, up to `until`, before they run. `from` is the same in
    /// every call of a run. Where less is given than was asked for there will be no more, unless the owner raises the file's budget.
    async fn reserve_steps(
        &self,
        lease: &LeaseId,
        from: u64,
        until: u64,
    ) -> Result<ReservedSteps, LeaseError>;

    /// Says that a private run ended in order after `step`, and gives back what it had reserved beyond. A run that does not say so stays
    /// charged for all of it. Gives what the job has spent.
    async fn settle_steps(&self, lease: &LeaseId, step: u64) -> Result<PrivacySpent, LeaseError>;

    /// Ends the job with a result whose files are already durable.
    async fn complete(&self, lease: &LeaseId, completion: &Completion) -> Result<(), LeaseError>;

    /// Ends the attempt with an error. `retryable` errors (faults of engine or machine) are tried again while the job has
    /// attempts left; others end the job. Where memory ran out, the next attempt takes half the micro-batch, and costs nothing.
    async fn fail(
        &self,
        lease: &LeaseId,
        error: &JobError,
        retryable: bool,
    ) -> Result<(), LeaseError>;

    /// Gives the job back.
    async fn release(&self, lease: &LeaseId, reason: ReleaseReason) -> Result<(), LeaseError>;
}

//! The control plane's calls as they go between processes: paths and bodies, in JSON. The api answers them, the executor makes them.
//!
//! A request names its lease in the path, so that who asks is known before a body is read. A field that is not known is refused.

use serde::{Deserialize, Serialize};
use trainyard_openapi::checkpoint::CheckpointMetrics;
use trainyard_openapi::extension::{PrivacySpent, Progress};
use trainyard_openapi::id::{ExecutorId, Nonce};
use trainyard_openapi::job::JobError;

use super::control_plane::{CheckpointPointer, Claim, Directive, LeaseId, NewEvent, ReleaseReason};
use super::queue::Ticket;

/// What all paths begin with.
pub const ROOT: &str = "/internal/v1";
/// The path of a claim, below [`ROOT`].
pub const CLAIM: &str = "/leases/claim";
/// The pattern of an executor's own path, below [`ROOT`].
pub const EXECUTOR: &str = "/executors/{executor}";
/// The pattern of what the paths of calls about a lease begin with, below [`ROOT`].
pub const LEASE: &str = "/leases/{job}/{epoch}/{nonce}";
/// The longest that a call for a directive waits, in milliseconds.
pub const WAIT_MS_MAX: u64 = 30_000;
/// The code of the answer to a lease without its token, or with another's.
pub const UNKNOWN_LEASE: &str = "unknown_lease";

/// Where an executor enlists, below [`ROOT`].
pub fn executor_path(executor: &ExecutorId) -> String {
    format!("/executors/{executor}")
}

/// Where a call about a lease goes, below [`ROOT`].
pub fn lease_path(lease: &LeaseId, call: &str) -> String {
    let LeaseId { job, epoch, nonce } = lease;
    format!("/leases/{job}/{epoch}/{nonce}/{call}")
}

/// Asks for a job.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClaimCall {
    /// The ticket.
    pub ticket: Ticket,
    /// Who asks.
    pub executor: ExecutorId,
    /// Of the executor's choosing; a repeated call brings it again.
    pub nonce: Nonce,
}

/// The answer to a claim.
#[derive(Clone, Serialize, Deserialize)]
pub struct Claimed {
    /// The job.
    pub claim: Claim,
    /// What calls about this lease have to show.
    pub token: String,
}

/// Keeps a lease.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HeartbeatCall {
    /// How far the run is.
    pub progress: Progress,
}

/// Asks what to do.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DirectiveCall {
    /// How long the answer may wait for something new; at most [`WAIT_MS_MAX`].
    pub wait_ms: u64,
}

/// The answer to [`HeartbeatCall`] and [`DirectiveCall`].
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Directed {
    /// What to do.
    pub directive: Directive,
}

/// Adds to the job's history.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReportCall {
    /// How far the run is.
    pub progress: Progress,
    /// How many events of this run were reported before these.
    pub first: u64,
    /// What happened, in order.
    pub events: Vec<NewEvent>,
}

/// Moves the checkpoint pointer.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CheckpointCall {
    /// Where to.
    pub pointer: CheckpointPointer,
    /// The figures at that step.
    pub metrics: CheckpointMetrics,
}

/// Charges steps before they run; the answer is a [`super::control_plane::ReservedSteps`].
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReserveCall {
    /// The step that the run began after.
    pub from: u64,
    /// The last step that it would take.
    pub until: u64,
}

/// Ends a private run in order.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SettleCall {
    /// The last step that it took.
    pub step: u64,
}

/// The answer to [`SettleCall`].
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct Settled {
    /// What the job has spent.
    pub spent: PrivacySpent,
}

/// Ends an attempt with an error.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FailCall {
    /// What went wrong.
    pub error: JobError,
    /// Whether another attempt may go better.
    pub retryable: bool,
}

/// Gives the job back.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReleaseCall {
    /// Why.
    pub reason: ReleaseReason,
}

/// An answer that is an error.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Refusal {
    /// The error.
    pub error: RefusalDetail,
}

/// What an error says. There may be more in it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct RefusalDetail {
    /// For machines: [`super::control_plane::LeaseError::code`], [`UNKNOWN_LEASE`], or one of the API's.
    pub code: String,
    /// For people.
    pub message: String,
}

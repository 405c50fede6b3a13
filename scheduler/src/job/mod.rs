//! A job as the scheduler knows it. The record is data; only `state.rs` changes its state.

pub mod state;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use trainyard_openapi::erasure::JobErasure;
use trainyard_openapi::extension::Progress;
use trainyard_openapi::id::{FileId, JobId, TenantId};
use trainyard_openapi::webhook::JobWebhook;
use trainyard_plan::Plan;

use crate::port::control_plane::CheckpointPointer;
use crate::trace::TraceParent;
pub use state::JobState;

/// A job.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct JobRecord {
    /// The id.
    pub id: JobId,
    /// Whose it is.
    pub tenant: TenantId,
    /// Counts the changes of this record, from 1.
    pub rev: u64,
    /// When it was made, in Unix milliseconds.
    pub created_at_ms: i64,
    /// The base model's name.
    pub model: String,
    /// The training file.
    pub training_file: FileId,
    /// The validation file.
    pub validation_file: Option<FileId>,
    /// The suffix of the result's name.
    pub suffix: Option<String>,
    /// The client's pairs.
    pub metadata: Option<BTreeMap<String, String>>,
    /// The endpoint that hears of this job alone; its secret is kept apart.
    #[serde(default)]
    pub webhook: Option<JobWebhook>,
    /// What to do.
    pub plan: Plan,
    /// Where it stands.
    pub state: JobState,
    /// Counts the dispatches; a ticket of an older one is stale.
    pub seq: u64,
    /// Counts the claims; never falls.
    pub epoch: u64,
    /// Attempts that ended, by reason; each has a budget of its own.
    pub attempts: Attempts,
    /// The newest complete checkpoint.
    pub checkpoint: Option<CheckpointPointer>,
    /// How far it is.
    pub progress: Progress,
    /// Seconds that executors spent on it, from leases.
    pub running_seconds: f64,
    /// The trace that the create request belonged to.
    pub traceparent: Option<TraceParent>,
    /// That what it made was erased.
    #[serde(default)]
    pub erased: Option<JobErasure>,
}

impl JobRecord {
    /// Rows of a micro-batch in the next attempt: the plan's, halved each time that memory ran out.
    pub fn micro_batch_size(&self) -> u32 {
        let planned = self.plan.batching.micro_batch_size;
        planned.checked_shr(self.attempts.out_of_memory).unwrap_or(0).max(1)
    }
}

/// Attempts that ended without a result.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Attempts {
    /// The executor vanished.
    pub lost: u32,
    /// Another job went first.
    pub preempted: u32,
    /// The trainer failed for a reason that a retry may mend.
    pub failed: u32,
    /// Memory ran out, and the next attempt takes half the micro-batch.
    #[serde(default)]
    pub out_of_memory: u32,
}

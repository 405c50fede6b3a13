//! A job as the scheduler knows it. The record is data; only `state.rs` changes its state.

pub mod state;

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use trainyard_openapi::erasure::JobErasure;
use trainyard_openapi::extension::{NewStage, Progress};
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
    /// The earlier result that it goes on from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent: Option<ParentRecord>,
    /// The training file; of several stages that of the first.
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

/// An earlier result that a job goes on from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ParentRecord {
    /// Its name.
    pub model: String,
    /// The job that made it.
    pub job: JobId,
    /// The prefix of its files in the object store.
    pub prefix: String,
    /// SHA-256 of its manifest, in hexadecimal.
    pub manifest_sha256: String,
    /// Whether the data of any stage up to it was protected by differential privacy.
    pub private: bool,
}

/// A file that a job reads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JobInput<'a> {
    /// The field of the request that names it.
    pub param: String,
    /// Its id.
    pub id: &'a str,
    /// Whether the job trains on it.
    pub trained: bool,
    /// Whether the job measures with it.
    pub measured: bool,
}

impl JobRecord {
    /// The stages of a job that has any; a job that only goes on from an earlier result has one.
    pub fn stages(&self) -> &[NewStage] {
        self.plan.continual.as_ref().map(|plan| plan.stages.as_slice()).unwrap_or_default()
    }

    /// The files that it reads, each once: its own two first, then those of its stages in their order, then the held-out file.
    pub fn inputs(&self) -> Vec<JobInput<'_>> {
        let mut inputs: Vec<JobInput<'_>> = Vec::new();
        let mut add = |param: String, id, trained| match inputs.iter_mut().find(|one| one.id == id)
        {
            Some(there) if trained => there.trained = true,
            Some(there) => there.measured = true,
            None => inputs.push(JobInput { param, id, trained, measured: !trained }),
        };
        add("training_file".to_string(), self.training_file.as_str(), true);
        if let Some(id) = &self.validation_file {
            add("validation_file".to_string(), id.as_str(), false);
        }
        for (place, stage) in self.stages().iter().enumerate() {
            let param = |field: &str| format!("trainyard.continual.stages[{place}].{field}");
            add(param("training_file"), stage.training_file.as_str(), true);
            if let Some(id) = &stage.validation_file {
                add(param("validation_file"), id, false);
            }
        }
        if let Some(id) = self.plan.continual.as_ref().and_then(|plan| plan.held_out_file.as_ref())
        {
            add("trainyard.continual.held_out_file".to_string(), id, false);
        }
        inputs
    }

    /// What it is made of, by id: the files that it reads, and the job whose result it goes on from. None of it ever changes.
    pub fn sources(&self) -> BTreeSet<&str> {
        let files = self.inputs().into_iter().map(|input| input.id);
        files.chain(self.parent.as_ref().map(|parent| parent.job.as_str())).collect()
    }

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

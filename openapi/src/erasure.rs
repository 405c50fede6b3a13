//! What came of a file, and what is left when it is erased with all of that.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::id::{CheckpointId, ErasureId, FileId, JobId, TenantId};
use crate::job::JobStatus;

/// What came of a file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Lineage {
    /// The file.
    pub id: FileId,
    /// Always `file.lineage`.
    #[schema(example = "file.lineage")]
    pub object: String,
    /// SHA-256 of its content, in hexadecimal; null where the file was deleted before.
    #[schema(required = true)]
    pub sha256: Option<String>,
    /// Jobs that read it, newest first, the newest 1000 at most.
    pub jobs: Vec<LineageJob>,
    /// Models that those jobs made.
    pub models: Vec<LineageModel>,
    /// Their checkpoints.
    pub checkpoints: Vec<LineageCheckpoint>,
    /// Their result files.
    pub result_files: Vec<LineageFile>,
    /// Other files of the tenant with the same content: erasing this one leaves them.
    pub same_content: Vec<FileId>,
    /// Whether there are more jobs than are shown.
    pub has_more: bool,
}

/// A job that read the file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct LineageJob {
    /// The job.
    pub id: JobId,
    /// Its state.
    pub status: JobStatus,
    /// Whether it trained on the file.
    pub trained: bool,
    /// Whether it measured with the file.
    pub validated: bool,
    /// The erasure that took what it made, if one has.
    #[schema(required = true)]
    pub erasure_id: Option<ErasureId>,
}

/// A model that came of the file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct LineageModel {
    /// The name.
    pub id: String,
    /// The job that made it.
    pub job_id: JobId,
}

/// A checkpoint that came of the file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct LineageCheckpoint {
    /// The id.
    pub id: CheckpointId,
    /// Its name as a model.
    pub model: String,
    /// The job that wrote it.
    pub job_id: JobId,
}

/// A result file that came of the file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct LineageFile {
    /// The id.
    pub id: FileId,
    /// The job that made it.
    pub job_id: JobId,
}

/// The answer to the deletion of a file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct DeletedFile {
    /// The id of the file that is gone.
    pub id: FileId,
    /// Always `file`.
    #[schema(example = "file")]
    pub object: String,
    /// Always true.
    pub deleted: bool,
    /// What Trainyard says beyond OpenAI's contract.
    pub trainyard: FileDeletion,
}

/// What was made of a deleted file, and what became of that.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct FileDeletion {
    /// What was trained on the file or measured with it. Without `cascade` it is still there.
    pub trained: Trained,
    /// The receipt of the erasure; null without `cascade`.
    #[schema(required = true)]
    pub erasure: Option<ErasureReceipt>,
}

/// What came of a file, by name.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Trained {
    /// Jobs that read it.
    pub jobs: Vec<JobId>,
    /// Models that they made.
    pub models: Vec<String>,
    /// Their checkpoints, by their names as models.
    pub checkpoints: Vec<String>,
    /// Their result files.
    pub result_files: Vec<String>,
}

impl From<&Lineage> for Trained {
    fn from(lineage: &Lineage) -> Self {
        Self {
            jobs: lineage.jobs.iter().map(|job| job.id.clone()).collect(),
            models: lineage.models.iter().map(|model| model.id.clone()).collect(),
            checkpoints: lineage.checkpoints.iter().map(|one| one.model.clone()).collect(),
            result_files: lineage.result_files.iter().map(|file| file.id.to_string()).collect(),
        }
    }
}

impl From<&ErasureReceipt> for Trained {
    fn from(receipt: &ErasureReceipt) -> Self {
        let of = |kind: RemovedKind| -> Vec<String> {
            let removed = receipt.removed.iter().filter(|removed| removed.kind == kind);
            removed.filter_map(|removed| removed.id.clone()).collect()
        };
        let records = receipt.kept.iter().filter(|kept| kept.kind == KeptKind::JobRecord);
        Self {
            jobs: records.filter_map(|kept| kept.id.as_deref()?.parse().ok()).collect(),
            models: of(RemovedKind::Model),
            checkpoints: of(RemovedKind::Checkpoint),
            result_files: of(RemovedKind::ResultFile),
        }
    }
}

/// The answer to the deletion of a tenant.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct DeletedTenant {
    /// The id of the tenant that is gone.
    pub id: TenantId,
    /// Always `tenant`.
    #[schema(example = "tenant")]
    pub object: String,
    /// Always true.
    pub deleted: bool,
    /// The receipt; it is read again with the operator's key.
    pub erasure: ErasureReceipt,
}

/// What an erasure removed and what it kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct ErasureReceipt {
    /// The id; a repeat of the request has the same.
    pub id: ErasureId,
    /// Always `erasure.receipt`.
    #[schema(example = "erasure.receipt")]
    pub object: String,
    /// When it was asked for, in Unix seconds. From then on nobody can use what is erased.
    pub created_at: i64,
    /// When the last of it was gone, in Unix seconds.
    #[schema(required = true)]
    pub completed_at: Option<i64>,
    /// Whether it has come to its end. One that has not goes on by itself.
    pub status: ErasureStatus,
    /// What was to be erased.
    pub subject: ErasureSubject,
    /// How many of each kind were removed.
    pub counts: BTreeMap<String, u64>,
    /// Bytes of all objects that were removed.
    pub bytes: u64,
    /// Each thing that was removed.
    pub removed: Vec<Removed>,
    /// What was not removed, and why.
    pub kept: Vec<Kept>,
}

/// How far an erasure is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ErasureStatus {
    /// It goes on by itself, also after a crash.
    InProgress,
    /// All of it is gone.
    Completed,
}

/// What was to be erased.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct ErasureSubject {
    /// `file` or `tenant`.
    #[serde(rename = "type")]
    pub kind: String,
    /// Its id.
    pub id: String,
}

/// What kind of thing was removed.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, utoipa::ToSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum RemovedKind {
    /// An uploaded file.
    File,
    /// An upload and its parts.
    Upload,
    /// A fine-tuned model with its files.
    Model,
    /// A checkpoint with its files.
    Checkpoint,
    /// The result file of a job.
    ResultFile,
    /// Any other file of a run.
    Object,
    /// The events of a job: they may quote lines of the data.
    Events,
    /// The message of a job's error: it may quote a line of the data.
    ErrorMessage,
    /// An answer kept under an idempotency key.
    Answer,
    /// The record of a job.
    Job,
    /// An API key.
    Key,
    /// A webhook endpoint with its deliveries.
    Webhook,
}

impl RemovedKind {
    /// The word on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::File => "file",
            Self::Upload => "upload",
            Self::Model => "model",
            Self::Checkpoint => "checkpoint",
            Self::ResultFile => "result_file",
            Self::Object => "object",
            Self::Events => "events",
            Self::ErrorMessage => "error_message",
            Self::Answer => "answer",
            Self::Job => "job",
            Self::Key => "key",
            Self::Webhook => "webhook",
        }
    }
}

/// A thing that was removed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Removed {
    /// What it was.
    #[serde(rename = "type")]
    pub kind: RemovedKind,
    /// Its id, name or key, where it had one.
    #[schema(required = true)]
    pub id: Option<String>,
    /// The job that it belonged to.
    #[schema(required = true)]
    pub job_id: Option<JobId>,
    /// How many there were: objects, events, answers.
    pub count: u64,
    /// Size in bytes.
    pub bytes: u64,
    /// SHA-256 of what was removed, in hexadecimal: of a file's content, of the manifest of a model or checkpoint (which has the
    /// hash of each file), of the JSON lines of events. Null where nothing had content of its own.
    #[schema(required = true)]
    pub sha256: Option<String>,
}

/// What kind of thing was kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum KeptKind {
    /// A job as it is listed.
    JobRecord,
    /// Another file with the same content.
    SameContent,
    /// What was spent of the content's privacy.
    PrivacyLedger,
    /// The audit log.
    AuditLog,
    /// Sums of what was used.
    Usage,
    /// Backups.
    Backups,
    /// The server's log.
    ServerLog,
}

/// A thing that was kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Kept {
    /// What it is.
    #[serde(rename = "type")]
    pub kind: KeptKind,
    /// Its id, where it has one.
    #[schema(required = true)]
    pub id: Option<String>,
    /// Why, and what is in it.
    pub reason: String,
}

/// That what a job made was erased.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct JobErasure {
    /// The erasure.
    pub id: ErasureId,
    /// When, in Unix seconds.
    pub at: i64,
}

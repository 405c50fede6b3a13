//! Records as clients see them.

use trainyard_openapi::checkpoint::{CheckpointExtension, JobCheckpoint};
use trainyard_openapi::extension::Progress;
use trainyard_openapi::file::File;
use trainyard_openapi::job::{Job, JobStatus};

use crate::job::{JobRecord, JobState};
use crate::port::store::{CheckpointRecord, FileRecord};

/// Where a queued job stands, why it does not run, and when it likely will, in Unix seconds.
#[derive(Debug, Clone, Default)]
pub(super) struct Waiting {
    pub(super) position: Option<u64>,
    pub(super) reason: Option<String>,
    pub(super) starts_at: Option<i64>,
}

pub(super) fn file_of(record: &FileRecord) -> File {
    File {
        id: record.id.clone(),
        object: "file".to_string(),
        bytes: record.bytes,
        created_at: record.created_at_ms / 1000,
        expires_at: record.expires_at_ms.map(|at_ms| at_ms / 1000),
        filename: record.filename.clone(),
        purpose: record.purpose,
        status: "processed".to_string(),
        status_details: None,
    }
}

pub(super) fn job_of(record: &JobRecord, waiting: Waiting, now_ms: i64) -> Job {
    let status = record.state.status();
    let mut progress = Progress {
        queue_position: waiting.position,
        waiting_reason: waiting.reason,
        estimated_start_at: waiting.starts_at.map(|at| at.max(now_ms / 1000)),
        attempts: u32::try_from(record.epoch).unwrap_or(u32::MAX),
        ..record.progress.clone()
    };
    if status != JobStatus::Running {
        (progress.eta_seconds, progress.tokens_per_second) = (None, None);
    }
    let estimated_finish = progress.eta_seconds.map(|eta| now_ms / 1000 + eta.ceil() as i64);
    let mut job = Job {
        id: record.id.clone(),
        object: "fine_tuning.job".to_string(),
        created_at: record.created_at_ms / 1000,
        error: None,
        fine_tuned_model: None,
        finished_at: None,
        hyperparameters: record.plan.hyperparameters(),
        model: record.parent.as_ref().map_or(&record.model, |parent| &parent.model).clone(),
        organization_id: record.tenant.to_string(),
        result_files: Vec::new(),
        status,
        trained_tokens: None,
        training_file: record.training_file.clone(),
        validation_file: record.validation_file.clone(),
        seed: record.plan.seed,
        estimated_finish,
        method: record.plan.method(),
        metadata: record.metadata.clone(),
        integrations: Vec::new(),
        trainyard: record.plan.extension(progress, None),
    };
    job.trainyard.webhook.clone_from(&record.webhook);
    job.trainyard.erased.clone_from(&record.erased);
    match &record.state {
        JobState::Succeeded { at_ms, model, result_file, trained_tokens, result } => {
            job.finished_at = Some(at_ms / 1000);
            job.fine_tuned_model = Some(model.clone());
            job.result_files = vec![result_file.clone()];
            job.trained_tokens = Some(*trained_tokens);
            job.trainyard.result = Some((**result).clone());
        }
        JobState::Failed { at_ms, error } => {
            job.finished_at = Some(at_ms / 1000);
            job.error = Some(error.clone());
            job.trained_tokens = Some(record.progress.tokens);
        }
        JobState::Cancelled { at_ms } => {
            job.finished_at = Some(at_ms / 1000);
            job.trained_tokens = Some(record.progress.tokens);
        }
        JobState::Validating
        | JobState::Queued { .. }
        | JobState::Dispatched { .. }
        | JobState::Running { .. }
        | JobState::Paused { .. } => {}
    }
    job
}

pub(super) fn checkpoint_of(record: &CheckpointRecord, job: &JobRecord) -> JobCheckpoint {
    JobCheckpoint {
        id: record.id.clone(),
        object: "fine_tuning.job.checkpoint".to_string(),
        created_at: record.created_at_ms / 1000,
        fine_tuned_model_checkpoint: checkpoint_model_name(job, record.step),
        fine_tuning_job_id: record.job.clone(),
        step_number: record.step,
        metrics: record.metrics.clone(),
        trainyard: record.stage.clone().map(|stage| CheckpointExtension { stage }),
    }
}

/// `ft:{base}:{organization}:{suffix}:{id}`; the id is the job's, shortened, so that checkpoints of a running job have their name too.
pub(super) fn model_name(job: &JobRecord) -> String {
    let short = |text: &str, prefix: &str| {
        text.strip_prefix(prefix).unwrap_or(text).chars().take(12).collect::<String>()
    };
    let organization = short(job.tenant.as_str(), "org-");
    let id = short(job.id.as_str(), "ftjob-");
    format!("ft:{}:{organization}:{}:{id}", job.model, job.suffix.as_deref().unwrap_or_default())
}

pub(super) fn checkpoint_model_name(job: &JobRecord, step: u64) -> String {
    format!("{}:ckpt-step-{step}", model_name(job))
}

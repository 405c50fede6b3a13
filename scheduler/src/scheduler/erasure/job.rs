//! What a job made and what is told of it, erased. Its record stays.

use futures::StreamExt;
use sha2::{Digest, Sha256};
use trainyard_openapi::erasure::{JobErasure, Removed, RemovedKind};
use trainyard_openapi::event::EventLevel;
use trainyard_openapi::id::{FileId, JobId};
use trainyard_openapi::job::JobError;
use trainyard_openapi::job_error::JobErrorCode;
use trainyard_openapi::page::{Order, PageRequest};

use super::super::documents::json as as_internal;
use super::super::lease::charge;
use super::super::verify::MANIFEST;
use super::super::view::checkpoint_model_name;
use super::super::{Scheduler, message};
use crate::erasure::ErasureRecord;
use crate::error::{Result, SchedulerError};
use crate::job::state::Transition;
use crate::job::{JobRecord, JobState};
use crate::port::objects::ObjectError;

impl Scheduler {
    /// Ends a job that came to read the file, or to go on from a result of it, while it was being erased. No job did when the erasure began.
    pub(super) async fn end_reader(&self, job: &JobRecord, file: &FileId) -> Result<()> {
        if job.state.status().is_terminal() {
            return Ok(());
        }
        let input = job.inputs().into_iter().find(|input| input.id == file.as_str());
        let (code, param, what) = match (input, &job.parent) {
            (Some(input), _) if input.trained => {
                (JobErrorCode::InvalidTrainingFile, input.param, file.to_string())
            }
            (None, Some(parent)) => {
                (JobErrorCode::ModelNotFound, "model".to_string(), parent.model.clone())
            }
            (input, _) => {
                let param = input.map_or_else(|| "validation_file".to_string(), |one| one.param);
                (JobErrorCode::InvalidValidationFile, param, file.to_string())
            }
        };
        let text = format!("{param}: {what} was erased");
        let error = JobError { code, message: text.clone(), param: Some(param) };
        self.change(&job.id, |commit, now_ms| {
            if commit.job.state.status().is_terminal() {
                return Ok::<_, SchedulerError>(false);
            }
            charge(commit, now_ms);
            let fail = Transition::Fail { now_ms, error: error.clone() };
            commit.job.state = commit.job.state.clone().apply(fail)?;
            commit.events.push(message(now_ms, EventLevel::Error, text.clone())?);
            Ok(true)
        })
        .await?;
        Ok(())
    }

    /// Erases what a job that has ended made and what is told of it.
    pub(super) async fn erase_job(&self, erasure: &ErasureRecord, id: &JobId) -> Result<()> {
        let Some(job) = self.store().job_of_any_tenant(id).await? else { return Ok(()) };
        if job.erased.is_none() {
            let removed = self.inventory(&job).await?;
            self.note(&erasure.id, id.as_str(), removed).await?;
            // The records go first: a record without files would be worse than files without a record.
            self.change(id, |commit, now_ms| {
                if commit.job.erased.is_some() {
                    return Ok::<_, SchedulerError>(false);
                }
                commit.job.state = commit.job.state.clone().apply(Transition::Erase)?;
                commit.job.erased = Some(JobErasure { id: erasure.id.clone(), at: now_ms / 1000 });
                commit.job.checkpoint = None;
                commit.erases = true;
                let text = format!("What the job made was erased: {}", erasure.id);
                commit.events.push(message(now_ms, EventLevel::Info, text)?);
                Ok(true)
            })
            .await?;
        }
        self.clear_run_files(id).await
    }

    /// Removes all files of a job's runs, manifests first: what still has one is whole, wherever this ends.
    pub(super) async fn clear_run_files(&self, id: &JobId) -> Result<()> {
        let mut keys = self.objects().list(&format!("jobs/{id}")).await?;
        keys.sort_by_key(|key| !key.ends_with(&format!("/{MANIFEST}")));
        for key in keys {
            self.objects().delete(&key).await?;
        }
        Ok(())
    }

    /// All there is of a job besides its record.
    async fn inventory(&self, job: &JobRecord) -> Result<Vec<Removed>> {
        let mut keys = self.objects().list(&format!("jobs/{}", job.id)).await?;
        let mut removed = Vec::new();
        if let JobState::Succeeded { model, result_file, .. } = &job.state {
            if let Some(file) = self.store().file(&job.tenant, result_file).await? {
                // Its content is one of the model's files; it is counted once.
                keys.retain(|key| *key != file.key);
                removed.push(Removed {
                    kind: RemovedKind::ResultFile,
                    id: Some(file.id.to_string()),
                    job_id: Some(job.id.clone()),
                    count: 1,
                    bytes: file.bytes,
                    sha256: Some(file.sha256),
                });
            }
            if let Some(record) = self.store().model(&job.tenant, model).await? {
                let kind = RemovedKind::Model;
                removed
                    .push(self.directory(job, kind, &record.id, &record.prefix, &mut keys).await?);
            }
        }
        for checkpoint in self.store().all_checkpoints(&job.id).await? {
            let (kind, name) =
                (RemovedKind::Checkpoint, checkpoint_model_name(job, checkpoint.step));
            removed.push(self.directory(job, kind, &name, &checkpoint.prefix, &mut keys).await?);
        }
        for key in keys {
            removed.extend(self.stray(job, key).await?);
        }
        removed.extend(self.events_of(job).await?);
        if let JobState::Failed { error, .. } = &job.state {
            removed.push(Removed {
                kind: RemovedKind::ErrorMessage,
                id: None,
                job_id: Some(job.id.clone()),
                count: 1,
                bytes: error.message.len() as u64,
                sha256: Some(hex::encode(Sha256::digest(&error.message))),
            });
        }
        Ok(removed)
    }

    /// A model or checkpoint; its files are taken out of `keys`.
    async fn directory(
        &self,
        job: &JobRecord,
        kind: RemovedKind,
        name: &str,
        prefix: &str,
        keys: &mut Vec<String>,
    ) -> Result<Removed> {
        let below = format!("{prefix}/");
        let mut bytes = 0;
        for key in keys.iter().filter(|key| key.starts_with(&below)) {
            bytes += self.objects().size(key).await?;
        }
        keys.retain(|key| !key.starts_with(&below));
        let sha256 = match self.read_manifest(prefix).await {
            Ok(read) => Some(read.sha256),
            Err(SchedulerError::Object(ObjectError::NotFound(_))) => None,
            Err(error) => return Err(error),
        };
        let (id, job_id) = (Some(name.to_string()), Some(job.id.clone()));
        Ok(Removed { kind, id, job_id, count: 1, bytes, sha256 })
    }

    /// A file that no record names: a run that was given up left it.
    async fn stray(&self, job: &JobRecord, key: String) -> Result<Option<Removed>> {
        let (bytes, mut stream) = match self.objects().read(&key, None).await {
            Err(ObjectError::NotFound(_)) => return Ok(None),
            read => read?,
        };
        let mut hash = Sha256::new();
        while let Some(piece) = stream.next().await {
            hash.update(piece?);
        }
        Ok(Some(Removed {
            kind: RemovedKind::Object,
            id: Some(key),
            job_id: Some(job.id.clone()),
            count: 1,
            bytes,
            sha256: Some(hex::encode(hash.finalize())),
        }))
    }

    /// The job's events: their hash is of their JSON, a line each, oldest first.
    async fn events_of(&self, job: &JobRecord) -> Result<Option<Removed>> {
        let (mut count, mut bytes, mut hash) = (0, 0, Sha256::new());
        let mut page = PageRequest { after: None, limit: 1000, order: Order::Asc };
        loop {
            let (events, has_more) = self.store().events(&job.id, &page).await?;
            for event in &events {
                let line = serde_json::to_string(event).map_err(as_internal)? + "\n";
                hash.update(&line);
                bytes += line.len() as u64;
                count += 1;
            }
            page.after = events.last().map(|event| event.id.to_string());
            if !has_more {
                break;
            }
        }
        let sha256 = Some(hex::encode(hash.finalize()));
        let (kind, job_id) = (RemovedKind::Events, Some(job.id.clone()));
        Ok((count > 0).then_some(Removed { kind, id: None, job_id, count, bytes, sha256 }))
    }
}

//! Base models, results, and the files that results and checkpoints are made of.

use bytes::Bytes;
use futures::stream::BoxStream;
use serde_json::json;
use trainyard_openapi::error::{ApiError, ErrorCode};
use trainyard_openapi::file::Deleted;
use trainyard_openapi::id::JobId;
use trainyard_openapi::limits::PAGE_LIMIT_MAX;
use trainyard_openapi::model::{Artifact, Model};
use trainyard_openapi::page::{Order, Page, PageRequest};

use super::Scheduler;
use super::verify::MANIFEST;
use super::view::{checkpoint_model_name, model_name};
use crate::base_model::BaseModel;
use crate::error::Result;
use crate::job::JobRecord;
use crate::port::document::Change;
use crate::port::objects::ObjectError;
use crate::port::store::{CheckpointRecord, JobFilter, ModelRecord};
use crate::tenant::TenantContext;

/// What a model's name ends in where it is a checkpoint.
const CHECKPOINT_MARK: &str = ":ckpt-step-";

impl Scheduler {
    /// Base models, then the tenant's own, newest first.
    ///
    /// # Errors
    /// Where the store does not answer.
    pub async fn models(&self, ctx: &TenantContext) -> Result<Page<Model>> {
        let mut models: Vec<Model> = self.models_dir().list()?.iter().map(base).collect();
        models.extend(self.store().models(ctx.tenant()).await?.iter().map(own));
        Ok(Page::new(models, false, |model: &Model| model.id.clone()))
    }

    /// A model.
    ///
    /// # Errors
    /// `model_not_found`.
    pub async fn model(&self, ctx: &TenantContext, name: &str) -> Result<Model> {
        if let Some(record) = self.store().model(ctx.tenant(), name).await? {
            return Ok(own(&record));
        }
        match self.models_dir().get(name) {
            Some(model) => Ok(base(&model)),
            None => Err(not_found(name).into()),
        }
    }

    /// Deletes a result, or a checkpoint of a job that has ended, with its files. Base models are the operator's and stay.
    ///
    /// # Errors
    /// `model_not_found`; `insufficient_scope` for a base model; `in_use` for a checkpoint of a job that has not ended.
    pub async fn delete_model(&self, ctx: &TenantContext, name: &str) -> Result<Deleted> {
        let now_ms = self.store().now_ms().await?;
        let entry = Self::audited(ctx, now_ms, "model.deleted", name, json!({}));
        let job = if let Some(record) = self.store().model(ctx.tenant(), name).await? {
            self.check_not_gone_on_from(ctx, &record.job, name).await?;
            self.store().delete_model(ctx.tenant(), name, &Change::audited(entry)).await?;
            record.job
        } else if let Some((job, checkpoint)) = self.checkpoint_named(ctx, name).await? {
            if !job.state.status().is_terminal() {
                let text = format!("'{name}' belongs to a job that has not ended");
                return Err(ApiError::new(ErrorCode::InUse, text).into());
            }
            self.check_not_gone_on_from(ctx, &job.id, name).await?;
            self.store().delete_checkpoint(&job.id, &checkpoint.id).await?;
            self.store().apply(&Change::audited(entry)).await?;
            job.id
        } else if self.models_dir().get(name).is_some() {
            let text = format!("'{name}' is a base model; only fine-tuned models can be deleted");
            return Err(ApiError::new(ErrorCode::InsufficientScope, text).into());
        } else {
            return Err(not_found(name).into());
        };
        self.collect(&job).await;
        Ok(Deleted { id: name.to_string(), object: "model".to_string(), deleted: true })
    }

    /// Refuses to take away what a job that has not ended begins with.
    async fn check_not_gone_on_from(
        &self,
        ctx: &TenantContext,
        job: &JobId,
        name: &str,
    ) -> Result<()> {
        let live = self.live_children(ctx.tenant(), job).await?;
        let by = |child: &&JobRecord| child.parent.as_ref().is_some_and(|from| from.model == name);
        match live.iter().find(by) {
            None => Ok(()),
            Some(child) => {
                let text = format!("job {}, which has not ended, goes on from '{name}'", child.id);
                Err(ApiError::new(ErrorCode::InUse, text).into())
            }
        }
    }

    /// The files of a result or checkpoint.
    ///
    /// # Errors
    /// `model_not_found`.
    pub async fn artifacts(&self, ctx: &TenantContext, name: &str) -> Result<Page<Artifact>> {
        let prefix = self.prefix_of(ctx, name).await?;
        let artifacts = self.artifacts_under(&prefix).await?;
        Ok(Page::new(artifacts, false, |artifact: &Artifact| artifact.name.clone()))
    }

    /// A file of a result or checkpoint, with its content.
    ///
    /// # Errors
    /// `model_not_found`, `not_found`.
    pub async fn artifact(
        &self,
        ctx: &TenantContext,
        model: &str,
        name: &str,
    ) -> Result<(Artifact, BoxStream<'static, Result<Bytes, ObjectError>>)> {
        let (key, artifact) = self.artifact_of(ctx, model, name).await?;
        let (_, stream) = self.objects().read(&key, None).await?;
        Ok((artifact, stream))
    }

    /// A file of a result or checkpoint and the key of its object.
    pub(super) async fn artifact_of(
        &self,
        ctx: &TenantContext,
        model: &str,
        name: &str,
    ) -> Result<(String, Artifact)> {
        let prefix = self.prefix_of(ctx, model).await?;
        // Only what the manifest names is served: a name is never a path.
        let found =
            self.artifacts_under(&prefix).await?.into_iter().find(|artifact| artifact.name == name);
        let Some(artifact) = found else {
            let shown: String = name.chars().take(80).collect();
            return Err(ApiError::new(
                ErrorCode::NotFound,
                format!("the model has no file '{shown}'"),
            )
            .into());
        };
        Ok((format!("{prefix}/{name}"), artifact))
    }

    async fn artifacts_under(&self, prefix: &str) -> Result<Vec<Artifact>> {
        let manifest = self.read_manifest(prefix).await?;
        let mut artifacts = vec![artifact(MANIFEST, manifest.bytes, &manifest.sha256)];
        artifacts.extend(
            manifest
                .manifest
                .files
                .iter()
                .map(|(name, entry)| artifact(name, entry.bytes, &entry.sha256)),
        );
        artifacts.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(artifacts)
    }

    /// Where the files of a result or checkpoint of the tenant lie.
    async fn prefix_of(&self, ctx: &TenantContext, name: &str) -> Result<String> {
        if let Some(record) = self.store().model(ctx.tenant(), name).await? {
            return Ok(record.prefix);
        }
        if let Some((_, checkpoint)) = self.checkpoint_named(ctx, name).await? {
            return Ok(checkpoint.prefix);
        }
        if self.models_dir().get(name).is_some() {
            let text = format!("'{name}' is a base model; its files are the operator's");
            return Err(ApiError::new(ErrorCode::NotFound, text).into());
        }
        Err(not_found(name).into())
    }

    /// The tenant's checkpoint that bears `name`, with its job.
    pub(super) async fn checkpoint_named(
        &self,
        ctx: &TenantContext,
        name: &str,
    ) -> Result<Option<(JobRecord, CheckpointRecord)>> {
        if !name.contains(CHECKPOINT_MARK) {
            return Ok(None);
        }
        let Some(job) = self.job_behind(ctx, name).await? else { return Ok(None) };
        let checkpoints = self.store().all_checkpoints(&job.id).await?;
        // A step that was written anew stands last.
        let mut newest_first = checkpoints.into_iter().rev();
        let found = newest_first.find(|one| checkpoint_model_name(&job, one.step) == name);
        Ok(found.map(|checkpoint| (job, checkpoint)))
    }

    /// The tenant's job whose result or checkpoint would bear `name`, whether there is one or not.
    pub(super) async fn job_behind(
        &self,
        ctx: &TenantContext,
        name: &str,
    ) -> Result<Option<JobRecord>> {
        let model = name.split_once(CHECKPOINT_MARK).map_or(name, |(model, _)| model);
        // A name holds the first half of its job's id; the whole name decides.
        let short = model.rsplit(':').next().unwrap_or_default();
        let start = format!("{}{short}", JobId::PREFIX);
        let mut page = PageRequest { after: None, limit: PAGE_LIMIT_MAX, order: Order::Desc };
        loop {
            let (jobs, has_more) =
                self.store().jobs(ctx.tenant(), &JobFilter::default(), &page).await?;
            page.after = jobs.last().map(|job| job.id.to_string());
            let meant =
                |job: &JobRecord| job.id.as_str().starts_with(&start) && model_name(job) == model;
            match jobs.into_iter().find(meant) {
                Some(job) => return Ok(Some(job)),
                None if !has_more => return Ok(None),
                None => {}
            }
        }
    }
}

fn base(model: &BaseModel) -> Model {
    Model {
        id: model.name.clone(),
        object: "model".to_string(),
        created: model.created,
        owned_by: "system".to_string(),
    }
}

fn own(record: &ModelRecord) -> Model {
    Model {
        id: record.id.clone(),
        object: "model".to_string(),
        created: record.created_at_ms / 1000,
        owned_by: record.tenant.to_string(),
    }
}

fn artifact(name: &str, bytes: u64, sha256: &str) -> Artifact {
    Artifact {
        name: name.to_string(),
        object: "model.artifact".to_string(),
        bytes,
        sha256: sha256.to_string(),
    }
}

pub(super) fn not_found(name: &str) -> ApiError {
    let name: String = name.chars().take(160).collect();
    ApiError::field(ErrorCode::ModelNotFound, "model", format!("The model '{name}' does not exist"))
}

//! What a job's model is: a base model, or an earlier result of the tenant, which the job goes on from.

use futures::StreamExt;
use serde::Deserialize;
use trainyard_openapi::error::{ApiError, ErrorCode};
use trainyard_openapi::extension::Strategy;
use trainyard_openapi::id::TenantId;
use trainyard_openapi::limits::STAGES_MAX;
use trainyard_plan::{AdapterPlan, ContinualPlan, LoraPlan, ModelFacts, ParentFacts};

use super::Scheduler;
use super::models::not_found;
use crate::error::{Result, SchedulerError};
use crate::job::{JobRecord, JobState, ParentRecord};
use crate::port::store::CheckpointRecord;
use crate::tenant::TenantContext;

/// What the name of every result begins with.
const RESULT_MARK: &str = "ft:";
/// PEFT's configuration of an adapter.
const ADAPTER_CONFIG: &str = "adapter_config.json";
/// Its largest size in bytes: a list of layers is a few kilobytes.
const ADAPTER_CONFIG_BYTES_MAX: u64 = 1 << 20;

/// What a job begins with.
pub(super) struct Origin {
    /// The base model's name.
    pub(super) base: String,
    /// What is known of the base model.
    pub(super) facts: ModelFacts,
    /// The earlier result.
    pub(super) parent: Option<(ParentRecord, ParentFacts)>,
}

/// The parts of `adapter_config.json` that settle the adapter's shape.
#[derive(Deserialize)]
struct AdapterConfig {
    r: u32,
    lora_alpha: f64,
    #[serde(default)]
    use_rslora: bool,
}

impl Scheduler {
    /// What `name` stands for in a create request.
    pub(super) async fn origin(&self, ctx: &TenantContext, name: &str) -> Result<Origin> {
        if !name.starts_with(RESULT_MARK) {
            let facts = self.models_dir().facts(name)?.ok_or_else(|| no_model(name))?;
            return Ok(Origin { base: name.to_string(), facts, parent: None });
        }
        let (job, prefix, checkpoint) = self.result_named(ctx, name).await?;
        let facts = self.models_dir().facts(&job.model)?.ok_or_else(|| {
            let base = &job.model;
            refused(format!("its base model '{base}' is not on this server any more"))
        })?;
        let read = self.read_manifest(&prefix).await?;
        let adapter = match &job.plan.adapter {
            AdapterPlan::Lora(lora) => {
                if !read.manifest.files.contains_key(ADAPTER_CONFIG) {
                    return Err(refused(format!("'{name}' has no {ADAPTER_CONFIG}")).into());
                }
                let config = self.adapter_config(&prefix).await?;
                AdapterPlan::Lora(LoraPlan {
                    rank: config.r,
                    alpha: config.lora_alpha,
                    rslora: config.use_rslora,
                    ..lora.clone()
                })
            }
            // The plan says whether such a result can be gone on from.
            other => other.clone(),
        };
        let stages = self.stages_before(&job, checkpoint.as_ref()).await?;
        let private =
            job.plan.privacy.is_some() || job.parent.as_ref().is_some_and(|parent| parent.private);
        let (model, manifest_sha256) = (name.to_string(), read.sha256);
        let known = ParentFacts {
            model: model.clone(),
            manifest_sha256: manifest_sha256.clone(),
            stages,
            adapter,
            private,
        };
        let record = ParentRecord { model, job: job.id, prefix, manifest_sha256, private };
        Ok(Origin { base: job.model, facts, parent: Some((record, known)) })
    }

    /// A result or checkpoint of the tenant: the job that made it, where it lies, and its record where it is a checkpoint.
    async fn result_named(
        &self,
        ctx: &TenantContext,
        name: &str,
    ) -> Result<(JobRecord, String, Option<CheckpointRecord>)> {
        if let Some(model) = self.store().model(ctx.tenant(), name).await? {
            let job = self.store().job(ctx.tenant(), &model.job).await?;
            return Ok((job.ok_or_else(|| no_model(name))?, model.prefix, None));
        }
        if let Some((job, checkpoint)) = self.checkpoint_named(ctx, name).await? {
            let prefix = checkpoint.prefix.clone();
            return Ok((job, prefix, Some(checkpoint)));
        }
        // A job stays where what it made is gone.
        let Some(job) = self.job_behind(ctx, name).await? else {
            return Err(no_model(name).into());
        };
        let (status, id) = (job.state.status(), &job.id);
        let what = match (&job.erased, status.is_terminal()) {
            (Some(erased), _) => format!("was erased with a file that it came of ({})", erased.id),
            (None, true) if matches!(job.state, JobState::Succeeded { .. }) => {
                "was deleted".to_string()
            }
            (None, _) => format!("is not there: its job {id} is {}", status.as_str()),
        };
        let text = format!("The model '{}' {what}", shown(name));
        Err(ApiError::field(ErrorCode::ModelNotFound, "model", text).into())
    }

    /// The names of the stages that a result or checkpoint went through, in the order of training.
    async fn stages_before(
        &self,
        job: &JobRecord,
        checkpoint: Option<&CheckpointRecord>,
    ) -> Result<Vec<String>> {
        let Some(plan) = &job.plan.continual else { return Ok(vec!["stage-1".to_string()]) };
        let mut names =
            plan.parent.as_ref().map(|parent| parent.stages.clone()).unwrap_or_default();
        let own = || plan.stages.iter().map(|stage| stage.name.clone());
        match (checkpoint, &job.state) {
            (None, JobState::Succeeded { result, .. }) => {
                let ended = result.continual.as_ref().map(|ended| &ended.stages);
                match ended.filter(|ended| !ended.is_empty()) {
                    Some(ended) => {
                        names = ended.iter().map(|stage| stage.name.clone()).collect();
                    }
                    None => names.extend(own()),
                }
            }
            (Some(checkpoint), _) if in_turn(plan) => {
                if checkpoint.stage.is_none() {
                    let text = format!(
                        "its step {} lies inside a stage: go on from a checkpoint that is the end of one",
                        checkpoint.step
                    );
                    return Err(refused(text).into());
                }
                let all = self.store().all_checkpoints(&job.id).await?;
                let mut ends: Vec<&CheckpointRecord> = all
                    .iter()
                    .filter(|one| one.stage.is_some() && one.step <= checkpoint.step)
                    .collect();
                ends.sort_by_key(|end| end.step);
                for name in ends.into_iter().filter_map(|end| end.stage.clone()) {
                    if !names.contains(&name) {
                        names.push(name);
                    }
                }
            }
            _ => names.extend(own()),
        }
        Ok(names)
    }

    /// The jobs whose results a job goes on from, the nearest first.
    pub(super) async fn ancestors(&self, job: &JobRecord) -> Result<Vec<JobRecord>> {
        self.ancestors_from(job.parent.as_ref(), &job.tenant).await
    }

    pub(super) async fn ancestors_from(
        &self,
        parent: Option<&ParentRecord>,
        tenant: &TenantId,
    ) -> Result<Vec<JobRecord>> {
        let (mut all, mut next) = (Vec::new(), parent.map(|parent| parent.job.clone()));
        while let Some(id) = next.filter(|_| all.len() <= STAGES_MAX) {
            let Some(job) = self.store().job(tenant, &id).await? else { break };
            next = job.parent.as_ref().map(|parent| parent.job.clone());
            all.push(job);
        }
        Ok(all)
    }

    async fn adapter_config(&self, prefix: &str) -> Result<AdapterConfig> {
        let key = format!("{prefix}/{ADAPTER_CONFIG}");
        let (bytes, mut stream) = self.objects().read(&key, None).await?;
        if bytes > ADAPTER_CONFIG_BYTES_MAX {
            return Err(SchedulerError::Internal(format!("'{key}' has {bytes} bytes")));
        }
        let mut json = Vec::with_capacity(bytes as usize);
        while let Some(piece) = stream.next().await {
            json.extend_from_slice(&piece?);
        }
        serde_json::from_slice(&json)
            .map_err(|error| SchedulerError::Internal(format!("'{key}': {error}")))
    }
}

/// Whether stages are trained one after the other, so that a checkpoint can lie inside one of several.
fn in_turn(plan: &ContinualPlan) -> bool {
    let joint = plan.strategies.iter().any(|strategy| matches!(strategy, Strategy::Joint(_)));
    plan.stages.len() > 1 && !joint
}

fn shown(name: &str) -> String {
    name.chars().take(160).collect()
}

fn no_model(name: &str) -> ApiError {
    let mut error = not_found(name);
    error.message += "; GET /v1/models lists those that do";
    error
}

fn refused(what: String) -> ApiError {
    ApiError::field(ErrorCode::InvalidValue, "model", format!("invalid value for 'model': {what}"))
}

//! The files of a job's stages: which may be read, and which an executor is given.

use std::collections::BTreeMap;

use trainyard_openapi::error::{ApiError, ErrorCode};
use trainyard_openapi::job::CreateJob;
use trainyard_openapi::limits::STAGES_MAX;
use trainyard_plan::ParentFacts;

use super::Scheduler;
use crate::error::Result;
use crate::job::{JobRecord, ParentRecord};
use crate::port::control_plane::{
    ContinualInputs, InputFile, LeaseError, ParentInput, StageInputs,
};
use crate::port::store::FileRecord;
use crate::tenant::TenantContext;

/// The field that names the general file.
const HELD_OUT: &str = "trainyard.continual.held_out_file";

impl Scheduler {
    /// Looks at the files of a request's stages as at those of a job without any, and gives the lines of each training file.
    pub(super) async fn check_stage_files(
        &self,
        ctx: &TenantContext,
        request: &CreateJob,
        private: bool,
        parent: Option<&(ParentRecord, ParentFacts)>,
    ) -> Result<Vec<u64>> {
        let extension = request.trainyard.as_ref();
        let Some(continual) = extension.and_then(|extension| extension.continual.as_ref()) else {
            return Ok(Vec::new());
        };
        let mut trained: Vec<(String, FileRecord)> = Vec::new();
        // More are refused with the plan, whatever their files are.
        for (place, stage) in continual.stages.iter().flatten().take(STAGES_MAX).enumerate() {
            let params = ["training_file", "validation_file"]
                .map(|field| format!("trainyard.continual.stages[{place}].{field}"));
            let training = self.input(ctx, &params[0], &stage.training_file).await?;
            let validation = match &stage.validation_file {
                Some(id) => Some(self.input(ctx, &params[1], id).await?),
                None => None,
            };
            self.check_privacy_of_files(private, &params, &training, validation.as_ref()).await?;
            trained.push((stage.name.clone(), training));
        }
        let lines = trained.iter().map(|(_, file)| file.lines).collect();
        let Some(id) = &continual.held_out_file else { return Ok(lines) };
        let held_out = self.input(ctx, HELD_OUT, id).await?;
        if self.has_budget(&held_out).await? {
            let text = "this file has a privacy budget, and losses on it are told without noise";
            return Err(unfit(text.to_string()).into());
        }
        if let Some((name, _)) = trained.iter().find(|(_, file)| file.sha256 == held_out.sha256) {
            let text = format!("it has the content that stage '{name}' trains on");
            return Err(unfit(text).into());
        }
        let parent = parent.map(|(parent, _)| parent);
        for job in self.ancestors_from(parent, ctx.tenant()).await? {
            if job.inputs().iter().any(|input| input.trained && input.id == held_out.id.as_str()) {
                let text = format!("job {}, which the model comes of, trained on it", job.id);
                return Err(unfit(text).into());
            }
        }
        Ok(lines)
    }

    /// What an executor needs of a job's stages.
    pub(super) async fn continual_inputs(
        &self,
        job: &JobRecord,
    ) -> Result<Option<ContinualInputs>, LeaseError> {
        let Some(plan) = &job.plan.continual else { return Ok(None) };
        let mut stages = Vec::new();
        for stage in &plan.stages {
            let training = self.input_named(job, &stage.training_file).await?;
            let validation = match &stage.validation_file {
                Some(id) => Some(self.input_named(job, id).await?),
                None => None,
            };
            stages.push(StageInputs { training, validation });
        }
        let held_out = match &plan.held_out_file {
            Some(id) => Some(self.input_named(job, id).await?),
            None => None,
        };
        let parent = job.parent.as_ref().map(|parent| ParentInput {
            prefix: parent.prefix.clone(),
            manifest_sha256: parent.manifest_sha256.clone(),
        });
        let unavailable = |error: crate::error::SchedulerError| {
            LeaseError::Unavailable(format!("the files of earlier stages: {error}"))
        };
        let earlier = self.earlier_files(job).await.map_err(unavailable)?;
        Ok(Some(ContinualInputs { stages, held_out, parent, earlier }))
    }

    /// Files of the stages before a job's own that are still there, by the hash of their content. What differential privacy protects is not
    /// among them: nothing would account for reading it again.
    async fn earlier_files(&self, job: &JobRecord) -> Result<BTreeMap<String, InputFile>> {
        let mut earlier = BTreeMap::new();
        for before in self.ancestors(job).await? {
            let private = before.plan.privacy.is_some();
            for input in before.inputs().iter().filter(|input| !(private && input.trained)) {
                let Ok(id) = input.id.parse() else { continue };
                let Some(file) = self.store().file(&job.tenant, &id).await? else { continue };
                if !self.has_budget(&file).await? {
                    let FileRecord { id, filename, key, sha256, .. } = file;
                    earlier.insert(sha256, InputFile { id, filename, key });
                }
            }
        }
        Ok(earlier)
    }

    async fn input_named(&self, job: &JobRecord, id: &str) -> Result<InputFile, LeaseError> {
        let id = id.parse().map_err(|_| {
            LeaseError::Unavailable(format!("'{id}' in the plan of job {} is no file", job.id))
        })?;
        self.input_of(job, &id).await
    }
}

fn unfit(why: String) -> ApiError {
    ApiError::field(ErrorCode::InvalidFile, HELD_OUT, format!("invalid {HELD_OUT}: {why}"))
}

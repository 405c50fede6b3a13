//! What came of a file: jobs, and what those made.

use trainyard_openapi::erasure::{
    Lineage, LineageCheckpoint, LineageFile, LineageJob, LineageModel,
};
use trainyard_openapi::id::{FileId, TenantId};
use trainyard_openapi::limits::PAGE_LIMIT_MAX;
use trainyard_openapi::page::{Order, PageRequest};

use super::Scheduler;
use super::files::not_found;
use super::view::checkpoint_model_name;
use crate::error::Result;
use crate::job::{JobRecord, JobState};
use crate::port::store::{JobFilter, Slice};
use crate::tenant::TenantContext;

impl Scheduler {
    /// What came of a file. That of a deleted file can still be asked for.
    ///
    /// # Errors
    /// `file_not_found` where there is no such file and no job that read it.
    pub async fn lineage(&self, ctx: &TenantContext, id: &FileId) -> Result<Lineage> {
        let file = self.store().file(ctx.tenant(), id).await?;
        let page = PageRequest { after: None, limit: PAGE_LIMIT_MAX, order: Order::Desc };
        let (jobs, has_more) = self.readers_of(ctx.tenant(), id, &page).await?;
        if file.is_none() && jobs.is_empty() {
            return Err(not_found(id).into());
        }
        let sha256 = file.map(|file| file.sha256);
        let mut same_content = Vec::new();
        if let Some(sha256) = &sha256 {
            let same = self.store().files_of_content(ctx.tenant(), sha256).await?;
            same_content =
                same.into_iter().map(|file| file.id).filter(|other| other != id).collect();
        }
        let mut lineage = Lineage {
            id: id.clone(),
            object: "file.lineage".to_string(),
            sha256,
            jobs: jobs.iter().map(|job| reader(job, id)).collect(),
            models: Vec::new(),
            checkpoints: Vec::new(),
            result_files: Vec::new(),
            same_content,
            has_more,
        };
        for job in jobs.iter().filter(|job| job.erased.is_none()) {
            self.made_by(job, &mut lineage).await?;
        }
        Ok(lineage)
    }

    /// Jobs that read the file.
    pub(super) async fn readers_of(
        &self,
        tenant: &TenantId,
        id: &FileId,
        page: &PageRequest,
    ) -> Result<Slice<JobRecord>> {
        let filter = JobFilter { reads: Some(id.clone()), ..JobFilter::default() };
        Ok(self.store().jobs(tenant, &filter, page).await?)
    }

    /// Adds what a job made and what is still there of it.
    async fn made_by(&self, job: &JobRecord, lineage: &mut Lineage) -> Result<()> {
        for checkpoint in self.store().all_checkpoints(&job.id).await? {
            lineage.checkpoints.push(LineageCheckpoint {
                model: checkpoint_model_name(job, checkpoint.step),
                id: checkpoint.id,
                job_id: job.id.clone(),
            });
        }
        let JobState::Succeeded { model, result_file, .. } = &job.state else { return Ok(()) };
        if self.store().model(&job.tenant, model).await?.is_some() {
            lineage.models.push(LineageModel { id: model.clone(), job_id: job.id.clone() });
        }
        if self.store().file(&job.tenant, result_file).await?.is_some() {
            let (id, job_id) = (result_file.clone(), job.id.clone());
            lineage.result_files.push(LineageFile { id, job_id });
        }
        Ok(())
    }
}

fn reader(job: &JobRecord, file: &FileId) -> LineageJob {
    LineageJob {
        id: job.id.clone(),
        status: job.state.status(),
        trained: job.training_file == *file,
        validated: job.validation_file.as_ref() == Some(file),
        erasure_id: job.erased.as_ref().map(|erased| erased.id.clone()),
    }
}

//! What came of a file: jobs, and what those made.

use trainyard_openapi::erasure::{
    Lineage, LineageCheckpoint, LineageFile, LineageJob, LineageModel,
};
use trainyard_openapi::id::{FileId, JobId, TenantId};
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

    /// Jobs that go on from what a job made, newest first.
    pub(super) async fn children_of(
        &self,
        tenant: &TenantId,
        job: &JobId,
    ) -> Result<Vec<JobRecord>> {
        let filter = JobFilter { continues: Some(job.clone()), ..JobFilter::default() };
        let mut page = PageRequest { after: None, limit: PAGE_LIMIT_MAX, order: Order::Desc };
        let mut all = Vec::new();
        loop {
            let (jobs, has_more) = self.store().jobs(tenant, &filter, &page).await?;
            page.after = jobs.last().map(|job| job.id.to_string());
            all.extend(jobs);
            if !has_more {
                return Ok(all);
            }
        }
    }

    /// Those of them that have not ended.
    pub(super) async fn live_children(
        &self,
        tenant: &TenantId,
        job: &JobId,
    ) -> Result<Vec<JobRecord>> {
        let mut children = self.children_of(tenant, job).await?;
        children.retain(|child| !child.state.status().is_terminal());
        Ok(children)
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
    let uses = job.inputs().into_iter().find(|input| input.id == file.as_str());
    LineageJob {
        id: job.id.clone(),
        status: job.state.status(),
        trained: uses.as_ref().is_some_and(|uses| uses.trained),
        validated: uses.as_ref().is_some_and(|uses| uses.measured),
        erasure_id: job.erased.as_ref().map(|erased| erased.id.clone()),
    }
}

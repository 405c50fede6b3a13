//! A tenant erased with all that it has. Its audit log stays, and the receipt with who asked for it.

use serde_json::json;
use trainyard_openapi::erasure::{DeletedTenant, Removed, RemovedKind};
use trainyard_openapi::error::{ApiError, ErrorCode};
use trainyard_openapi::event::EventLevel;
use trainyard_openapi::id::TenantId;
use trainyard_openapi::page::{Order, PageRequest};
use trainyard_openapi::tenant::TenantStatus;

use super::super::documents::json as as_internal;
use super::super::tenants::{not_found, of_tenant};
use super::super::{CONFLICTS_MAX, Scheduler, message};
use super::erasure_id;
use crate::erasure::{ErasureRecord, Subject};
use crate::error::{Result, SchedulerError};
use crate::job::JobRecord;
use crate::job::state::Transition;
use crate::ledger::PrivacyLedger;
use crate::port::document::{Change, Document};
use crate::port::store::{FileRecord, JobFilter, StoreError};
use crate::request::RequestRecord;
use crate::tenant::{KeyRecord, TenantContext, TenantRecord};
use crate::upload::UploadRecord;
use crate::webhook::{DeliveryRecord, WebhookRecord};

impl Scheduler {
    /// Deletes a tenant; with `cascade` one that has something too: its keys stop working at once, its jobs are cancelled, and all its
    /// files, models and records go. A repeat answers the same.
    ///
    /// # Errors
    /// `not_found`; `in_use` without `cascade` where the tenant has jobs, files or models, and always for the caller's own.
    pub async fn delete_tenant(
        &self,
        ctx: &TenantContext,
        id: &TenantId,
        cascade: bool,
    ) -> Result<DeletedTenant> {
        if ctx.tenant() == id {
            let text = "the tenant of the key in use cannot be deleted with that key";
            return Err(ApiError::new(ErrorCode::InUse, text).into());
        }
        let begun = self.begin_tenant_erasure(ctx, id, cascade).await?;
        let erasure = self.pursue(begun).await?;
        Ok(DeletedTenant { id: id.clone(), object: "tenant".to_string(), deleted: true, erasure })
    }

    /// Takes the tenant's keys from it and writes down that the rest follows, in one step. Gives the erasure, new or not.
    async fn begin_tenant_erasure(
        &self,
        ctx: &TenantContext,
        id: &TenantId,
        cascade: bool,
    ) -> Result<ErasureRecord> {
        let erasure = erasure_id(id.as_str(), TenantId::PREFIX)?;
        for _ in 0..CONFLICTS_MAX {
            if let Some((there, _)) = self.document::<ErasureRecord>(erasure.as_str()).await? {
                return Ok(there);
            }
            let found = self.document::<TenantRecord>(id.as_str()).await?;
            let (mut tenant, rev) = found.ok_or_else(|| not_found("tenant", id.as_str()))?;
            if !cascade {
                self.check_empty(id).await?;
            }
            let now_ms = self.store().now_ms().await?;
            tenant.status = TenantStatus::Erasing;
            let record = ErasureRecord {
                id: erasure.clone(),
                owner: ctx.tenant().clone(),
                actor: ctx.actor(),
                subject: Subject::Tenant { tenant: id.clone() },
                begun_at_ms: now_ms,
                ended_at_ms: None,
                settled: false,
            };
            let detail = json!({"name": tenant.name, "erasure": erasure});
            let mut change = Change::none();
            // Both logs say so: the tenant's own, and that of who asked.
            change.audit = vec![
                of_tenant(id, ctx, now_ms, "tenant.erased", id, detail.clone()),
                Self::audited(ctx, now_ms, "tenant.erased", id, detail),
            ];
            let change = change.put(&tenant, rev + 1).and_then(|change| change.put(&record, 1));
            match self.store().apply(&change.map_err(as_internal)?).await {
                Err(StoreError::Conflict) => {}
                Err(error) => return Err(error.into()),
                Ok(()) => {
                    self.inner.keys.forget();
                    return Ok(record);
                }
            }
        }
        Err(StoreError::Unavailable(format!("{id} changes too fast")).into())
    }

    /// Refuses to delete what would go with the tenant, and says how much that is.
    async fn check_empty(&self, id: &TenantId) -> Result<()> {
        let (jobs, files) = (self.all_jobs(id).await?, self.all_files(id).await?.len());
        let models = self.store().models(id).await?.len();
        if jobs.is_empty() && files == 0 && models == 0 {
            return Ok(());
        }
        let live = jobs.iter().filter(|job| !job.state.status().is_terminal()).count();
        let text = format!(
            "the tenant has {} jobs, {live} of which have not ended, {files} files and {models} models: 'cascade=true' cancels the jobs and erases all of it",
            jobs.len()
        );
        Err(ApiError::new(ErrorCode::InUse, text).into())
    }

    /// Removes whatever the tenant has. Whether that was all: a run that is being cancelled ends in a moment.
    pub(super) async fn erase_traces_of_tenant(
        &self,
        erasure: &ErasureRecord,
        tenant: &TenantId,
    ) -> Result<bool> {
        let jobs = self.all_jobs(tenant).await?;
        let mut all_ended = true;
        for job in &jobs {
            if self.cancel_for_erasure(job).await? {
                self.erase_job(erasure, &job.id).await?;
                let thing = format!("record {}", job.id);
                let removed = removed(RemovedKind::Job, job.id.to_string(), 0, None);
                self.note(&erasure.id, &thing, vec![removed]).await?;
            } else {
                all_ended = false;
            }
        }
        for file in self.all_files(tenant).await? {
            let (id, bytes) = (file.id.to_string(), file.bytes);
            let gone = removed(RemovedKind::File, id.clone(), bytes, Some(file.sha256.clone()));
            self.note(&erasure.id, &id, vec![gone]).await?;
            self.objects().delete(&file.key).await?;
            self.store().delete_file(tenant, &file.id, &Change::none()).await?;
        }
        for upload in self.all_documents::<UploadRecord>(tenant.as_str()).await? {
            self.erase_upload(erasure, &upload).await?;
        }
        self.forget_all::<RequestRecord>(tenant.as_str()).await?;
        let of_jobs = jobs.iter().map(|job| job.id.to_string());
        for scope in of_jobs.chain([tenant.to_string()]) {
            for webhook in self.all_documents::<WebhookRecord>(&scope).await? {
                let gone = removed(RemovedKind::Webhook, webhook.id.to_string(), 0, None);
                self.note(&erasure.id, webhook.id.as_str(), vec![gone]).await?;
                self.forget(&webhook).await?;
                self.forget_all::<DeliveryRecord>(webhook.id.as_str()).await?;
            }
        }
        for key in self.all_documents::<KeyRecord>(tenant.as_str()).await? {
            let gone = removed(RemovedKind::Key, key.id.clone(), 0, None);
            self.note(&erasure.id, &format!("key {}", key.id), vec![gone]).await?;
            self.forget(&key).await?;
        }
        if !all_ended {
            return Ok(false);
        }
        // The deletion of a file keeps its ledger: the same content, uploaded again, would have its whole budget once more. With the tenant it
        // goes, once no run can draw on it: nobody is left who could upload that content in its name.
        self.forget_all::<PrivacyLedger>(tenant.as_str()).await?;
        self.store().forget_tenant(tenant).await?;
        if let Some((record, _)) = self.document::<TenantRecord>(tenant.as_str()).await? {
            self.forget(&record).await?;
        }
        Ok(true)
    }

    /// Cancels a job that has not ended; whether it has.
    async fn cancel_for_erasure(&self, job: &JobRecord) -> Result<bool> {
        let after = self.change(&job.id, |commit, now_ms| {
            let before = commit.job.state.clone();
            if before.status().is_terminal() {
                return Ok::<_, SchedulerError>(false);
            }
            commit.job.state = before.clone().apply(Transition::Cancel { now_ms })?;
            let text = "The job was cancelled: its tenant is being erased";
            commit.events.push(message(now_ms, EventLevel::Info, text)?);
            Ok(commit.job.state != before)
        });
        Ok(after.await?.is_none_or(|job| job.state.status().is_terminal()))
    }

    async fn all_jobs(&self, tenant: &TenantId) -> Result<Vec<JobRecord>> {
        let (mut all, mut page) = (Vec::new(), first_page());
        loop {
            let filter = JobFilter::default();
            let (jobs, has_more) = self.store().jobs(tenant, &filter, &page).await?;
            page.after = jobs.last().map(|job| job.id.to_string());
            all.extend(jobs);
            if !has_more {
                return Ok(all);
            }
        }
    }

    async fn all_files(&self, tenant: &TenantId) -> Result<Vec<FileRecord>> {
        let (mut all, mut page) = (Vec::new(), first_page());
        loop {
            let (files, has_more) = self.store().files(tenant, None, &page).await?;
            page.after = files.last().map(|file| file.id.to_string());
            all.extend(files);
            if !has_more {
                return Ok(all);
            }
        }
    }

    async fn forget_all<D: Document>(&self, scope: &str) -> Result<()> {
        for record in self.all_documents::<D>(scope).await? {
            self.forget(&record).await?;
        }
        Ok(())
    }
}

fn first_page() -> PageRequest {
    PageRequest { after: None, limit: 1000, order: Order::Asc }
}

fn removed(kind: RemovedKind, id: String, bytes: u64, sha256: Option<String>) -> Removed {
    Removed { kind, id: Some(id), job_id: None, count: 1, bytes, sha256 }
}

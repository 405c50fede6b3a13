//! The store's methods: a statement each, read by any reader or written by the writer.

use async_trait::async_trait;
use trainyard_openapi::event::JobEvent;
use trainyard_openapi::file::Purpose;
use trainyard_openapi::id::{CheckpointId, FileId, JobId, TenantId};
use trainyard_openapi::page::PageRequest;

use super::{SqliteStore, documents, jobs, queries, rows};
use crate::audit::AuditRecord;
use crate::job::JobRecord;
use crate::port::document::{Change, Kind, Stored};
use crate::port::queue::Ticket;
use crate::port::store::{
    CheckpointRecord, Commit, Durability, FileRecord, IdempotencyRecord, JobCount, JobFilter,
    ModelRecord, QueuedJob, Slice, Store, StoreError, UsageRecord,
};

#[async_trait]
impl Store for SqliteStore {
    async fn now_ms(&self) -> Result<i64, StoreError> {
        Ok(self.clock.now_ms())
    }

    fn durability(&self) -> Durability {
        Durability::Durable
    }

    async fn scrub(&self) -> Result<(), StoreError> {
        self.writer.empty_log().await
    }

    async fn apply(&self, change: &Change) -> Result<(), StoreError> {
        let change = change.clone();
        self.write(move |db| documents::apply(db, &change)).await
    }

    async fn document(&self, kind: Kind, id: &str) -> Result<Option<Stored>, StoreError> {
        let id = id.to_string();
        let sql = "SELECT record FROM documents WHERE kind = ?1 AND id = ?2";
        self.read(move |db| rows::one(db, sql, [kind.as_str(), &id])).await
    }

    async fn documents(
        &self,
        kind: Kind,
        scope: &str,
        page: &PageRequest,
    ) -> Result<Slice<Stored>, StoreError> {
        let (scope, page) = (scope.to_string(), page.clone());
        self.read(move |db| documents::page(db, kind, &scope, &page)).await
    }

    async fn document_count(&self, kind: Kind) -> Result<u64, StoreError> {
        let sql = "SELECT count(*) FROM documents WHERE kind = ?1";
        self.read(move |db| queries::count(db, sql, [kind.as_str()])).await
    }

    async fn audit(
        &self,
        tenant: &TenantId,
        after: u64,
        limit: u32,
    ) -> Result<Vec<AuditRecord>, StoreError> {
        let tenant = tenant.to_string();
        let sql = "SELECT record FROM audit WHERE tenant = ?1 AND seq > ?2 ORDER BY seq LIMIT ?3";
        let after = queries::signed(after);
        self.read(move |db| rows::all(db, sql, rusqlite::params![tenant, after, limit])).await
    }

    async fn usage(
        &self,
        tenant: &TenantId,
        from: i64,
        to: i64,
    ) -> Result<Vec<UsageRecord>, StoreError> {
        let tenant = tenant.to_string();
        self.read(move |db| documents::usage(db, &tenant, from, to)).await
    }

    async fn stored_bytes(&self, tenant: &TenantId) -> Result<u64, StoreError> {
        let tenant = tenant.to_string();
        let sql = "SELECT (SELECT coalesce(sum(bytes), 0) FROM files WHERE tenant = ?1)
                        + (SELECT coalesce(sum(bytes), 0) FROM models WHERE tenant = ?1)";
        self.read(move |db| queries::count(db, sql, [&tenant])).await
    }

    async fn put_file(&self, file: &FileRecord, also: &Change) -> Result<(), StoreError> {
        let (file, also) = (file.clone(), also.clone());
        self.write(move |db| {
            queries::put_file(db, &file)?;
            documents::apply(db, &also)
        })
        .await
    }

    async fn expired_files(&self, now_ms: i64, limit: u32) -> Result<Vec<FileRecord>, StoreError> {
        let sql =
            "SELECT record FROM files WHERE expires_at_ms <= ?1 ORDER BY expires_at_ms LIMIT ?2";
        self.read(move |db| rows::all(db, sql, [now_ms, i64::from(limit)])).await
    }

    async fn file(&self, tenant: &TenantId, id: &FileId) -> Result<Option<FileRecord>, StoreError> {
        let (tenant, id) = (tenant.to_string(), id.to_string());
        self.read(move |db| {
            rows::one(db, "SELECT record FROM files WHERE id = ?1 AND tenant = ?2", [&id, &tenant])
        })
        .await
    }

    async fn files(
        &self,
        tenant: &TenantId,
        purpose: Option<Purpose>,
        page: &PageRequest,
    ) -> Result<Slice<FileRecord>, StoreError> {
        let (tenant, page) = (tenant.to_string(), page.clone());
        self.read(move |db| queries::files(db, &tenant, purpose, &page)).await
    }

    async fn files_of_content(
        &self,
        tenant: &TenantId,
        sha256: &str,
    ) -> Result<Vec<FileRecord>, StoreError> {
        let (tenant, sha256) = (tenant.to_string(), sha256.to_string());
        let sql =
            "SELECT record FROM files WHERE tenant = ?1 AND record ->> 'sha256' = ?2 ORDER BY seq";
        self.read(move |db| rows::all(db, sql, [&tenant, &sha256])).await
    }

    async fn delete_file(
        &self,
        tenant: &TenantId,
        id: &FileId,
        also: &Change,
    ) -> Result<bool, StoreError> {
        let sql = "DELETE FROM files WHERE id = ?1 AND tenant = ?2";
        self.delete_owned(sql, tenant, id.as_str(), also).await
    }

    async fn model(&self, tenant: &TenantId, id: &str) -> Result<Option<ModelRecord>, StoreError> {
        let (tenant, id) = (tenant.to_string(), id.to_string());
        self.read(move |db| {
            rows::one(db, "SELECT record FROM models WHERE id = ?1 AND tenant = ?2", [&id, &tenant])
        })
        .await
    }

    async fn models(&self, tenant: &TenantId) -> Result<Vec<ModelRecord>, StoreError> {
        let tenant = tenant.to_string();
        self.read(move |db| {
            rows::all(
                db,
                "SELECT record FROM models WHERE tenant = ?1 ORDER BY seq DESC",
                [&tenant],
            )
        })
        .await
    }

    async fn delete_model(
        &self,
        tenant: &TenantId,
        id: &str,
        also: &Change,
    ) -> Result<bool, StoreError> {
        let sql = "DELETE FROM models WHERE id = ?1 AND tenant = ?2";
        self.delete_owned(sql, tenant, id, also).await
    }

    async fn commit(&self, commit: Commit) -> Result<(), StoreError> {
        self.write(move |db| queries::commit(db, &commit)).await
    }

    async fn job(&self, tenant: &TenantId, id: &JobId) -> Result<Option<JobRecord>, StoreError> {
        let (tenant, id) = (tenant.to_string(), id.to_string());
        self.read(move |db| {
            rows::one(db, "SELECT record FROM jobs WHERE id = ?1 AND tenant = ?2", [&id, &tenant])
        })
        .await
    }

    async fn job_of_any_tenant(&self, id: &JobId) -> Result<Option<JobRecord>, StoreError> {
        let id = id.to_string();
        self.read(move |db| rows::one(db, "SELECT record FROM jobs WHERE id = ?1", [&id])).await
    }

    async fn jobs(
        &self,
        tenant: &TenantId,
        filter: &JobFilter,
        page: &PageRequest,
    ) -> Result<Slice<JobRecord>, StoreError> {
        let (tenant, filter, page) = (tenant.to_string(), filter.clone(), page.clone());
        self.read(move |db| jobs::page(db, &tenant, &filter, &page)).await
    }

    async fn validating_jobs(&self) -> Result<Vec<JobId>, StoreError> {
        self.read(jobs::validating).await
    }

    async fn queued_jobs(&self) -> Result<Vec<QueuedJob>, StoreError> {
        self.read(jobs::queued).await
    }

    async fn busy_jobs(&self) -> Result<Vec<JobRecord>, StoreError> {
        self.read(jobs::busy).await
    }

    async fn job_counts(&self) -> Result<Vec<JobCount>, StoreError> {
        self.read(jobs::counts).await
    }

    async fn live_count(&self, tenant: &TenantId) -> Result<u64, StoreError> {
        let tenant = tenant.to_string();
        self.read(move |db| jobs::live_count(db, &tenant)).await
    }

    async fn file_in_use(&self, tenant: &TenantId, id: &FileId) -> Result<bool, StoreError> {
        let (tenant, id) = (tenant.to_string(), id.to_string());
        self.read(move |db| jobs::reads_file(db, &tenant, &id)).await
    }

    async fn idempotency(
        &self,
        tenant: &TenantId,
        key: &str,
    ) -> Result<Option<IdempotencyRecord>, StoreError> {
        let (tenant, key) = (tenant.to_string(), key.to_string());
        let sql = "SELECT record FROM idempotency WHERE tenant = ?1 AND key = ?2";
        self.read(move |db| rows::one(db, sql, [&tenant, &key])).await
    }

    async fn forget_answers(&self, before_ms: i64) -> Result<(), StoreError> {
        self.write(move |db| queries::forget_answers(db, before_ms)).await
    }

    async fn forget_tenant(&self, tenant: &TenantId) -> Result<(), StoreError> {
        let tenant = tenant.to_string();
        self.write(move |db| queries::forget_tenant(db, &tenant)).await
    }

    async fn events(&self, job: &JobId, page: &PageRequest) -> Result<Slice<JobEvent>, StoreError> {
        let (job, page) = (job.to_string(), page.clone());
        self.read(move |db| queries::of_job(db, "events", &job, &page)).await
    }

    async fn checkpoints(
        &self,
        job: &JobId,
        page: &PageRequest,
    ) -> Result<Slice<CheckpointRecord>, StoreError> {
        let (job, page) = (job.to_string(), page.clone());
        self.read(move |db| queries::of_job(db, "checkpoints", &job, &page)).await
    }

    async fn all_checkpoints(&self, job: &JobId) -> Result<Vec<CheckpointRecord>, StoreError> {
        let job = job.to_string();
        self.read(move |db| {
            rows::all(db, "SELECT record FROM checkpoints WHERE job = ?1 ORDER BY seq", [&job])
        })
        .await
    }

    async fn delete_checkpoint(&self, job: &JobId, id: &CheckpointId) -> Result<(), StoreError> {
        let (job, id) = (job.to_string(), id.to_string());
        self.write(move |db| {
            queries::delete(db, "DELETE FROM checkpoints WHERE job = ?1 AND id = ?2", [&job, &id])
                .map(|_| ())
        })
        .await
    }

    async fn outbox(&self) -> Result<Vec<Ticket>, StoreError> {
        self.read(|db| rows::all(db, "SELECT record FROM outbox ORDER BY seq", [])).await
    }

    async fn ticket_sent(&self, ticket: &Ticket) -> Result<(), StoreError> {
        let (job, number) = (ticket.job.to_string(), ticket.seq.to_string());
        let sql = "DELETE FROM outbox WHERE job = ?1 AND ticket = CAST(?2 AS INTEGER)";
        self.write(move |db| queries::delete(db, sql, [&job, &number]).map(|_| ())).await
    }
}

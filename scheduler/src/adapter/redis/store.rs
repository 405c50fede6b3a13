//! The port, question by question.

use std::collections::BTreeMap;

use async_trait::async_trait;
use redis::{Value, cmd};
use serde_json::json;
use trainyard_openapi::event::JobEvent;
use trainyard_openapi::extension::Priority;
use trainyard_openapi::file::Purpose;
use trainyard_openapi::id::{CheckpointId, FileId, JobId, TenantId};
use trainyard_openapi::page::{Order, PageRequest};

use super::page::List;
use super::request::{self, encode};
use super::{RedisStore, parse, record, scripts};
use crate::audit::AuditRecord;
use crate::job::JobRecord;
use crate::port::document::{Change, Kind, Stored};
use crate::port::news::News;
use crate::port::queue::Ticket;
use crate::port::store::{
    CheckpointRecord, Commit, Durability, FileRecord, IdempotencyRecord, JobCount, JobFilter,
    ModelRecord, QueuedJob, Slice, Store, StoreError, UsageRecord,
};

/// Records forgotten in one go.
const FORGET: u32 = 1000;

/// A job in the list of those that wait: as it is written now, and as versions wrote it that had one pool.
#[derive(serde::Deserialize)]
#[serde(untagged)]
enum Entry {
    Now(JobId, TenantId, Priority, i64, String, u32),
    Before(JobId, serde::de::IgnoredAny, serde::de::IgnoredAny, serde::de::IgnoredAny),
}

/// The kind of row that a document is.
fn document_kind(kind: Kind) -> String {
    format!("doc.{}", kind.as_str())
}

impl RedisStore {
    /// One of the lists of the scheduler's loops.
    async fn lane(&self, name: &str) -> Result<Vec<String>, StoreError> {
        let mut range = cmd("ZRANGE");
        range.arg(self.key(&["lane", name])).arg(0).arg(-1);
        self.command(&range).await
    }

    /// How many jobs of the tenant are listed under a label.
    async fn labelled_jobs(&self, label: &str, tenant: &TenantId) -> Result<u64, StoreError> {
        let mut count = cmd("ZCARD");
        count.arg(self.key(&["label", "job", label, tenant.as_str()]));
        self.command(&count).await
    }

    async fn delete_owned(
        &self,
        kind: &'static str,
        tenant: &TenantId,
        id: &str,
        also: &Change,
    ) -> Result<bool, StoreError> {
        let (tenant, also) = (tenant.as_str(), request::change(also)?);
        let request = encode(&request::DeleteOwned { kind, tenant, id, also })?;
        Ok(self.write(&scripts::DELETE_OWNED, &request).await? == "ok")
    }
}

#[async_trait]
impl Store for RedisStore {
    async fn now_ms(&self) -> Result<i64, StoreError> {
        if let Some(clock) = &self.clock {
            return Ok(clock.now_ms());
        }
        let (seconds, microseconds): (i64, i64) = self.command(&cmd("TIME")).await?;
        Ok(seconds * 1000 + microseconds / 1000)
    }

    fn durability(&self) -> Durability {
        self.link.durability()
    }

    fn news(&self) -> Option<News> {
        Some(News::on(&self.listener.said))
    }

    async fn scrub(&self) -> Result<(), StoreError> {
        self.rewrite_files().await
    }

    async fn apply(&self, change: &Change) -> Result<(), StoreError> {
        let request = encode(&request::change(change)?)?;
        self.write(&scripts::APPLY, &request).await.map(|_| ())
    }

    async fn document(&self, kind: Kind, id: &str) -> Result<Option<Stored>, StoreError> {
        let found = self.row(&document_kind(kind), id).await?;
        Ok(found.map(|(_, document)| document))
    }

    async fn documents(
        &self,
        kind: Kind,
        scope: &str,
        page: &PageRequest,
    ) -> Result<Slice<Stored>, StoreError> {
        let kind = document_kind(kind);
        self.page(List { kind: &kind, scope, labels: Vec::new() }, page).await
    }

    async fn document_count(&self, kind: Kind) -> Result<u64, StoreError> {
        let mut get = cmd("HGET");
        get.arg(self.key(&["counts"])).arg(document_kind(kind));
        Ok(self.command::<Option<u64>>(&get).await?.unwrap_or(0))
    }

    async fn audit(
        &self,
        tenant: &TenantId,
        after: u64,
        limit: u32,
    ) -> Result<Vec<AuditRecord>, StoreError> {
        if limit == 0 {
            return Ok(Vec::new());
        }
        // An entry's place is its place in the list, from 1.
        let first = i64::try_from(after).unwrap_or(i64::MAX);
        let last = first.saturating_add(i64::from(limit) - 1);
        let mut range = cmd("LRANGE");
        range.arg(self.key(&["audit", tenant.as_str()])).arg(first).arg(last);
        let texts: Vec<String> = self.command(&range).await?;
        texts.iter().map(|text| parse(text)).collect()
    }

    async fn usage(
        &self,
        tenant: &TenantId,
        from: i64,
        to: i64,
    ) -> Result<Vec<UsageRecord>, StoreError> {
        let request = json!({"tenant": tenant, "from": from, "to": to}).to_string();
        let days: Vec<(i64, Vec<(String, u64)>)> = self.read(&scripts::USAGE, &request).await?;
        let day = |(day, counts): (i64, Vec<(String, u64)>)| {
            let count = |wanted: &str| {
                counts.iter().find(|(name, _)| name == wanted).map_or(0, |(_, count)| *count)
            };
            UsageRecord {
                day,
                accelerator_ms: count("accelerator_ms"),
                trained_tokens: count("trained_tokens"),
                jobs_created: count("jobs_created"),
                jobs_succeeded: count("jobs_succeeded"),
            }
        };
        Ok(days.into_iter().map(day).collect())
    }

    async fn stored_bytes(&self, tenant: &TenantId) -> Result<u64, StoreError> {
        let mut get = cmd("HMGET");
        get.arg(self.key(&["bytes", tenant.as_str()])).arg("low").arg("high");
        let (low, high): (Option<i64>, Option<i64>) = self.command(&get).await?;
        let bytes = (i128::from(high.unwrap_or(0)) << 32) + i128::from(low.unwrap_or(0));
        Ok(u64::try_from(bytes.max(0)).unwrap_or(u64::MAX))
    }

    async fn put_file(&self, file: &FileRecord, also: &Change) -> Result<(), StoreError> {
        let (file, also) = (request::file(file)?, request::change(also)?);
        let request = encode(&request::PutFile { file, also })?;
        self.write(&scripts::PUT_FILE, &request).await.map(|_| ())
    }

    async fn file(&self, tenant: &TenantId, id: &FileId) -> Result<Option<FileRecord>, StoreError> {
        self.owned("file", tenant.as_str(), id.as_str()).await
    }

    async fn files(
        &self,
        tenant: &TenantId,
        purpose: Option<Purpose>,
        page: &PageRequest,
    ) -> Result<Slice<FileRecord>, StoreError> {
        let labels = purpose.map(request::purpose_label).transpose()?.into_iter().collect();
        self.page(List { kind: "file", scope: tenant.as_str(), labels }, page).await
    }

    async fn files_of_content(
        &self,
        tenant: &TenantId,
        sha256: &str,
    ) -> Result<Vec<FileRecord>, StoreError> {
        let labels = vec![sha256.to_string()];
        self.whole(List { kind: "file", scope: tenant.as_str(), labels }, Order::Asc).await
    }

    async fn delete_file(
        &self,
        tenant: &TenantId,
        id: &FileId,
        also: &Change,
    ) -> Result<bool, StoreError> {
        self.delete_owned("file", tenant, id.as_str(), also).await
    }

    async fn expired_files(&self, now_ms: i64, limit: u32) -> Result<Vec<FileRecord>, StoreError> {
        let request = json!({"now_ms": now_ms, "limit": limit}).to_string();
        let records: Vec<Value> = self.read(&scripts::EXPIRED_FILES, &request).await?;
        records.into_iter().map(record).collect()
    }

    async fn model(&self, tenant: &TenantId, id: &str) -> Result<Option<ModelRecord>, StoreError> {
        self.owned("model", tenant.as_str(), id).await
    }

    async fn models(&self, tenant: &TenantId) -> Result<Vec<ModelRecord>, StoreError> {
        let list = List { kind: "model", scope: tenant.as_str(), labels: Vec::new() };
        self.whole(list, Order::Desc).await
    }

    async fn delete_model(
        &self,
        tenant: &TenantId,
        id: &str,
        also: &Change,
    ) -> Result<bool, StoreError> {
        self.delete_owned("model", tenant, id, also).await
    }

    async fn commit(&self, commit: Commit) -> Result<(), StoreError> {
        let request = encode(&request::commit(&commit, &self.origin)?)?;
        self.write(&scripts::COMMIT, &request).await.map(|_| ())
    }

    async fn job(&self, tenant: &TenantId, id: &JobId) -> Result<Option<JobRecord>, StoreError> {
        self.owned("job", tenant.as_str(), id.as_str()).await
    }

    async fn job_of_any_tenant(&self, id: &JobId) -> Result<Option<JobRecord>, StoreError> {
        Ok(self.row("job", id.as_str()).await?.map(|(_, job)| job))
    }

    async fn jobs(
        &self,
        tenant: &TenantId,
        filter: &JobFilter,
        page: &PageRequest,
    ) -> Result<Slice<JobRecord>, StoreError> {
        let pairs = filter.metadata.iter();
        let pairs = pairs.map(|(key, value)| request::pair_label(key, value));
        let labels = pairs.chain(filter.sources().map(ToString::to_string)).collect();
        self.page(List { kind: "job", scope: tenant.as_str(), labels }, page).await
    }

    async fn validating_jobs(&self) -> Result<Vec<JobId>, StoreError> {
        let ids = self.lane(request::VALIDATING).await?;
        let ids = ids.iter().map(|id| id.parse());
        ids.collect::<Result<_, _>>().map_err(|error| StoreError::Corrupt(format!("{error}")))
    }

    async fn queued_jobs(&self) -> Result<Vec<QueuedJob>, StoreError> {
        let mut queued = Vec::new();
        for text in self.lane(request::QUEUED).await? {
            match parse(&text)? {
                Entry::Now(id, tenant, priority, since_ms, pool, devices) => {
                    queued.push(QueuedJob { id, tenant, priority, since_ms, pool, devices });
                }
                Entry::Before(id, ..) => {
                    let job = self.job_of_any_tenant(&id).await?;
                    queued.extend(job.as_ref().and_then(QueuedJob::of));
                }
            }
        }
        Ok(queued)
    }

    async fn busy_jobs(&self) -> Result<Vec<JobRecord>, StoreError> {
        let records: Vec<Value> = self.read(&scripts::BUSY_JOBS, "").await?;
        records.into_iter().map(record).collect()
    }

    async fn job_counts(&self) -> Result<Vec<JobCount>, StoreError> {
        let mut all = cmd("HGETALL");
        all.arg(self.key(&["job_counts"]));
        let counts: BTreeMap<String, u64> = self.command(&all).await?;
        let counts = counts.into_iter().map(|(name, jobs)| {
            let (state, pool) = name.split_once(' ').unwrap_or((&name, ""));
            JobCount::new(state, pool.to_string(), jobs)
        });
        counts.collect()
    }

    async fn live_count(&self, tenant: &TenantId) -> Result<u64, StoreError> {
        self.labelled_jobs(request::LIVE, tenant).await
    }

    async fn file_in_use(&self, tenant: &TenantId, id: &FileId) -> Result<bool, StoreError> {
        Ok(self.labelled_jobs(&request::live_label(id.as_str()), tenant).await? > 0)
    }

    async fn idempotency(
        &self,
        tenant: &TenantId,
        key: &str,
    ) -> Result<Option<IdempotencyRecord>, StoreError> {
        let mut get = cmd("GET");
        get.arg(self.key(&["answer", &request::answer_name(tenant.as_str(), key)]));
        let text: Option<String> = self.command(&get).await?;
        text.map(|text| parse(&text)).transpose()
    }

    async fn forget_answers(&self, before_ms: i64) -> Result<(), StoreError> {
        let request = json!({"before_ms": before_ms.to_string(), "limit": FORGET}).to_string();
        while self.write(&scripts::FORGET_ANSWERS, &request).await? == "more" {}
        Ok(())
    }

    /// Not in one step: that would hold up all other tenants for as long as it takes.
    async fn forget_tenant(&self, tenant: &TenantId) -> Result<(), StoreError> {
        let request = json!({"tenant": tenant, "limit": FORGET}).to_string();
        while self.write(&scripts::FORGET_TENANT, &request).await? == "more" {}
        Ok(())
    }

    async fn events(&self, job: &JobId, page: &PageRequest) -> Result<Slice<JobEvent>, StoreError> {
        self.page(List { kind: "event", scope: job.as_str(), labels: Vec::new() }, page).await
    }

    async fn checkpoints(
        &self,
        job: &JobId,
        page: &PageRequest,
    ) -> Result<Slice<CheckpointRecord>, StoreError> {
        self.page(List { kind: "checkpoint", scope: job.as_str(), labels: Vec::new() }, page).await
    }

    async fn all_checkpoints(&self, job: &JobId) -> Result<Vec<CheckpointRecord>, StoreError> {
        let list = List { kind: "checkpoint", scope: job.as_str(), labels: Vec::new() };
        self.whole(list, Order::Asc).await
    }

    async fn delete_checkpoint(&self, job: &JobId, id: &CheckpointId) -> Result<(), StoreError> {
        let request = json!({"job": job, "id": id}).to_string();
        self.write(&scripts::DELETE_CHECKPOINT, &request).await.map(|_| ())
    }

    async fn outbox(&self) -> Result<Vec<Ticket>, StoreError> {
        let records: Vec<Value> = self.read(&scripts::OUTBOX, "").await?;
        records.into_iter().map(record).collect()
    }

    async fn ticket_sent(&self, ticket: &Ticket) -> Result<(), StoreError> {
        let request =
            json!({"job": ticket.job, "ticket": request::ticket_name(ticket)}).to_string();
        self.write(&scripts::TICKET_SENT, &request).await.map(|_| ())
    }
}

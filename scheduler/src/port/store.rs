//! The record: tenants and keys, files, models, jobs, their events and checkpoints.
//!
//! One rule carries it: a job changes only by [`Store::commit`], which compares the revision it was read at and writes
//! job, events and everything else of the change in one durable step. State machines run in the scheduler; a store
//! knows nothing of them. After a lost answer the caller reads the job again: it has moved, or it has not.

use std::collections::BTreeMap;

use async_trait::async_trait;
use trainyard_openapi::checkpoint::CheckpointMetrics;
use trainyard_openapi::event::JobEvent;
use trainyard_openapi::extension::Priority;
use trainyard_openapi::file::Purpose;
use trainyard_openapi::id::{CheckpointId, FileId, JobId, TenantId};
use trainyard_openapi::page::PageRequest;

use super::document::{Change, Kind, Stored};
use super::news::News;
use super::queue::Ticket;
use crate::audit::AuditRecord;
use crate::clock::Day;
use crate::job::state::LIVE_STATES;
use crate::job::{JobRecord, JobState};

/// What a store answered instead of doing it.
#[derive(Debug, Clone, thiserror::Error)]
pub enum StoreError {
    /// The job has another revision, or the id or key is taken: read it again.
    #[error("the record changed meanwhile")]
    Conflict,
    /// The tenant has as many jobs that have not ended as it may.
    #[error("the tenant has {0} jobs that have not ended")]
    TooManyLive(u64),
    /// The cursor of a page names nothing in the list.
    #[error("no item '{0}' in this list")]
    UnknownCursor(String),
    /// No definite answer: it may have happened.
    #[error("store unavailable: {0}")]
    Unavailable(String),
    /// What is stored cannot be read.
    #[error("store corrupt: {0}")]
    Corrupt(String),
    /// No space is left.
    #[error("no space left in the store")]
    NoSpace,
}

impl StoreError {
    /// A word for it that says nothing of what is stored.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Conflict => "conflict",
            Self::TooManyLive(_) => "too_many_live",
            Self::UnknownCursor(_) => "unknown_cursor",
            Self::Unavailable(_) => "unavailable",
            Self::Corrupt(_) => "corrupt",
            Self::NoSpace => "no_space",
        }
    }
}

/// What an acknowledged write survives.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Durability {
    /// The end of the process and of the machine.
    Durable,
    /// Less than that, and why.
    Volatile(String),
}

/// A page of records and whether more follow.
pub type Slice<T> = (Vec<T>, bool);

/// An uploaded or produced file. Its content lies in the object store under `key`.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct FileRecord {
    /// The id.
    pub id: FileId,
    /// Whose it is.
    pub tenant: TenantId,
    /// The name it was uploaded under.
    pub filename: String,
    /// What it is for.
    pub purpose: Purpose,
    /// Size in bytes.
    pub bytes: u64,
    /// Lines that are not blank.
    pub lines: u64,
    /// SHA-256 of the content, in hexadecimal.
    pub sha256: String,
    /// The key in the object store.
    pub key: String,
    /// When, in Unix milliseconds.
    pub created_at_ms: i64,
    /// When it is deleted by itself, in Unix milliseconds.
    #[serde(default)]
    pub expires_at_ms: Option<i64>,
}

/// A fine-tuned model: the result of a job.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct ModelRecord {
    /// The name.
    pub id: String,
    /// Whose it is.
    pub tenant: TenantId,
    /// The job it came from.
    pub job: JobId,
    /// The prefix of its files in the object store.
    pub prefix: String,
    /// Size of all its files in bytes.
    #[serde(default)]
    pub bytes: u64,
    /// When, in Unix milliseconds.
    pub created_at_ms: i64,
}

/// What a tenant has used on one day. Integers, so that adding up is exact.
#[derive(Debug, Clone, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize)]
pub struct UsageRecord {
    /// The day, in UTC: days since 1970-01-01.
    pub day: i64,
    /// Time that executors held for its jobs, times the devices of each, in milliseconds.
    pub accelerator_ms: u64,
    /// Tokens of jobs that succeeded.
    pub trained_tokens: u64,
    /// Jobs that were made.
    pub jobs_created: u64,
    /// Jobs that succeeded.
    pub jobs_succeeded: u64,
}

impl UsageRecord {
    /// Nothing yet, on the day of `now_ms`.
    pub fn on(now_ms: i64) -> Self {
        Self { day: Day::of(now_ms).0, ..Self::default() }
    }

    /// Accelerator-milliseconds of `days` together.
    pub(crate) fn accelerator_ms_of<'a>(days: impl IntoIterator<Item = &'a Self>) -> u64 {
        days.into_iter().map(|usage| usage.accelerator_ms).sum()
    }
}

/// A checkpoint that clients can list.
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct CheckpointRecord {
    /// The id.
    pub id: CheckpointId,
    /// The job.
    pub job: JobId,
    /// The step.
    pub step: u64,
    /// The prefix of its files in the object store.
    pub prefix: String,
    /// The stage that it is the end of, if it is one's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stage: Option<String>,
    /// The figures.
    pub metrics: CheckpointMetrics,
    /// When, in Unix milliseconds.
    pub created_at_ms: i64,
}

/// An answer kept under an idempotency key.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct IdempotencyRecord {
    /// Whose it is.
    pub tenant: TenantId,
    /// The key, as sent.
    pub key: String,
    /// SHA-256 of the request's route and body, in hexadecimal.
    pub request_sha256: String,
    /// The job that the first request made.
    pub job: JobId,
    /// The client gave no key and the server made one of what was sent: a later request may take its place.
    #[serde(default)]
    pub implied: bool,
    /// When, in Unix milliseconds.
    pub created_at_ms: i64,
}

/// One change of one job, all of it or nothing.
#[derive(Debug, Clone)]
pub struct Commit {
    /// The job as it shall be; its `rev` is one above `expected_rev`. Id, tenant and metadata never change.
    pub job: JobRecord,
    /// The revision it was read at; 0 for a new job.
    pub expected_rev: u64,
    /// Entries of its history, oldest first.
    pub events: Vec<JobEvent>,
    /// A new checkpoint.
    pub checkpoint: Option<CheckpointRecord>,
    /// The model that the job made.
    pub model: Option<ModelRecord>,
    /// The result file that the job made.
    pub result_file: Option<FileRecord>,
    /// Removes the job's events, checkpoints, model and result file, before anything of this commit is added. Such a commit adds
    /// nothing of these but events.
    pub erases: bool,
    /// A ticket for the outbox; the relay publishes it and then calls [`Store::ticket_sent`].
    pub ticket: Option<Ticket>,
    /// The idempotency key of the request that makes this job.
    pub idempotency: Option<IdempotencyRecord>,
    /// A new job is refused where the tenant has this many that have not ended.
    pub live_max: Option<u32>,
    /// What is added to the tenant's usage of its day.
    pub usage: Option<UsageRecord>,
    /// Documents and entries of the audit log.
    pub also: Change,
}

impl Commit {
    /// A change of `job` as it was read.
    pub fn of(job: JobRecord) -> Self {
        Self {
            expected_rev: job.rev,
            job,
            events: Vec::new(),
            checkpoint: None,
            model: None,
            result_file: None,
            erases: false,
            ticket: None,
            idempotency: None,
            live_max: None,
            usage: None,
            also: Change::none(),
        }
    }
}

/// What puts a job that waits for a slot in its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QueuedJob {
    /// The id.
    pub id: JobId,
    /// Whose it is.
    pub tenant: TenantId,
    /// Its place among its tenant's own jobs.
    pub priority: Priority,
    /// Since when it waits, in Unix milliseconds.
    pub since_ms: i64,
    /// The pool that it waits for.
    pub pool: String,
    /// Devices of that pool that it takes.
    pub devices: u32,
}

impl QueuedJob {
    /// Of a job that waits for a slot; `None` of any other.
    pub fn of(job: &JobRecord) -> Option<Self> {
        let JobState::Queued { since_ms } = job.state else { return None };
        Some(Self::since(job, since_ms))
    }

    /// As if the job waited since `since_ms`.
    pub fn since(job: &JobRecord, since_ms: i64) -> Self {
        let resources = &job.plan.resources;
        Self {
            id: job.id.clone(),
            tenant: job.tenant.clone(),
            priority: resources.priority,
            since_ms,
            pool: resources.pool.clone(),
            devices: resources.devices,
        }
    }
}

/// How many jobs are in a state, of one pool.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct JobCount {
    /// One of [`LIVE_STATES`](crate::job::state::LIVE_STATES).
    pub state: &'static str,
    /// The pool.
    pub pool: String,
    /// The jobs.
    pub jobs: u64,
}

impl JobCount {
    /// Of a state by its word, as a store kept it.
    pub(crate) fn new(state: &str, pool: String, jobs: u64) -> Result<Self, StoreError> {
        let known = LIVE_STATES.into_iter().find(|known| *known == state);
        let state =
            known.ok_or_else(|| StoreError::Corrupt(format!("no job is in a state '{state}'")))?;
        Ok(Self { state, pool, jobs })
    }
}

/// A conjunction of conditions on jobs.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct JobFilter {
    /// Each key has this value.
    pub metadata: BTreeMap<String, String>,
    /// It reads this file, to train on it or to measure with it.
    pub reads: Option<FileId>,
    /// It goes on from a result or checkpoint of this job.
    pub continues: Option<JobId>,
}

impl JobFilter {
    /// What has to be among a job's [`JobRecord::sources`].
    pub(crate) fn sources(&self) -> impl Iterator<Item = &str> {
        let file = self.reads.iter().map(FileId::as_str);
        file.chain(self.continues.iter().map(JobId::as_str))
    }
}

/// The record. Every method that returns `Ok` for a write has made it as durable as [`Store::durability`] says.
///
/// Times come from [`Store::now_ms`], so that all processes on one store agree. A method that takes a tenant never
/// shows another tenant's record: it answers as if it were not there.
#[async_trait]
pub trait Store: Send + Sync {
    /// The store's clock, in Unix milliseconds.
    async fn now_ms(&self) -> Result<i64, StoreError>;
    /// What an acknowledged write survives, as far as is known now.
    fn durability(&self) -> Durability;
    /// Word of the changes that other processes make, from now on. A store that one process has to itself has none.
    fn news(&self) -> Option<News> {
        None
    }

    /// Leaves nothing of what was removed before in any file of the store: neither on free pages nor in a log. [`StoreError::Unavailable`]
    /// where somebody still reads what was there before; to be asked again.
    async fn scrub(&self) -> Result<(), StoreError>;

    /// Makes all writes of `change`, or none. [`StoreError::Conflict`] where a document has another revision.
    async fn apply(&self, change: &Change) -> Result<(), StoreError>;
    /// A document.
    async fn document(&self, kind: Kind, id: &str) -> Result<Option<Stored>, StoreError>;
    /// Documents of one scope, newest first unless asked otherwise.
    async fn documents(
        &self,
        kind: Kind,
        scope: &str,
        page: &PageRequest,
    ) -> Result<Slice<Stored>, StoreError>;
    /// How many documents of a kind there are, in all scopes.
    async fn document_count(&self, kind: Kind) -> Result<u64, StoreError>;

    /// Entries of a tenant's audit log after place `after`, oldest first.
    async fn audit(
        &self,
        tenant: &TenantId,
        after: u64,
        limit: u32,
    ) -> Result<Vec<AuditRecord>, StoreError>;
    /// What a tenant has used from day `from` to day `to`, both included, by day.
    async fn usage(
        &self,
        tenant: &TenantId,
        from: i64,
        to: i64,
    ) -> Result<Vec<UsageRecord>, StoreError>;
    /// Bytes of the tenant's files and models.
    async fn stored_bytes(&self, tenant: &TenantId) -> Result<u64, StoreError>;

    /// Adds a file. Adding the same record again is `Ok`; another one under its id is a [`StoreError::Conflict`].
    async fn put_file(&self, file: &FileRecord, also: &Change) -> Result<(), StoreError>;
    /// A file of the tenant.
    async fn file(&self, tenant: &TenantId, id: &FileId) -> Result<Option<FileRecord>, StoreError>;
    /// Files of the tenant.
    async fn files(
        &self,
        tenant: &TenantId,
        purpose: Option<Purpose>,
        page: &PageRequest,
    ) -> Result<Slice<FileRecord>, StoreError>;
    /// Files of the tenant whose content has this SHA-256, oldest first.
    async fn files_of_content(
        &self,
        tenant: &TenantId,
        sha256: &str,
    ) -> Result<Vec<FileRecord>, StoreError>;
    /// Removes a file's record; whether there was one. Only then is `also` written.
    async fn delete_file(
        &self,
        tenant: &TenantId,
        id: &FileId,
        also: &Change,
    ) -> Result<bool, StoreError>;
    /// Files of all tenants whose time has come.
    async fn expired_files(&self, now_ms: i64, limit: u32) -> Result<Vec<FileRecord>, StoreError>;

    /// A model of the tenant.
    async fn model(&self, tenant: &TenantId, id: &str) -> Result<Option<ModelRecord>, StoreError>;
    /// All models of the tenant, newest first.
    async fn models(&self, tenant: &TenantId) -> Result<Vec<ModelRecord>, StoreError>;
    /// Removes a model's record; whether there was one. Only then is `also` written.
    async fn delete_model(
        &self,
        tenant: &TenantId,
        id: &str,
        also: &Change,
    ) -> Result<bool, StoreError>;

    /// Makes one change of one job. [`StoreError::Conflict`] where the job's revision is not `expected_rev`, or where the
    /// idempotency key is taken (one that is implied takes the place of another such); nothing is written then.
    async fn commit(&self, commit: Commit) -> Result<(), StoreError>;
    /// A job of the tenant.
    async fn job(&self, tenant: &TenantId, id: &JobId) -> Result<Option<JobRecord>, StoreError>;
    /// A job of any tenant: for the scheduler's own loops and for executors, never for a client.
    async fn job_of_any_tenant(&self, id: &JobId) -> Result<Option<JobRecord>, StoreError>;
    /// Jobs of the tenant, newest first.
    async fn jobs(
        &self,
        tenant: &TenantId,
        filter: &JobFilter,
        page: &PageRequest,
    ) -> Result<Slice<JobRecord>, StoreError>;
    /// Jobs of all tenants whose files are to be read, oldest first.
    async fn validating_jobs(&self) -> Result<Vec<JobId>, StoreError>;
    /// Jobs of all tenants that wait for a slot, oldest first. There may be very many: only what puts them in order is read.
    async fn queued_jobs(&self) -> Result<Vec<QueuedJob>, StoreError>;
    /// Jobs of all tenants that an executor has or is about to take, oldest first.
    async fn busy_jobs(&self) -> Result<Vec<JobRecord>, StoreError>;
    /// How many jobs of all tenants are in each state that is not the last one, by pool; what has none may be left out. Costs no more
    /// where there are more jobs.
    async fn job_counts(&self) -> Result<Vec<JobCount>, StoreError>;
    /// How many jobs of the tenant have not ended.
    async fn live_count(&self, tenant: &TenantId) -> Result<u64, StoreError>;
    /// Whether a job that has not ended reads this file.
    async fn file_in_use(&self, tenant: &TenantId, id: &FileId) -> Result<bool, StoreError>;
    /// The answer kept under an idempotency key.
    async fn idempotency(
        &self,
        tenant: &TenantId,
        key: &str,
    ) -> Result<Option<IdempotencyRecord>, StoreError>;

    /// Removes the answers under idempotency keys that were kept before `before_ms`.
    async fn forget_answers(&self, before_ms: i64) -> Result<(), StoreError>;

    /// Removes all jobs, files, models, usage and idempotency keys of a tenant, with what belongs to its jobs; repeats are `Ok`. Its
    /// documents and its audit log stay.
    async fn forget_tenant(&self, tenant: &TenantId) -> Result<(), StoreError>;

    /// Events of a job, newest first.
    async fn events(&self, job: &JobId, page: &PageRequest) -> Result<Slice<JobEvent>, StoreError>;
    /// Checkpoints of a job, newest first.
    async fn checkpoints(
        &self,
        job: &JobId,
        page: &PageRequest,
    ) -> Result<Slice<CheckpointRecord>, StoreError>;
    /// All checkpoints of a job, oldest first.
    async fn all_checkpoints(&self, job: &JobId) -> Result<Vec<CheckpointRecord>, StoreError>;
    /// Removes a checkpoint's record; repeats are `Ok`.
    async fn delete_checkpoint(&self, job: &JobId, id: &CheckpointId) -> Result<(), StoreError>;

    /// Tickets that wait to be published, oldest first.
    async fn outbox(&self) -> Result<Vec<Ticket>, StoreError>;
    /// Takes a published ticket out of the outbox; repeats are `Ok`.
    async fn ticket_sent(&self, ticket: &Ticket) -> Result<(), StoreError>;
}

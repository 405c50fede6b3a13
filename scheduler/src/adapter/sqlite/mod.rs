//! The record in one SQLite file: WAL, `synchronous=FULL`, one thread that writes, in groups (`writer.rs`), and one that reads.
//!
//! Records are JSON beside the columns that are searched by, so that a field needs no migration; `schema.rs` has the tables.

mod documents;
mod file;
mod queries;
mod rows;
mod schema;
mod writer;

use std::path::Path;
use std::sync::{Arc, mpsc};
use std::thread::JoinHandle;

use async_trait::async_trait;
use rusqlite::{Connection, Transaction};
use tokio::sync::oneshot;
use trainyard_openapi::event::JobEvent;
use trainyard_openapi::file::Purpose;
use trainyard_openapi::id::{CheckpointId, FileId, JobId, TenantId};
use trainyard_openapi::page::PageRequest;

use crate::audit::AuditRecord;
use crate::clock::Clock;
use crate::job::JobRecord;
use crate::port::document::{Change, Kind, Stored};
use crate::port::queue::Ticket;
use crate::port::store::{
    CheckpointRecord, Commit, Durability, FileRecord, IdempotencyRecord, JobFilter, ModelRecord,
    Slice, Store, StoreError, UsageRecord,
};

pub use schema::Synchronous;
use writer::Writer;

type Reading = Box<dyn FnOnce(&mut Connection) + Send>;
pub use file::{Inventory, NamedObject, SqliteFile};

/// The store.
pub struct SqliteStore {
    // Dropped in this order: the connection that writes is closed last, which brings the log back into the file.
    reader: mpsc::Sender<Reading>,
    _reading: Joined,
    writer: Writer,
    _writing: Joined,
    clock: Arc<dyn Clock>,
}

/// A thread that is waited for once its work can no longer come.
struct Joined(Option<JoinHandle<()>>);

impl Drop for Joined {
    fn drop(&mut self) {
        if let Some(Err(_)) = self.0.take().map(JoinHandle::join) {
            tracing::error!("a database thread panicked");
        }
    }
}

impl SqliteStore {
    /// Opens the database at `path`, making it where it is not there.
    ///
    /// # Errors
    /// Where the file is no database, is of a newer version, or cannot be written.
    pub fn open(path: &Path, clock: Arc<dyn Clock>) -> Result<Self, StoreError> {
        Self::open_synchronous(path, clock, Synchronous::Full)
    }

    /// As [`SqliteStore::open`], with a commit that waits for less than it should: the mutant of the power-cut test, which shows
    /// that the test can fail. No setting reaches it.
    ///
    /// # Errors
    /// As [`SqliteStore::open`].
    #[doc(hidden)]
    pub fn open_synchronous(
        path: &Path,
        clock: Arc<dyn Clock>,
        synchronous: Synchronous,
    ) -> Result<Self, StoreError> {
        let mut connection = Connection::open(path).map_err(explain)?;
        schema::prepare(&mut connection, synchronous)?;
        let reading = Connection::open(path).map_err(explain)?;
        schema::configure(&reading, synchronous)?;
        reading.pragma_update(None, "query_only", true).map_err(explain)?;
        let (writer, writing) = Writer::start(connection)?;
        let (reader, reading) = start("sqlite-read", reading)?;
        let (_reading, _writing) = (Joined(Some(reading)), Joined(Some(writing)));
        Ok(Self { reader, _reading, writer, _writing, clock })
    }

    async fn read<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Connection) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        submit(&self.reader, move |connection| work(connection)).await
    }

    /// Runs `work` in a transaction: all of it becomes durable, or nothing.
    async fn write<T: Send + 'static>(
        &self,
        work: impl Fn(&Transaction<'_>) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        self.writer.write(work).await
    }

    /// Removes the row of a tenant that `sql` names by id and tenant, and makes the change that goes with it.
    async fn delete_owned(
        &self,
        sql: &'static str,
        tenant: &TenantId,
        id: &str,
        also: &Change,
    ) -> Result<bool, StoreError> {
        let (tenant, id, also) = (tenant.to_string(), id.to_string(), also.clone());
        self.write(move |db| {
            let there = queries::delete(db, sql, [&id, &tenant])?;
            if there {
                documents::apply(db, &also)?;
            }
            Ok(there)
        })
        .await
    }
}

/// A thread that owns `connection` and does one thing after the other.
fn start(
    name: &str,
    mut connection: Connection,
) -> Result<(mpsc::Sender<Reading>, JoinHandle<()>), StoreError> {
    let (sender, receiver) = mpsc::channel::<Reading>();
    let thread = std::thread::Builder::new()
        .name(name.to_string())
        .spawn(move || {
            while let Ok(work) = receiver.recv() {
                work(&mut connection);
            }
        })
        .map_err(|error| StoreError::Unavailable(error.to_string()))?;
    Ok((sender, thread))
}

async fn submit<T: Send + 'static>(
    thread: &mpsc::Sender<Reading>,
    work: impl FnOnce(&mut Connection) -> Result<T, StoreError> + Send + 'static,
) -> Result<T, StoreError> {
    let (answer, answered) = oneshot::channel();
    let gone = || StoreError::Unavailable("the database thread has ended".to_string());
    let work: Reading = Box::new(move |connection| {
        // Whoever asked may have gone meanwhile; the work is done all the same.
        let _ = answer.send(work(connection));
    });
    thread.send(work).map_err(|_| gone())?;
    answered.await.map_err(|_| gone())?
}

/// SQLite's error as the port's.
fn explain(error: rusqlite::Error) -> StoreError {
    match error.sqlite_error_code() {
        Some(rusqlite::ErrorCode::DiskFull) => StoreError::NoSpace,
        // An id that is taken; every other constraint holds by construction.
        Some(rusqlite::ErrorCode::ConstraintViolation) => StoreError::Conflict,
        Some(rusqlite::ErrorCode::NotADatabase | rusqlite::ErrorCode::DatabaseCorrupt) => {
            StoreError::Corrupt(error.to_string())
        }
        _ => StoreError::Unavailable(error.to_string()),
    }
}

#[async_trait]
impl Store for SqliteStore {
    async fn now_ms(&self) -> Result<i64, StoreError> {
        Ok(self.clock.now_ms())
    }

    fn durability(&self) -> Durability {
        Durability::Durable
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
        self.read(move |db| queries::jobs(db, &tenant, &filter, &page)).await
    }

    async fn live_jobs(&self) -> Result<Vec<JobRecord>, StoreError> {
        self.read(|db| rows::all(db, "SELECT record FROM jobs WHERE live ORDER BY seq", [])).await
    }

    async fn file_in_use(&self, tenant: &TenantId, id: &FileId) -> Result<bool, StoreError> {
        let (tenant, id) = (tenant.to_string(), id.to_string());
        let sql = "SELECT count(*) FROM jobs WHERE live AND tenant = ?1 AND (training_file = ?2 OR validation_file = ?2)";
        self.read(move |db| Ok(queries::count(db, sql, [&tenant, &id])? > 0)).await
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
        let sql = "DELETE FROM idempotency WHERE record ->> 'created_at_ms' < ?1";
        self.write(move |db| queries::execute(db, sql, [before_ms]).map(|_| ())).await
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

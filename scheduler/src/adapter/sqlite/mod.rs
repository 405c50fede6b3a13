//! The record in one SQLite file: WAL, `synchronous=FULL`, one thread that writes, in groups (`writer.rs`), and some that read
//! (`readers.rs`), each as of the last commit.
//!
//! Records are JSON beside the columns that are searched by, so that a field needs no migration; `schema.rs` has the tables.

mod documents;
mod file;
#[cfg(test)]
mod flat;
mod jobs;
mod queries;
mod readers;
mod rows;
mod schema;
mod store;
mod writer;

use std::path::Path;
use std::sync::Arc;
use std::thread::JoinHandle;

use rusqlite::{Connection, Transaction};
use trainyard_openapi::id::TenantId;

use crate::clock::Clock;
use crate::port::document::Change;
use crate::port::store::StoreError;

pub use file::{Inventory, NamedObject, SqliteFile};
use readers::Readers;
pub use schema::Synchronous;
use writer::Writer;

/// The store.
pub struct SqliteStore {
    // Dropped in this order: the connection that writes is closed last, which brings the log back into the file.
    readers: Readers,
    _reading: Vec<Joined>,
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
        let open = || {
            let reading = Connection::open(path).map_err(explain)?;
            schema::configure(&reading, synchronous)?;
            reading.pragma_update(None, "query_only", true).map_err(explain)?;
            Ok(reading)
        };
        let (readers, reading) = Readers::start(open)?;
        let (writer, writing) = Writer::start(connection)?;
        let _reading = reading.into_iter().map(|thread| Joined(Some(thread))).collect();
        Ok(Self { readers, _reading, writer, _writing: Joined(Some(writing)), clock })
    }

    async fn read<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Connection) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        self.readers.read(work).await
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

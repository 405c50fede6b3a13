//! A database file that is only looked at: a running server's, a backup's, a copy's. It can be copied, counted and audited.

use std::collections::BTreeMap;
use std::path::Path;

use rusqlite::{Connection, OpenFlags, params};

use super::{explain, queries, rows, schema};
use crate::audit::AuditRecord;
use crate::port::store::StoreError;

/// A database file, opened for reading alone.
pub struct SqliteFile {
    connection: Connection,
}

/// What a record says of an object.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct NamedObject {
    /// The key in the object store.
    pub key: String,
    /// The SHA-256 of its content, where the record has it.
    pub sha256: Option<String>,
}

/// What a database holds, and which objects its records name.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Inventory {
    /// Numbers of tenants, keys, files, models, checkpoints, entries of the audit log, and of jobs by state.
    pub counts: BTreeMap<String, u64>,
    /// Objects that records name by key.
    pub objects: Vec<NamedObject>,
    /// Directories that records name; the `manifest.json` of each names its files.
    pub directories: Vec<String>,
}

/// An entry of the audit log as it lies in the file.
struct AuditRow {
    seq: i64,
    hash: String,
    text: String,
}

impl SqliteFile {
    /// Opens the database at `path`, which a server may be writing.
    ///
    /// # Errors
    /// Where it is not there, is no database, or is of another version.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(path, flags).map_err(explain)?;
        connection.busy_timeout(std::time::Duration::from_secs(10)).map_err(explain)?;
        schema::check(&connection)?;
        Ok(Self { connection })
    }

    /// Writes a copy to `path`, as everything stood at one moment; nobody who writes waits for it. The copy is one file.
    ///
    /// # Errors
    /// Where there is no space, or something at `path` already.
    pub fn snapshot(&self, path: &Path) -> Result<(), StoreError> {
        let target = path.to_str().ok_or_else(|| {
            StoreError::Unavailable(format!("'{}' is no path in UTF-8", path.display()))
        })?;
        self.connection.execute("VACUUM INTO ?1", [target]).map_err(explain)?;
        // A copy in WAL mode would want a second file beside it. The server turns WAL on again.
        let copy = Connection::open(path).map_err(explain)?;
        copy.pragma_update(None, "journal_mode", "DELETE").map_err(explain)?;
        copy.close().map_err(|(_, error)| explain(error))?;
        let durable = std::fs::File::open(path).and_then(|file| file.sync_all());
        durable.map_err(|error| StoreError::Unavailable(error.to_string()))
    }

    /// Looks through the whole file for damage.
    ///
    /// # Errors
    /// The first damage.
    pub fn check(&self) -> Result<(), StoreError> {
        let sql = "PRAGMA integrity_check(1)";
        let found: String =
            self.connection.query_row(sql, [], |row| row.get(0)).map_err(explain)?;
        if found == "ok" { Ok(()) } else { Err(StoreError::Corrupt(found)) }
    }

    /// What it holds.
    ///
    /// # Errors
    /// Where it cannot be read.
    pub fn inventory(&self) -> Result<Inventory, StoreError> {
        let mut counts = BTreeMap::new();
        for (name, sql) in [
            ("tenants", "SELECT count(*) FROM documents WHERE kind = 'tenant'"),
            ("keys", "SELECT count(*) FROM documents WHERE kind = 'key'"),
            ("files", "SELECT count(*) FROM files"),
            ("models", "SELECT count(*) FROM models"),
            ("checkpoints", "SELECT count(*) FROM checkpoints"),
            ("audit_entries", "SELECT count(*) FROM audit"),
        ] {
            counts.insert(name.to_string(), queries::count(&self.connection, sql, [])?);
        }
        for (state, count) in self.pairs(
            "SELECT coalesce(record ->> '$.state.state', 'unknown'), count(*) FROM jobs GROUP BY 1",
        )? {
            counts.insert(format!("jobs_{}", state.unwrap_or_default()), count.unsigned_abs());
        }
        Ok(Inventory {
            counts,
            objects: self.named_objects()?,
            directories: self.named_directories()?,
        })
    }

    /// Tenants that have entries in the audit log or a record of their own.
    ///
    /// # Errors
    /// Where it cannot be read.
    pub fn audited_tenants(&self) -> Result<Vec<String>, StoreError> {
        let sql = "SELECT DISTINCT tenant FROM audit UNION SELECT id FROM documents WHERE kind = 'tenant' ORDER BY 1";
        let mut statement = self.connection.prepare(sql).map_err(explain)?;
        let rows = statement.query_map([], |row| row.get(0)).map_err(explain)?;
        rows.collect::<Result<_, _>>().map_err(explain)
    }

    /// Entries of a tenant's audit log after place `after`, each exactly as it was written.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`] where one is not.
    pub fn audit(
        &self,
        tenant: &str,
        after: u64,
        limit: u32,
    ) -> Result<Vec<AuditRecord>, StoreError> {
        // No entry has a place below 1: one that does is shown first, and found.
        let sql = "SELECT seq, hash, record FROM audit WHERE tenant = ?1 AND (seq > ?2 OR (seq < 1 AND ?2 = 0))
                   ORDER BY seq LIMIT ?3";
        let mut statement = self.connection.prepare_cached(sql).map_err(explain)?;
        let read = |row: &rusqlite::Row<'_>| {
            Ok(AuditRow { seq: row.get(0)?, hash: row.get(1)?, text: row.get(2)? })
        };
        let found = statement.query_map(params![tenant, queries::signed(after), limit], read);
        let rows: Vec<AuditRow> =
            found.and_then(|rows| rows.collect()).map_err(|error| match error {
                // A column of another type, or text that is not UTF-8.
                rusqlite::Error::FromSqlConversionFailure(..)
                | rusqlite::Error::InvalidColumnType(..)
                | rusqlite::Error::Utf8Error(..) => StoreError::Corrupt(error.to_string()),
                error => explain(error),
            })?;
        rows.into_iter().map(intact).collect()
    }

    fn named_objects(&self) -> Result<Vec<NamedObject>, StoreError> {
        // The kinds of documents that own an object stand here: it lies under their `key`.
        let sql = "SELECT record ->> 'key', record ->> 'sha256' FROM files
             UNION SELECT record ->> '$.record.key', record ->> '$.record.sha256' FROM documents
                 WHERE kind IN ('upload_part')";
        let mut statement = self.connection.prepare(sql).map_err(explain)?;
        let read = |row: &rusqlite::Row<'_>| -> rusqlite::Result<(String, Option<String>)> {
            Ok((row.get(0)?, row.get(1)?))
        };
        let found = statement.query_map([], read).map_err(explain)?;
        let is_hash = |hash: &String| hash.len() == 64;
        let named = found.map(|pair| {
            pair.map(|(key, sha256)| NamedObject { key, sha256: sha256.filter(is_hash) })
        });
        named.collect::<Result<_, _>>().map_err(explain)
    }

    fn named_directories(&self) -> Result<Vec<String>, StoreError> {
        let sql = "SELECT record ->> 'prefix', 0 FROM models
             UNION SELECT record ->> 'prefix', 0 FROM checkpoints
             UNION SELECT record ->> '$.checkpoint.prefix', 0 FROM jobs WHERE live";
        Ok(self.pairs(sql)?.into_iter().filter_map(|(prefix, _)| prefix).collect())
    }

    fn pairs(&self, sql: &str) -> Result<Vec<(Option<String>, i64)>, StoreError> {
        let mut statement = self.connection.prepare(sql).map_err(explain)?;
        let rows =
            statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?))).map_err(explain)?;
        rows.collect::<Result<_, _>>().map_err(explain)
    }
}

/// The record of a row in which every byte is as it was written: columns and text agree, and the text is the record's own.
fn intact(row: AuditRow) -> Result<AuditRecord, StoreError> {
    let AuditRow { seq, hash, text } = row;
    let changed = |what: &str| StoreError::Corrupt(format!("entry {seq}: {what}"));
    let record: AuditRecord =
        serde_json::from_str(&text).map_err(|error| changed(&error.to_string()))?;
    if queries::signed(record.seq) != seq || record.hash != hash {
        return Err(changed("its row and its record differ"));
    }
    if rows::encode(&record)? != text {
        return Err(changed("its text is not as it was written"));
    }
    Ok(record)
}

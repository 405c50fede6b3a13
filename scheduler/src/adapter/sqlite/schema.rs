//! Tables and their versions. `user_version` says which version a file has; a newer one than this program knows is refused.

use rusqlite::{Connection, TransactionBehavior};

use super::explain;
use crate::port::store::StoreError;

/// Steps from each version to the next; the first makes an empty file version 1.
const MIGRATIONS: &[&str] = &["
    CREATE TABLE keys (id TEXT PRIMARY KEY, record TEXT NOT NULL) STRICT;

    CREATE TABLE files (
        seq INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL UNIQUE, tenant TEXT NOT NULL, purpose TEXT NOT NULL,
        record TEXT NOT NULL
    ) STRICT;
    CREATE INDEX files_by_tenant ON files (tenant, seq);

    CREATE TABLE models (
        seq INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL UNIQUE, tenant TEXT NOT NULL, record TEXT NOT NULL
    ) STRICT;
    CREATE INDEX models_by_tenant ON models (tenant, seq);

    CREATE TABLE jobs (
        seq INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL UNIQUE, tenant TEXT NOT NULL, rev INTEGER NOT NULL,
        live INTEGER NOT NULL, training_file TEXT NOT NULL, validation_file TEXT, record TEXT NOT NULL
    ) STRICT;
    CREATE INDEX jobs_by_tenant ON jobs (tenant, seq);
    CREATE INDEX jobs_live ON jobs (seq) WHERE live;

    CREATE TABLE events (
        seq INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL UNIQUE, job TEXT NOT NULL REFERENCES jobs (id),
        record TEXT NOT NULL
    ) STRICT;
    CREATE INDEX events_by_job ON events (job, seq);

    CREATE TABLE checkpoints (
        seq INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL UNIQUE, job TEXT NOT NULL REFERENCES jobs (id),
        record TEXT NOT NULL
    ) STRICT;
    CREATE INDEX checkpoints_by_job ON checkpoints (job, seq);

    CREATE TABLE idempotency (
        tenant TEXT NOT NULL, key TEXT NOT NULL, record TEXT NOT NULL, PRIMARY KEY (tenant, key)
    ) STRICT, WITHOUT ROWID;

    CREATE TABLE outbox (
        seq INTEGER PRIMARY KEY AUTOINCREMENT, job TEXT NOT NULL, ticket INTEGER NOT NULL, record TEXT NOT NULL
    ) STRICT;
", "
    CREATE TABLE documents (
        seq INTEGER PRIMARY KEY AUTOINCREMENT, kind TEXT NOT NULL, id TEXT NOT NULL, scope TEXT NOT NULL, rev INTEGER NOT NULL,
        record TEXT NOT NULL, UNIQUE (kind, id)
    ) STRICT;
    CREATE INDEX documents_by_scope ON documents (kind, scope, seq);
    -- Keys of version 1 may do everything, and each made a tenant of its own.
    INSERT INTO documents (kind, id, scope, rev, record)
        SELECT 'key', id, record ->> 'tenant', 1, json_object('kind', 'key', 'id', id, 'scope', record ->> 'tenant', 'rev', 1,
            'record', json_patch(record, json_object('name', 'first key', 'scopes', json_array('admin')))) FROM keys;
    INSERT INTO documents (kind, id, scope, rev, record)
        SELECT 'tenant', record ->> 'tenant', '', 1, json_object('kind', 'tenant', 'id', record ->> 'tenant', 'scope', '', 'rev', 1,
            'record', json_object('id', record ->> 'tenant', 'name', 'default', 'created_at_ms', record ->> 'created_at_ms'))
        FROM keys WHERE true ON CONFLICT DO NOTHING;
    DROP TABLE keys;

    CREATE TABLE audit (
        tenant TEXT NOT NULL, seq INTEGER NOT NULL, hash TEXT NOT NULL, record TEXT NOT NULL, PRIMARY KEY (tenant, seq)
    ) STRICT, WITHOUT ROWID;

    CREATE TABLE usage (
        tenant TEXT NOT NULL, day INTEGER NOT NULL, accelerator_ms INTEGER NOT NULL, trained_tokens INTEGER NOT NULL,
        jobs_created INTEGER NOT NULL, jobs_succeeded INTEGER NOT NULL, PRIMARY KEY (tenant, day)
    ) STRICT, WITHOUT ROWID;

    ALTER TABLE files ADD COLUMN bytes INTEGER NOT NULL DEFAULT 0;
    ALTER TABLE files ADD COLUMN expires_at_ms INTEGER;
    ALTER TABLE models ADD COLUMN bytes INTEGER NOT NULL DEFAULT 0;
    UPDATE files SET bytes = record ->> 'bytes';
    CREATE INDEX files_by_expiry ON files (expires_at_ms) WHERE expires_at_ms IS NOT NULL;
    CREATE INDEX jobs_live_by_tenant ON jobs (tenant) WHERE live;
", "
    -- The lists that the scheduler's loops work through, each read from the index alone.
    ALTER TABLE jobs ADD COLUMN lane TEXT;
    ALTER TABLE jobs ADD COLUMN since_ms INTEGER;
    ALTER TABLE jobs ADD COLUMN priority INTEGER NOT NULL DEFAULT 1;
    UPDATE jobs SET
        since_ms = CASE WHEN record ->> '$.state.state' = 'queued' THEN record ->> '$.state.since_ms' END,
        lane = CASE record ->> '$.state.state' WHEN 'validating' THEN 'validating' WHEN 'queued' THEN 'queued'
            WHEN 'dispatched' THEN 'busy' WHEN 'running' THEN 'busy' END,
        priority = CASE record ->> '$.plan.resources.priority' WHEN 'low' THEN 0 WHEN 'high' THEN 2 ELSE 1 END;
    CREATE INDEX jobs_in_lane ON jobs (lane, seq, id, tenant, priority, since_ms) WHERE lane IS NOT NULL;
    DROP INDEX jobs_live;
    DROP INDEX jobs_live_by_tenant;
    CREATE INDEX jobs_by_training_file ON jobs (training_file, tenant, live);
    CREATE INDEX jobs_by_validation_file ON jobs (validation_file, tenant, live);
    CREATE INDEX files_by_content ON files (tenant, record ->> 'sha256');

    -- How many jobs of a tenant have not ended: a quota asks at every submit.
    CREATE TABLE live_jobs (tenant TEXT PRIMARY KEY, jobs INTEGER NOT NULL) STRICT, WITHOUT ROWID;
    INSERT INTO live_jobs SELECT tenant, count(*) FROM jobs WHERE live GROUP BY tenant;
    CREATE TRIGGER live_job_made AFTER INSERT ON jobs WHEN NEW.live BEGIN
        INSERT INTO live_jobs VALUES (NEW.tenant, 1) ON CONFLICT DO UPDATE SET jobs = jobs + 1;
    END;
    CREATE TRIGGER live_job_changed AFTER UPDATE OF live ON jobs WHEN NEW.live <> OLD.live BEGIN
        UPDATE live_jobs SET jobs = jobs + NEW.live - OLD.live WHERE tenant = NEW.tenant;
    END;
    CREATE TRIGGER live_job_removed AFTER DELETE ON jobs WHEN OLD.live BEGIN
        UPDATE live_jobs SET jobs = jobs - 1 WHERE tenant = OLD.tenant;
    END;

    -- Pairs of metadata, which a job keeps as it was made with them.
    CREATE TABLE job_metadata (
        tenant TEXT NOT NULL, key TEXT NOT NULL, value TEXT NOT NULL, seq INTEGER NOT NULL, PRIMARY KEY (tenant, key, value, seq)
    ) STRICT, WITHOUT ROWID;
    INSERT INTO job_metadata SELECT jobs.tenant, pair.key, pair.value, jobs.seq
        FROM jobs, json_each(jobs.record, '$.metadata') AS pair WHERE jobs.record -> '$.metadata' <> 'null';
    CREATE TRIGGER job_with_metadata AFTER INSERT ON jobs WHEN NEW.record -> '$.metadata' <> 'null' BEGIN
        INSERT INTO job_metadata SELECT NEW.tenant, pair.key, pair.value, NEW.seq
            FROM json_each(NEW.record, '$.metadata') AS pair;
    END;
    CREATE TRIGGER job_with_metadata_removed AFTER DELETE ON jobs WHEN OLD.record -> '$.metadata' <> 'null' BEGIN
        DELETE FROM job_metadata WHERE seq = OLD.seq AND tenant = OLD.tenant
            AND (key, value) IN (SELECT pair.key, pair.value FROM json_each(OLD.record, '$.metadata') AS pair);
    END;

    -- Bytes beside the order, so that adding them up reads the index alone.
    DROP INDEX files_by_tenant;
    CREATE INDEX files_by_tenant ON files (tenant, seq, bytes);
    DROP INDEX models_by_tenant;
    CREATE INDEX models_by_tenant ON models (tenant, seq, bytes);
    CREATE INDEX idempotency_by_age ON idempotency (record ->> 'created_at_ms');
", "
    -- The line of each pool is read from the index alone, too.
    ALTER TABLE jobs ADD COLUMN pool TEXT NOT NULL DEFAULT 'default';
    ALTER TABLE jobs ADD COLUMN devices INTEGER NOT NULL DEFAULT 1;
    UPDATE jobs SET pool = record ->> '$.plan.resources.pool', devices = record ->> '$.plan.resources.devices';
    DROP INDEX jobs_in_lane;
    CREATE INDEX jobs_in_lane ON jobs (lane, seq, id, tenant, priority, since_ms, pool, devices) WHERE lane IS NOT NULL;
", "
    -- How many jobs of a pool are in each state but the last ones: metrics ask every few seconds.
    ALTER TABLE jobs ADD COLUMN state TEXT;
    UPDATE jobs SET state = CASE record ->> '$.state.state' WHEN 'validating' THEN 'validating_files'
        ELSE record ->> '$.state.state' END WHERE live;
    CREATE TABLE job_counts (
        state TEXT NOT NULL, pool TEXT NOT NULL, jobs INTEGER NOT NULL, PRIMARY KEY (state, pool)
    ) STRICT, WITHOUT ROWID;
    INSERT INTO job_counts SELECT state, pool, count(*) FROM jobs WHERE state IS NOT NULL GROUP BY state, pool;
    CREATE TRIGGER job_counted AFTER INSERT ON jobs WHEN NEW.state IS NOT NULL BEGIN
        INSERT INTO job_counts VALUES (NEW.state, NEW.pool, 1) ON CONFLICT DO UPDATE SET jobs = jobs + 1;
    END;
    CREATE TRIGGER job_counted_anew AFTER UPDATE OF state ON jobs WHEN NEW.state IS NOT OLD.state BEGIN
        UPDATE job_counts SET jobs = jobs - 1 WHERE state = OLD.state AND pool = OLD.pool;
        INSERT INTO job_counts SELECT NEW.state, NEW.pool, 1 WHERE NEW.state IS NOT NULL
            ON CONFLICT DO UPDATE SET jobs = jobs + 1;
    END;
    CREATE TRIGGER job_counted_no_more AFTER DELETE ON jobs WHEN OLD.state IS NOT NULL BEGIN
        UPDATE job_counts SET jobs = jobs - 1 WHERE state = OLD.state AND pool = OLD.pool;
    END;
", "
    -- What a job is made of: files that it reads, and the job whose result it goes on from.
    CREATE TABLE job_sources (
        source TEXT NOT NULL, tenant TEXT NOT NULL, seq INTEGER NOT NULL, live INTEGER NOT NULL, PRIMARY KEY (source, tenant, seq)
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX job_sources_live ON job_sources (source, tenant) WHERE live;
    CREATE INDEX job_sources_by_job ON job_sources (seq);
    INSERT INTO job_sources SELECT training_file, tenant, seq, live FROM jobs;
    INSERT OR IGNORE INTO job_sources SELECT validation_file, tenant, seq, live FROM jobs WHERE validation_file IS NOT NULL;
    CREATE TRIGGER job_with_sources_changed AFTER UPDATE OF live ON jobs WHEN NEW.live <> OLD.live BEGIN
        UPDATE job_sources SET live = NEW.live WHERE seq = NEW.seq;
    END;
    CREATE TRIGGER job_with_sources_removed AFTER DELETE ON jobs BEGIN
        DELETE FROM job_sources WHERE seq = OLD.seq;
    END;
    DROP INDEX jobs_by_training_file;
    DROP INDEX jobs_by_validation_file;
"];

/// What a commit waits for. Only `Full` makes it durable against a power cut: the others may roll back what was acknowledged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Synchronous {
    /// The disk, at every commit.
    Full,
    /// The disk, when the log is written back.
    Normal,
    /// Nothing.
    Off,
}

impl Synchronous {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Full => "FULL",
            Self::Normal => "NORMAL",
            Self::Off => "OFF",
        }
    }
}

/// How long a connection waits for another's lock.
pub(super) const BUSY_WAIT: std::time::Duration = std::time::Duration::from_secs(10);

/// Settings of every connection.
pub(super) fn configure(
    connection: &Connection,
    synchronous: Synchronous,
) -> Result<(), StoreError> {
    connection.busy_timeout(BUSY_WAIT).map_err(explain)?;
    // What is deleted is overwritten: nothing of it may be left on free pages.
    let settings = [
        ("journal_mode", "WAL"),
        ("synchronous", synchronous.as_str()),
        ("foreign_keys", "ON"),
        ("secure_delete", "ON"),
    ];
    for (name, value) in settings {
        connection.pragma_update(None, name, value).map_err(explain)?;
    }
    let mode: String =
        connection.query_row("PRAGMA journal_mode", [], |row| row.get(0)).map_err(explain)?;
    if mode != "wal" {
        let text =
            format!("the database's journal mode is '{mode}': its file system cannot carry WAL");
        return Err(StoreError::Unavailable(text));
    }
    connection.set_prepared_statement_cache_capacity(64);
    Ok(())
}

/// Refuses a file of another version than this program's: it is only looked at, so it cannot be brought up.
pub(super) fn check(connection: &Connection) -> Result<(), StoreError> {
    let version: i64 =
        connection.query_row("PRAGMA user_version", [], |row| row.get(0)).map_err(explain)?;
    let known = MIGRATIONS.len() as i64;
    if version == known {
        return Ok(());
    }
    let text = format!(
        "the database has version {version}, this program has {known}: use the program that wrote it, or start its server once with this one"
    );
    Err(StoreError::Corrupt(text))
}

/// Configures the connection and brings the file to this program's version.
pub(super) fn prepare(
    connection: &mut Connection,
    synchronous: Synchronous,
) -> Result<(), StoreError> {
    configure(connection, synchronous)?;
    // One transaction that begins as a writer: two programs that open a file at once do not both make it.
    let behavior = TransactionBehavior::Immediate;
    let transaction = connection.transaction_with_behavior(behavior).map_err(explain)?;
    let version: i64 =
        transaction.query_row("PRAGMA user_version", [], |row| row.get(0)).map_err(explain)?;
    let known = MIGRATIONS.len();
    let current = usize::try_from(version).ok().filter(|version| *version <= known).ok_or_else(|| {
        let text = format!("the database has version {version}, this program knows up to {known}; use a newer program");
        StoreError::Corrupt(text)
    })?;
    for migration in &MIGRATIONS[current..] {
        transaction.execute_batch(migration).map_err(explain)?;
    }
    transaction.pragma_update(None, "user_version", known as i64).map_err(explain)?;
    transaction.commit().map_err(explain)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use trainyard_openapi::extension::Priority;
    use trainyard_openapi::page::{Order, PageRequest};

    use super::*;
    use crate::adapter::sqlite::{jobs, rows};
    use crate::contract::sample;
    use crate::job::state::Transition;
    use crate::port::store::{JobFilter, QueuedJob};

    #[test]
    fn jobs_of_version_2_stand_in_their_lists() {
        let directory = tempfile::TempDir::new().unwrap();
        let mut db = Connection::open(directory.path().join("record.db")).unwrap();
        MIGRATIONS[..2].iter().for_each(|step| db.execute_batch(step).unwrap());
        db.pragma_update(None, "user_version", 2).unwrap();
        let tenant = sample::tenant();
        let (mut queued, validating) = (sample::job(&tenant), sample::job(&tenant));
        queued.metadata = Some(BTreeMap::from([("a".to_string(), "1".to_string())]));
        queued.plan.resources.priority = Priority::High;
        queued.state = queued.state.apply(Transition::Validated { now_ms: 7 }).unwrap();
        let mut busy = sample::job(&tenant);
        busy.state = busy.state.apply(Transition::Validated { now_ms: 7 }).unwrap();
        busy.state = busy.state.apply(Transition::Dispatch { now_ms: 8 }).unwrap();
        let mut ended = sample::job(&tenant);
        ended.state = ended.state.apply(Transition::Cancel { now_ms: 9 }).unwrap();
        for job in [&queued, &validating, &busy, &ended] {
            let live = !job.state.status().is_terminal();
            let sql = "INSERT INTO jobs (id, tenant, rev, live, training_file, record) VALUES (?1, ?2, 1, ?3, ?4, ?5)";
            let (id, tenant, file) = (job.id.as_str(), tenant.as_str(), job.training_file.as_str());
            let record = rows::encode(job).unwrap();
            db.execute(sql, rusqlite::params![id, tenant, live, file, record]).unwrap();
        }

        prepare(&mut db, Synchronous::Off).unwrap();
        assert_eq!(jobs::queued(&db).unwrap(), [QueuedJob::of(&queued).unwrap()]);
        assert_eq!(jobs::validating(&db).unwrap(), [validating.id]);
        assert_eq!(jobs::busy(&db).unwrap(), [busy]);
        assert_eq!(jobs::live_count(&db, tenant.as_str()).unwrap(), 3);
        let counts = jobs::counts(&db).unwrap();
        let counts: Vec<_> = counts.iter().map(|count| (count.state, count.jobs)).collect();
        assert_eq!(counts, [("dispatched", 1), ("queued", 1), ("validating_files", 1)]);
        let page = PageRequest { after: None, limit: 9, order: Order::Desc };
        let found = |value: &str| {
            let metadata = BTreeMap::from([("a".to_string(), value.to_string())]);
            jobs::page(&db, tenant.as_str(), &JobFilter { metadata, ..JobFilter::default() }, &page)
                .unwrap()
                .0
        };
        assert_eq!((found("1"), found("2")), (vec![queued], vec![]));
    }
}

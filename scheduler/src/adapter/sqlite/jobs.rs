//! Jobs: the row, the lists that the loops work through, and the pages that owners see. None costs more because there are more jobs
//! than it gives.

use rusqlite::types::Value;
use rusqlite::{Connection, OptionalExtension, Transaction, params};
use trainyard_openapi::extension::Priority;
use trainyard_openapi::id::JobId;
use trainyard_openapi::page::{Order, PageRequest};

use super::queries::{count, cursor, execute, paged, signed};
use super::{explain, rows};
use crate::job::{JobRecord, JobState};
use crate::port::store::{JobCount, JobFilter, QueuedJob, Slice, StoreError};

/// Which list of the loops a job stands in: the column `lane`.
fn lane(state: &JobState) -> Option<&'static str> {
    match state {
        JobState::Validating => Some("validating"),
        JobState::Queued { .. } => Some("queued"),
        JobState::Dispatched { .. } | JobState::Running { .. } => Some("busy"),
        JobState::Paused { .. }
        | JobState::Succeeded { .. }
        | JobState::Failed { .. }
        | JobState::Cancelled { .. } => None,
    }
}

/// Writes the row of a job that was read at `expected_rev`, 0 for a new one; gives how many rows that were.
pub(super) fn write(
    db: &Transaction<'_>,
    job: &JobRecord,
    expected_rev: u64,
) -> Result<usize, StoreError> {
    let live = !job.state.status().is_terminal();
    let (lane, state) = (lane(&job.state), job.state.live_word());
    let since_ms = QueuedJob::of(job).map(|queued| queued.since_ms);
    let (id, rev, record) = (job.id.as_str(), signed(job.rev), rows::encode(job)?);
    if expected_rev > 0 {
        let sql = "UPDATE jobs SET rev = ?1, live = ?2, lane = ?3, state = ?4, since_ms = ?5, record = ?6 WHERE id = ?7 AND rev = ?8";
        return execute(
            db,
            sql,
            params![rev, live, lane, state, since_ms, record, id, signed(expected_rev)],
        );
    }
    let sql = "INSERT INTO jobs (id, tenant, rev, live, lane, state, since_ms, priority, pool, devices, training_file, validation_file, record)
               VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13) ON CONFLICT DO NOTHING";
    let resources = &job.plan.resources;
    let (priority, pool, devices) =
        (number(resources.priority), &resources.pool, resources.devices);
    let (tenant, training) = (job.tenant.as_str(), job.training_file.as_str());
    let validation = job.validation_file.as_ref().map(|id| id.as_str());
    let written = execute(
        db,
        sql,
        params![
            id, tenant, rev, live, lane, state, since_ms, priority, pool, devices, training,
            validation, record
        ],
    )?;
    if written > 0 {
        let seq = db.last_insert_rowid();
        let sql = "INSERT INTO job_sources (source, tenant, seq, live) VALUES (?1, ?2, ?3, ?4)";
        for source in job.sources() {
            execute(db, sql, params![source, tenant, seq, live])?;
        }
    }
    Ok(written)
}

const fn number(priority: Priority) -> i64 {
    match priority {
        Priority::Low => 0,
        Priority::Normal => 1,
        Priority::High => 2,
    }
}

fn priority(number: i64) -> Result<Priority, StoreError> {
    match number {
        0 => Ok(Priority::Low),
        1 => Ok(Priority::Normal),
        2 => Ok(Priority::High),
        other => Err(StoreError::Corrupt(format!("no priority has the number {other}"))),
    }
}

pub(super) fn validating(db: &Connection) -> Result<Vec<JobId>, StoreError> {
    let sql = "SELECT id FROM jobs WHERE lane = 'validating' ORDER BY seq";
    let mut statement = db.prepare_cached(sql).map_err(explain)?;
    let ids = statement.query_map([], |row| row.get::<_, String>(0)).map_err(explain)?;
    ids.map(|id| id.map_err(explain)?.parse().map_err(|_| no_id("job"))).collect()
}

pub(super) fn queued(db: &Connection) -> Result<Vec<QueuedJob>, StoreError> {
    let sql = "SELECT id, tenant, priority, since_ms, pool, devices FROM jobs WHERE lane = 'queued' ORDER BY seq";
    let mut statement = db.prepare_cached(sql).map_err(explain)?;
    let read = |row: &rusqlite::Row<'_>| {
        let (id, tenant): (String, String) = (row.get(0)?, row.get(1)?);
        Ok((id, tenant, row.get(2)?, row.get(3)?, row.get(4)?, row.get(5)?))
    };
    let found = statement.query_map([], read).map_err(explain)?;
    found
        .map(|row| {
            let (id, tenant, number, since_ms, pool, devices) = row.map_err(explain)?;
            Ok(QueuedJob {
                id: id.parse().map_err(|_| no_id("job"))?,
                tenant: tenant.parse().map_err(|_| no_id("tenant"))?,
                priority: priority(number)?,
                since_ms,
                pool,
                devices,
            })
        })
        .collect()
}

pub(super) fn busy(db: &Connection) -> Result<Vec<JobRecord>, StoreError> {
    rows::all(db, "SELECT record FROM jobs WHERE lane = 'busy' ORDER BY seq", [])
}

pub(super) fn counts(db: &Connection) -> Result<Vec<JobCount>, StoreError> {
    let sql = "SELECT state, pool, jobs FROM job_counts WHERE jobs > 0 ORDER BY state, pool";
    let mut statement = db.prepare_cached(sql).map_err(explain)?;
    let read = |row: &rusqlite::Row<'_>| Ok((row.get::<_, String>(0)?, row.get(1)?, row.get(2)?));
    let found = statement.query_map([], read).map_err(explain)?;
    found
        .map(|row| {
            let (state, pool, jobs): (String, String, i64) = row.map_err(explain)?;
            JobCount::new(&state, pool, jobs.unsigned_abs())
        })
        .collect()
}

pub(super) fn live_count(db: &Connection, tenant: &str) -> Result<u64, StoreError> {
    count(db, "SELECT coalesce(sum(jobs), 0) FROM live_jobs WHERE tenant = ?1", [tenant])
}

pub(super) fn reads_file(db: &Connection, tenant: &str, file: &str) -> Result<bool, StoreError> {
    let sql =
        "SELECT EXISTS (SELECT 1 FROM job_sources WHERE live AND source = ?1 AND tenant = ?2)";
    Ok(count(db, sql, [file, tenant])? > 0)
}

pub(super) fn page(
    db: &Connection,
    tenant: &str,
    filter: &JobFilter,
    page: &PageRequest,
) -> Result<Slice<JobRecord>, StoreError> {
    let whose = vec![Value::from(tenant.to_string())];
    if filter.metadata.is_empty() || filter.sources().next().is_some() {
        let mut conditions = vec![("tenant = ?", whose)];
        for source in filter.sources() {
            let sql = "seq IN (SELECT seq FROM job_sources WHERE source = ? AND tenant = ?)";
            conditions.push((
                sql,
                vec![Value::from(source.to_string()), Value::from(tenant.to_string())],
            ));
        }
        for (key, value) in &filter.metadata {
            let sql = "EXISTS (SELECT 1 FROM job_metadata AS pair
                WHERE pair.tenant = jobs.tenant AND pair.key = ? AND pair.value = ? AND pair.seq = jobs.seq)";
            conditions.push((sql, vec![Value::from(key.clone()), Value::from(value.clone())]));
        }
        return paged(db, "jobs", conditions, page);
    }
    let after = page.after.as_ref();
    let after = after.map(|after| cursor(db, "jobs", "tenant = ?", &whose, after)).transpose()?;
    let mut last = after.unwrap_or(match page.order {
        Order::Desc => i64::MAX,
        Order::Asc => 0,
    });
    let mut records = Vec::new();
    while let Some(seq) = next_match(db, tenant, filter, last, page.order)? {
        if records.len() == page.limit as usize {
            return Ok((records, true));
        }
        records.extend(rows::one(db, "SELECT record FROM jobs WHERE seq = ?1", [seq])?);
        last = seq;
    }
    Ok((records, false))
}

/// The next job after `last` that has every pair. The pairs take turns in naming the next that has them, until all name the same:
/// the rarest pair sets the number of steps, which is at most some for each job that has it.
fn next_match(
    db: &Connection,
    tenant: &str,
    filter: &JobFilter,
    last: i64,
    order: Order,
) -> Result<Option<i64>, StoreError> {
    let (sql, step) = match order {
        Order::Desc => (
            "SELECT seq FROM job_metadata WHERE tenant = ?1 AND key = ?2 AND value = ?3 AND seq <= ?4 ORDER BY seq DESC LIMIT 1",
            -1,
        ),
        Order::Asc => (
            "SELECT seq FROM job_metadata WHERE tenant = ?1 AND key = ?2 AND value = ?3 AND seq >= ?4 ORDER BY seq LIMIT 1",
            1,
        ),
    };
    let mut statement = db.prepare_cached(sql).map_err(explain)?;
    let (mut candidate, mut agreed) = (last + step, 0);
    for (key, value) in filter.metadata.iter().cycle() {
        let found: Option<i64> = statement
            .query_row(params![tenant, key, value, candidate], |row| row.get(0))
            .optional()
            .map_err(explain)?;
        let Some(found) = found else { return Ok(None) };
        agreed = if found == candidate { agreed + 1 } else { 1 };
        candidate = found;
        if agreed == filter.metadata.len() {
            return Ok(Some(candidate));
        }
    }
    Ok(None)
}

fn no_id(what: &str) -> StoreError {
    StoreError::Corrupt(format!("a {what}'s id is none"))
}

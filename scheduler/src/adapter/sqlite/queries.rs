//! The statements.

use rusqlite::types::Value;
use rusqlite::{Connection, OptionalExtension, Params, Transaction, params, params_from_iter};
use serde::de::DeserializeOwned;
use trainyard_openapi::file::Purpose;
use trainyard_openapi::page::{Order, PageRequest};

use super::{documents, explain, jobs, rows};
use crate::port::store::{Commit, FileRecord, Slice, StoreError};

pub(super) fn count(db: &Connection, sql: &str, params: impl Params) -> Result<u64, StoreError> {
    let mut statement = db.prepare_cached(sql).map_err(explain)?;
    let count: i64 = statement.query_row(params, |row| row.get(0)).map_err(explain)?;
    Ok(count.unsigned_abs())
}

pub(super) fn delete(
    db: &Transaction<'_>,
    sql: &str,
    params: impl Params,
) -> Result<bool, StoreError> {
    execute(db, sql, params).map(|rows| rows > 0)
}

pub(super) fn put_file(db: &Transaction<'_>, file: &FileRecord) -> Result<(), StoreError> {
    let sql = "INSERT INTO files (id, tenant, purpose, bytes, expires_at_ms, record) VALUES (?1, ?2, ?3, ?4, ?5, ?6)
               ON CONFLICT DO NOTHING";
    let (id, tenant, record) = (file.id.as_str(), file.tenant.as_str(), rows::encode(file)?);
    let (purpose, bytes) = (purpose_word(file.purpose)?, signed(file.bytes));
    let added = execute(db, sql, params![id, tenant, purpose, bytes, file.expires_at_ms, record])?;
    same_if_not(added, db, "SELECT record FROM files WHERE id = ?1", id, &record)
}

/// A record that was not added must be there already, the very same.
fn same_if_not(
    added: usize,
    db: &Transaction<'_>,
    sql: &str,
    id: &str,
    record: &str,
) -> Result<(), StoreError> {
    if added > 0 {
        return Ok(());
    }
    let there: String = db
        .prepare_cached(sql)
        .and_then(|mut statement| statement.query_row([id], |row| row.get(0)))
        .map_err(explain)?;
    if there == record { Ok(()) } else { Err(StoreError::Conflict) }
}

pub(super) fn files(
    db: &Connection,
    tenant: &str,
    purpose: Option<Purpose>,
    page: &PageRequest,
) -> Result<Slice<FileRecord>, StoreError> {
    let mut conditions = vec![("tenant = ?", vec![Value::from(tenant.to_string())])];
    if let Some(purpose) = purpose {
        conditions.push(("purpose = ?", vec![Value::from(purpose_word(purpose)?)]));
    }
    paged(db, "files", conditions, page)
}

/// Rows of `table` that belong to a job.
pub(super) fn of_job<T: DeserializeOwned>(
    db: &Connection,
    table: &str,
    job: &str,
    page: &PageRequest,
) -> Result<Slice<T>, StoreError> {
    paged(db, table, vec![("job = ?", vec![Value::from(job.to_string())])], page)
}

/// A page of the rows that meet all conditions. The first says whose list it is.
pub(super) fn paged<T: DeserializeOwned>(
    db: &Connection,
    table: &str,
    conditions: Vec<(&str, Vec<Value>)>,
    page: &PageRequest,
) -> Result<Slice<T>, StoreError> {
    let (compare, direction) = match page.order {
        Order::Desc => ("<", "DESC"),
        Order::Asc => (">", "ASC"),
    };
    let scope = conditions[0].1.len();
    let mut clauses: Vec<String> = Vec::new();
    let mut values: Vec<Value> = Vec::new();
    for (sql, parameters) in conditions {
        clauses.push(sql.to_string());
        values.extend(parameters);
    }
    if let Some(after) = &page.after {
        let seq = cursor(db, table, &clauses[0], &values[..scope], after)?;
        clauses.push(format!("seq {compare} ?"));
        values.push(Value::from(seq));
    }
    values.push(Value::from(i64::from(page.limit) + 1));
    let sql = format!(
        "SELECT record FROM {table} WHERE {} ORDER BY seq {direction} LIMIT ?",
        clauses.join(" AND ")
    );
    let mut records: Vec<T> = rows::all(db, &sql, params_from_iter(values))?;
    let has_more = records.len() > page.limit as usize;
    records.truncate(page.limit as usize);
    Ok((records, has_more))
}

/// The place of a cursor, which must be an item of this very list: a foreign id is as unknown as one that never was.
pub(super) fn cursor(
    db: &Connection,
    table: &str,
    whose: &str,
    values: &[Value],
    after: &str,
) -> Result<i64, StoreError> {
    let sql = format!("SELECT seq FROM {table} WHERE {whose} AND id = ?");
    let mut statement = db.prepare_cached(&sql).map_err(explain)?;
    let values = params_from_iter(values.iter().cloned().chain([Value::from(after.to_string())]));
    let seq: Option<i64> =
        statement.query_row(values, |row| row.get(0)).optional().map_err(explain)?;
    seq.ok_or_else(|| StoreError::UnknownCursor(after.to_string()))
}

pub(super) fn forget_answers(db: &Transaction<'_>, before_ms: i64) -> Result<(), StoreError> {
    // As the index `idempotency_by_age` has it.
    let sql = "DELETE FROM idempotency WHERE record ->> 'created_at_ms' < ?1";
    execute(db, sql, [before_ms]).map(|_| ())
}

/// One change of one job.
pub(super) fn commit(db: &Transaction<'_>, commit: &Commit) -> Result<(), StoreError> {
    let Commit {
        job,
        expected_rev,
        events,
        checkpoint,
        model,
        result_file,
        erases,
        ticket,
        idempotency,
        live_max,
        usage,
        also,
    } = commit;
    if let Some(most) = live_max {
        let there = jobs::live_count(db, job.tenant.as_str())?;
        if there >= u64::from(*most) {
            return Err(StoreError::TooManyLive(there));
        }
    }
    if jobs::write(db, job, *expected_rev)? == 0 {
        return Err(StoreError::Conflict);
    }
    if let Some(kept) = idempotency {
        let sql = "INSERT INTO idempotency (tenant, key, record) VALUES (?1, ?2, ?3)
                   ON CONFLICT DO UPDATE SET record = excluded.record WHERE excluded.record ->> 'implied'";
        if execute(db, sql, params![kept.tenant.as_str(), kept.key, rows::encode(kept)?])? == 0 {
            return Err(StoreError::Conflict);
        }
    }
    if *erases {
        erase(db, job)?;
    }
    for event in events {
        let sql = "INSERT INTO events (id, job, record) VALUES (?1, ?2, ?3)";
        execute(db, sql, params![event.id.as_str(), job.id.as_str(), rows::encode(event)?])?;
    }
    if let Some(checkpoint) = checkpoint {
        let sql = "INSERT INTO checkpoints (id, job, record) VALUES (?1, ?2, ?3)";
        execute(
            db,
            sql,
            params![checkpoint.id.as_str(), job.id.as_str(), rows::encode(checkpoint)?],
        )?;
    }
    if let Some(model) = model {
        let sql = "INSERT INTO models (id, tenant, bytes, record) VALUES (?1, ?2, ?3, ?4)";
        let (tenant, bytes) = (model.tenant.as_str(), signed(model.bytes));
        execute(db, sql, params![model.id, tenant, bytes, rows::encode(model)?])?;
    }
    if let Some(file) = result_file {
        put_file(db, file)?;
    }
    if let Some(ticket) = ticket {
        let sql = "INSERT INTO outbox (job, ticket, record) VALUES (?1, ?2, ?3)";
        execute(db, sql, params![ticket.job.as_str(), signed(ticket.seq), rows::encode(ticket)?])?;
    }
    if let Some(usage) = usage {
        documents::add_usage(db, &job.tenant, usage)?;
    }
    documents::apply(db, also)
}

/// Removes all rows of a tenant but documents and audit log.
pub(super) fn forget_tenant(db: &Transaction<'_>, tenant: &str) -> Result<(), StoreError> {
    for sql in [
        "DELETE FROM events WHERE job IN (SELECT id FROM jobs WHERE tenant = ?1)",
        "DELETE FROM checkpoints WHERE job IN (SELECT id FROM jobs WHERE tenant = ?1)",
        "DELETE FROM outbox WHERE job IN (SELECT id FROM jobs WHERE tenant = ?1)",
        "DELETE FROM jobs WHERE tenant = ?1",
        "DELETE FROM live_jobs WHERE tenant = ?1",
        "DELETE FROM files WHERE tenant = ?1",
        "DELETE FROM models WHERE tenant = ?1",
        "DELETE FROM usage WHERE tenant = ?1",
        "DELETE FROM idempotency WHERE tenant = ?1",
    ] {
        execute(db, sql, [tenant])?;
    }
    Ok(())
}

/// Removes what a job made and what is told of it.
fn erase(db: &Transaction<'_>, job: &crate::job::JobRecord) -> Result<(), StoreError> {
    let (id, tenant) = (job.id.as_str(), job.tenant.as_str());
    execute(db, "DELETE FROM events WHERE job = ?1", [id])?;
    execute(db, "DELETE FROM checkpoints WHERE job = ?1", [id])?;
    execute(db, "DELETE FROM models WHERE tenant = ?2 AND record ->> 'job' = ?1", [id, tenant])?;
    let made = format!("jobs/{id}/");
    let sql =
        "DELETE FROM files WHERE tenant = ?2 AND substr(record ->> 'key', 1, length(?1)) = ?1";
    execute(db, sql, [made.as_str(), tenant]).map(|_| ())
}

pub(super) fn execute(
    db: &Transaction<'_>,
    sql: &str,
    params: impl Params,
) -> Result<usize, StoreError> {
    db.prepare_cached(sql).and_then(|mut statement| statement.execute(params)).map_err(explain)
}

/// SQLite's integers are signed; counters never come near the difference.
pub(super) fn signed(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

fn purpose_word(purpose: Purpose) -> Result<String, StoreError> {
    rows::encode(&purpose)
}

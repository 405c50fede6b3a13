//! Documents, the audit log and the usage of tenants.

use rusqlite::types::Value;
use rusqlite::{Connection, OptionalExtension, Transaction, params};
use trainyard_openapi::id::TenantId;
use trainyard_openapi::page::PageRequest;

use super::queries::{execute, paged, signed};
use super::{explain, rows};
use crate::audit::{AuditEntry, chain};
use crate::port::document::{Change, Kind, Stored, Write};
use crate::port::store::{Slice, StoreError, UsageRecord};

/// Makes all writes of a change.
pub(super) fn apply(db: &Transaction<'_>, change: &Change) -> Result<(), StoreError> {
    for write in &change.writes {
        let written = match write {
            Write::Put(document) if document.rev == 1 => insert(db, document)?,
            Write::Put(document) => update(db, document)?,
            Write::Delete { kind, id, rev } => {
                let sql = "DELETE FROM documents WHERE kind = ?1 AND id = ?2 AND rev = ?3";
                execute(db, sql, params![kind.as_str(), id, signed(*rev)])?
            }
        };
        if written == 0 {
            return Err(StoreError::Conflict);
        }
    }
    change.audit.iter().try_for_each(|entry| audit(db, entry))
}

fn insert(db: &Transaction<'_>, document: &Stored) -> Result<usize, StoreError> {
    let sql = "INSERT INTO documents (kind, id, scope, rev, record) VALUES (?1, ?2, ?3, 1, ?4) ON CONFLICT DO NOTHING";
    let Stored { kind, id, scope, .. } = document;
    execute(db, sql, params![kind.as_str(), id, scope, rows::encode(document)?])
}

fn update(db: &Transaction<'_>, document: &Stored) -> Result<usize, StoreError> {
    let sql = "UPDATE documents SET rev = ?1, scope = ?2, record = ?3 WHERE kind = ?4 AND id = ?5 AND rev = ?1 - 1";
    let Stored { kind, id, scope, rev, .. } = document;
    execute(db, sql, params![signed(*rev), scope, rows::encode(document)?, kind.as_str(), id])
}

pub(super) fn page(
    db: &Connection,
    kind: Kind,
    scope: &str,
    page: &PageRequest,
) -> Result<Slice<Stored>, StoreError> {
    let whose = vec![Value::from(kind.as_str().to_string()), Value::from(scope.to_string())];
    paged(db, "documents", vec![("kind = ? AND scope = ?", whose)], page)
}

/// Continues the tenant's chain.
fn audit(db: &Transaction<'_>, entry: &AuditEntry) -> Result<(), StoreError> {
    let sql = "SELECT seq, hash FROM audit WHERE tenant = ?1 ORDER BY seq DESC LIMIT 1";
    let tenant = entry.tenant.as_str();
    let last: Option<(i64, String)> = db
        .prepare_cached(sql)
        .and_then(|mut statement| {
            statement.query_row([tenant], |row| Ok((row.get(0)?, row.get(1)?))).optional()
        })
        .map_err(explain)?;
    let last = last.as_ref().map(|(seq, hash)| (seq.unsigned_abs(), hash.as_str()));
    let record = chain(last, entry);
    let sql = "INSERT INTO audit (tenant, seq, hash, record) VALUES (?1, ?2, ?3, ?4)";
    execute(db, sql, params![tenant, signed(record.seq), record.hash, rows::encode(&record)?])?;
    Ok(())
}

pub(super) fn add_usage(
    db: &Transaction<'_>,
    tenant: &TenantId,
    usage: &UsageRecord,
) -> Result<(), StoreError> {
    let sql = "INSERT INTO usage (tenant, day, accelerator_ms, trained_tokens, jobs_created, jobs_succeeded)
               VALUES (?1, ?2, ?3, ?4, ?5, ?6)
               ON CONFLICT DO UPDATE SET accelerator_ms = accelerator_ms + excluded.accelerator_ms,
                   trained_tokens = trained_tokens + excluded.trained_tokens,
                   jobs_created = jobs_created + excluded.jobs_created,
                   jobs_succeeded = jobs_succeeded + excluded.jobs_succeeded";
    let UsageRecord { day, accelerator_ms, trained_tokens, jobs_created, jobs_succeeded } = usage;
    let (milliseconds, tokens) = (signed(*accelerator_ms), signed(*trained_tokens));
    let (created, succeeded) = (signed(*jobs_created), signed(*jobs_succeeded));
    execute(db, sql, params![tenant.as_str(), day, milliseconds, tokens, created, succeeded])?;
    Ok(())
}

pub(super) fn usage(
    db: &Connection,
    tenant: &str,
    from: i64,
    to: i64,
) -> Result<Vec<UsageRecord>, StoreError> {
    let sql = "SELECT json_object('day', day, 'accelerator_ms', accelerator_ms, 'trained_tokens', trained_tokens,
                   'jobs_created', jobs_created, 'jobs_succeeded', jobs_succeeded)
               FROM usage WHERE tenant = ?1 AND day BETWEEN ?2 AND ?3 ORDER BY day";
    rows::all(db, sql, params![tenant, from, to])
}

//! Records as JSON in rows.

use rusqlite::{Connection, OptionalExtension, Params};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::explain;
use crate::port::store::StoreError;

/// The record of the one row that `sql` gives in its first column.
pub(super) fn one<T: DeserializeOwned>(
    db: &Connection,
    sql: &str,
    params: impl Params,
) -> Result<Option<T>, StoreError> {
    let mut statement = db.prepare_cached(sql).map_err(explain)?;
    let text: Option<String> =
        statement.query_row(params, |row| row.get(0)).optional().map_err(explain)?;
    text.map(|text| decode(&text)).transpose()
}

/// The records of all rows.
pub(super) fn all<T: DeserializeOwned>(
    db: &Connection,
    sql: &str,
    params: impl Params,
) -> Result<Vec<T>, StoreError> {
    let mut statement = db.prepare_cached(sql).map_err(explain)?;
    let mut rows = statement.query(params).map_err(explain)?;
    let mut records = Vec::new();
    while let Some(row) = rows.next().map_err(explain)? {
        let text: String = row.get(0).map_err(explain)?;
        records.push(decode(&text)?);
    }
    Ok(records)
}

/// A record as JSON.
pub(super) fn encode<T: Serialize>(record: &T) -> Result<String, StoreError> {
    serde_json::to_string(record).map_err(|error| StoreError::Corrupt(error.to_string()))
}

fn decode<T: DeserializeOwned>(text: &str) -> Result<T, StoreError> {
    serde_json::from_str(text).map_err(|error| StoreError::Corrupt(error.to_string()))
}

//! What is refused: values outside their range, and calls that come twice or out of order.

use std::fmt::Display;

/// A value or a call that is refused. What it was made on is as before.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ContinualError {
    /// A value outside its range.
    #[error("{field} must be {limit}, got {value}")]
    OutOfRange {
        /// The name of the field; for an element of a list with its place, from 0.
        field: String,
        /// What is allowed.
        limit: String,
        /// The value seen.
        value: String,
    },
    /// A stage that has its row already.
    #[error("stage {stage} ('{name}') was recorded before: the matrix has {rows} rows")]
    StageTwice {
        /// The stage, from 0.
        stage: usize,
        /// Its name.
        name: String,
        /// Rows of the matrix, besides the base row.
        rows: usize,
    },
    /// Nothing is there to be drawn.
    #[error("the memory is empty: {asked} examples were asked of it")]
    EmptyMemory {
        /// How many were asked for.
        asked: u32,
    },
    /// A stored value that no sequence of calls makes.
    #[error("the stored {what} is corrupt: {why}")]
    Corrupt {
        /// What was stored.
        what: &'static str,
        /// What contradicts what.
        why: &'static str,
    },
}

/// Refuses `value` where `within` does not hold of it.
pub(crate) fn within(
    field: impl Display,
    limit: impl Display,
    value: impl Display,
    within: bool,
) -> Result<(), ContinualError> {
    if within {
        return Ok(());
    }
    let (field, limit, value) = (field.to_string(), limit.to_string(), value.to_string());
    Err(ContinualError::OutOfRange { field, limit, value })
}

/// Refuses a number that is infinite or none.
pub(crate) fn finite(field: impl Display, value: f64) -> Result<(), ContinualError> {
    within(field, "a finite number", value, value.is_finite())
}

/// Refuses a measured value that is none, infinite, or so large that differences and sums could overflow.
pub(crate) fn measured(field: impl Display, value: f64) -> Result<(), ContinualError> {
    within(field, "between -1e12 and 1e12", value, (-1e12..=1e12).contains(&value))
}

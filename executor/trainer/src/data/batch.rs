//! Rows of tokens padded to one length: plain vectors in row-major order.

use crate::data::encode::Example;
use crate::data::sequences::Sequences;
use crate::objective::cross_entropy::IGNORED;

/// A batch of `rows` x `cols`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Batch {
    /// Rows.
    pub rows: usize,
    /// Tokens in a row, padding included.
    pub cols: usize,
    /// Token ids.
    pub input_ids: Vec<i64>,
    /// Aligned with `input_ids`; -100 is not learned. The loss shifts them.
    pub labels: Vec<i64>,
    /// Positions, from 0 in each example.
    pub position_ids: Vec<i64>,
    /// Where the examples lie in the rows.
    pub sequences: Sequences,
    /// Tokens that are not padding.
    pub tokens: usize,
    /// Tokens that are predicted.
    pub target_tokens: usize,
}

impl Batch {
    /// Each row is its examples one after the other, padded at the end with `pad`.
    pub fn new(rows: &[Vec<&Example>], pad: u32, packed: bool) -> Self {
        let length = |row: &Vec<&Example>| lengths(row).sum::<usize>();
        let cols = rows.iter().map(length).max().unwrap_or(0);
        let mut batch = Self {
            rows: rows.len(),
            cols,
            input_ids: Vec::with_capacity(rows.len() * cols),
            labels: Vec::with_capacity(rows.len() * cols),
            position_ids: Vec::with_capacity(rows.len() * cols),
            sequences: match packed {
                true => Sequences::packed(cols, rows.iter().map(|row| lengths(row))),
                false => Sequences::whole(rows.len(), cols),
            },
            tokens: rows.iter().map(length).sum(),
            target_tokens: rows.iter().flatten().map(|example| example.targets()).sum(),
        };
        for (number, row) in rows.iter().enumerate() {
            for example in row {
                batch.input_ids.extend(example.ids.iter().map(|&id| i64::from(id)));
                // Nothing predicts the first token of an example, least of all the example before it in the row.
                batch.labels.push(IGNORED);
                batch.labels.extend(example.labels.iter().skip(1).map(|&label| i64::from(label)));
                batch.position_ids.extend(0..example.ids.len() as i64);
            }
            let end = (number + 1) * cols;
            batch.input_ids.resize(end, i64::from(pad));
            batch.labels.resize(end, IGNORED);
            batch.position_ids.resize(end, 0);
        }
        batch
    }
}

/// Tokens of each example of a row.
fn lengths(row: &[&Example]) -> impl Iterator<Item = usize> {
    row.iter().map(|example| example.ids.len())
}

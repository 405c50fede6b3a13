//! Rows of tokens padded to one length: plain vectors in row-major order.

use crate::data::encode::Example;
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
    /// Number of the example in its row, from 1, and 0 for padding; only where rows are packed.
    pub segment_ids: Option<Vec<i64>>,
    /// Tokens that are not padding.
    pub tokens: usize,
    /// Tokens that are predicted.
    pub target_tokens: usize,
}

impl Batch {
    /// Each row is its examples one after the other, padded at the end with `pad`.
    pub fn new(rows: &[Vec<&Example>], pad: u32, packed: bool) -> Self {
        let length =
            |row: &Vec<&Example>| row.iter().map(|example| example.ids.len()).sum::<usize>();
        let cols = rows.iter().map(length).max().unwrap_or(0);
        let mut batch = Self {
            rows: rows.len(),
            cols,
            input_ids: Vec::with_capacity(rows.len() * cols),
            labels: Vec::with_capacity(rows.len() * cols),
            position_ids: Vec::with_capacity(rows.len() * cols),
            segment_ids: packed.then(Vec::new),
            tokens: rows.iter().map(length).sum(),
            target_tokens: rows.iter().flatten().map(|example| example.targets()).sum(),
        };
        for (number, row) in rows.iter().enumerate() {
            for (segment, example) in row.iter().enumerate() {
                batch.input_ids.extend(example.ids.iter().map(|&id| i64::from(id)));
                // Nothing predicts the first token of an example, least of all the example before it in the row.
                batch.labels.push(IGNORED);
                batch.labels.extend(example.labels.iter().skip(1).map(|&label| i64::from(label)));
                batch.position_ids.extend(0..example.ids.len() as i64);
                if let Some(segments) = &mut batch.segment_ids {
                    segments.extend(std::iter::repeat_n(segment as i64 + 1, example.ids.len()));
                }
            }
            let end = (number + 1) * cols;
            batch.input_ids.resize(end, i64::from(pad));
            batch.labels.resize(end, IGNORED);
            batch.position_ids.resize(end, 0);
            if let Some(segments) = &mut batch.segment_ids {
                segments.resize(end, 0);
            }
        }
        batch
    }
}

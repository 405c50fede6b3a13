//! What became of every row of a file.

use std::collections::BTreeMap;

/// Counts of a file's rows and tokens.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct DataReport {
    /// Lines that are examples.
    pub examples: u64,
    /// Lines with nothing on them, passed over.
    pub blank_lines: u64,
    /// Rows that are trained on: after splitting and packing.
    pub rows: u64,
    /// Tokens in them.
    pub tokens: u64,
    /// Tokens in them that are predicted.
    pub target_tokens: u64,
    /// Examples whose end was cut off.
    pub truncated: u64,
    /// Tokens cut off.
    pub truncated_tokens: u64,
    /// Examples that became several rows.
    pub split: u64,
    /// Examples left out as too long.
    pub rejected: u64,
    /// Rows left out because nothing in them is predicted, as after truncation.
    pub without_target: u64,
}

impl DataReport {
    /// The counts by name.
    pub fn to_map(&self) -> BTreeMap<String, u64> {
        let Self {
            examples,
            blank_lines,
            rows,
            tokens,
            target_tokens,
            truncated,
            truncated_tokens,
            split,
            rejected,
            without_target,
        } = *self;
        BTreeMap::from(
            [
                ("examples", examples),
                ("blank_lines", blank_lines),
                ("rows", rows),
                ("tokens", tokens),
                ("target_tokens", target_tokens),
                ("truncated", truncated),
                ("truncated_tokens", truncated_tokens),
                ("split", split),
                ("rejected", rejected),
                ("without_target", without_target),
            ]
            .map(|(name, count)| (name.to_string(), count)),
        )
    }
}

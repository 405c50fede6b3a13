//! How many examples of a batch come from the memory.

use serde::{Deserialize, Serialize};

use crate::error::{ContinualError, within};

/// The share of replayed examples, and how far the batches have come.
///
/// Of the first n examples of all batches, round(ratio n) come from the memory: a batch takes the difference between its end and its start.
/// So batches differ by at most one from ratio times their size, and over any number of steps the memory's part is ratio times all to
/// within half an example; it does not drift, whatever the batch sizes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Fields")]
pub struct Mixture {
    ratio: f64,
    /// Examples of all batches so far, new and replayed.
    examples: u64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Fields {
    ratio: f64,
    examples: u64,
}

impl TryFrom<Fields> for Mixture {
    type Error = ContinualError;

    fn try_from(fields: Fields) -> Result<Self, ContinualError> {
        let limit = format_args!("at most {}", Self::MAX_EXAMPLES);
        within("examples", limit, fields.examples, fields.examples <= Self::MAX_EXAMPLES)?;
        Ok(Self { examples: fields.examples, ..Self::new(fields.ratio)? })
    }
}

impl Mixture {
    /// The most examples of all batches: above it a double no longer tells neighbouring numbers apart.
    pub const MAX_EXAMPLES: u64 = 1 << 52;

    /// A mixture before its first batch. 0.05 to 0.2 is usual for `ratio`.
    ///
    /// # Errors
    /// A ratio below 0, or so high that it leaves too little for new examples: above 0.9.
    pub fn new(ratio: f64) -> Result<Self, ContinualError> {
        within("ratio", "between 0 and 0.9", ratio, (0.0..=0.9).contains(&ratio))?;
        Ok(Self { ratio, examples: 0 })
    }

    /// The share of replayed examples.
    #[must_use]
    pub fn ratio(&self) -> f64 {
        self.ratio
    }

    /// How many of the next `batch` examples come from the memory; the rest are new. Call it only for batches that the memory takes part
    /// in: while it is empty every example is new, and such batches do not count.
    ///
    /// # Errors
    /// More than [`Mixture::MAX_EXAMPLES`] examples in all.
    pub fn replayed(&mut self, batch: u32) -> Result<u32, ContinualError> {
        let end = self.examples + u64::from(batch);
        let limit = format_args!("at most {}", Self::MAX_EXAMPLES);
        within("examples", limit, end, end <= Self::MAX_EXAMPLES)?;
        let replayed = self.of_first(end) - self.of_first(self.examples);
        self.examples = end;
        // At most the batch: of a ratio below 1 the rounded difference is no more than its length.
        Ok(replayed as u32)
    }

    /// How many of the first `examples` are replayed.
    #[must_use]
    pub fn of_first(&self, examples: u64) -> u64 {
        (self.ratio * examples as f64).round() as u64
    }
}

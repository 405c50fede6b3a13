//! What the numbers of a matrix are: the measure and which way it is better.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::error::{ContinualError, within};

/// Which way a measure is better.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Direction {
    /// Accuracies and other scores.
    HigherIsBetter,
    /// Losses, in nats per token. Not perplexities: their differences mean little, as they multiply where losses add.
    LowerIsBetter,
}

impl Direction {
    /// `value` turned so that higher is better: losses are negated.
    #[must_use]
    pub fn turned(self, value: f64) -> f64 {
        match self {
            Self::HigherIsBetter => value,
            Self::LowerIsBetter => -value,
        }
    }
}

/// The measure of a matrix.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Fields")]
pub struct Metric {
    name: String,
    direction: Direction,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Fields {
    name: String,
    direction: Direction,
}

impl TryFrom<Fields> for Metric {
    type Error = ContinualError;

    fn try_from(fields: Fields) -> Result<Self, ContinualError> {
        Self::new(fields.name, fields.direction)
    }
}

impl Metric {
    /// The most characters of a name.
    pub const MAX_CHARACTERS: usize = 64;

    /// A measure such as `token_accuracy`.
    ///
    /// # Errors
    /// A name that is empty, above 64 characters, or has others than lower-case letters, digits and underscores.
    pub fn new(name: impl Into<String>, direction: Direction) -> Result<Self, ContinualError> {
        let name = name.into();
        let count = name.chars().count();
        let allowed = (1..=Self::MAX_CHARACTERS).contains(&count);
        within("metric name", "between 1 and 64 characters", count, allowed)?;
        let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
        let limit = "lower-case letters, digits and underscores";
        within("metric name", limit, name.escape_debug(), name.chars().all(plain))?;
        Ok(Self { name, direction })
    }

    /// The loss in nats per token.
    #[must_use]
    pub fn loss() -> Self {
        Self { name: "loss".to_owned(), direction: Direction::LowerIsBetter }
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Which way it is better.
    #[must_use]
    pub fn direction(&self) -> Direction {
        self.direction
    }
}

impl fmt::Display for Metric {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}

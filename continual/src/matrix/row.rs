//! One row of the matrix: what the adapter scores on every stage.

use serde::{Deserialize, Serialize};

use crate::error::{ContinualError, measured, within};

/// One evaluation of all stages.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scores {
    /// One value per stage, in the order of the stream, in the measure's own sign: a loss is positive here.
    pub stages: Vec<f64>,
    /// The value on the general held-out set, where there is one.
    pub held_out: Option<f64>,
}

impl Scores {
    /// The values on the stages, without a held-out set.
    #[must_use]
    pub fn of_stages(stages: Vec<f64>) -> Self {
        Self { stages, held_out: None }
    }

    /// Refuses another number of values than `stages`, a held-out value where there is no such column or none where there is one, and
    /// values that are no numbers.
    pub(super) fn check(&self, stages: usize, with_held_out: bool) -> Result<(), ContinualError> {
        let Self { stages: values, held_out } = self;
        let limit = format_args!("{stages} values, one per stage");
        within("scores", limit, values.len(), values.len() == stages)?;
        for (stage, value) in values.iter().enumerate() {
            measured(format_args!("scores[{stage}]"), *value)?;
        }
        match (held_out, with_held_out) {
            (Some(value), true) => measured("held_out", *value),
            (None, false) => Ok(()),
            (Some(value), false) => within("held_out", "absent, as in the base row", value, false),
            (None, true) => within("held_out", "a number, as in the base row", "none", false),
        }
    }
}

/// What became of what a stage trained.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// The adapter went on with it.
    Kept,
    /// The gate rejected it: the adapter is that of the row before.
    Rejected,
}

/// The adapter after a stage.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Row {
    pub(super) outcome: Outcome,
    pub(super) scores: Scores,
}

impl Row {
    /// Whether the stage was kept.
    #[must_use]
    pub fn outcome(&self) -> Outcome {
        self.outcome
    }

    /// What the adapter in force after the stage scores: after a rejected one, that of the row before.
    #[must_use]
    pub fn scores(&self) -> &Scores {
        &self.scores
    }
}

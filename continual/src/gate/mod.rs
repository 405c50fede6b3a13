//! Whether what a stage trained is kept: not if it costs too much of what earlier stages gave.

mod verdict;

use serde::{Deserialize, Serialize};

pub use verdict::{Fall, Place, Verdict};

use crate::error::{ContinualError, finite, within};
use crate::matrix::{ForgettingMatrix, Scores};

/// The limits, in the units of the matrix: nats for a loss.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Fields")]
pub struct Gate {
    max_forgetting: f64,
    max_held_out_fall: Option<f64>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Fields {
    max_forgetting: f64,
    max_held_out_fall: Option<f64>,
}

impl TryFrom<Fields> for Gate {
    type Error = ContinualError;

    fn try_from(fields: Fields) -> Result<Self, ContinualError> {
        Self::new(fields.max_forgetting, fields.max_held_out_fall)
    }
}

impl Gate {
    /// `max_forgetting` for each earlier stage, and a limit for the held-out set where that is to be held too.
    ///
    /// # Errors
    /// A limit that is below 0 or not finite.
    pub fn new(
        max_forgetting: f64,
        max_held_out_fall: Option<f64>,
    ) -> Result<Self, ContinualError> {
        let at_least_zero = |field, limit: f64| {
            finite(field, limit)?;
            within(field, "at least 0", limit, limit >= 0.0)
        };
        at_least_zero("max_forgetting", max_forgetting)?;
        if let Some(limit) = max_held_out_fall {
            at_least_zero("max_held_out_fall", limit)?;
        }
        Ok(Self { max_forgetting, max_held_out_fall })
    }

    /// Judges the `scores` of what the stage after the matrix's last row trained. They are not in the matrix yet: on `Keep` they become
    /// its row, on `Reject` the row before is repeated ([`ForgettingMatrix::keep`], [`ForgettingMatrix::reject`]). A fall of just the limit
    /// is kept.
    ///
    /// The best before on an earlier stage is over the rows of trained stages, as in [`crate::metrics::forgetting`]. That on the held-out
    /// set is over the base row too, since it is the base model whose general ability is to be kept.
    ///
    /// # Errors
    /// Scores that do not fit the matrix, a matrix that is complete, or a limit for a held-out set that the matrix does not have.
    pub fn judge(
        &self,
        matrix: &ForgettingMatrix,
        scores: &Scores,
    ) -> Result<Verdict, ContinualError> {
        matrix.check(scores)?;
        let (rows, stages) = (matrix.rows().len(), matrix.stages().len());
        let limit = format_args!("below the {stages} stages of the matrix");
        within("stage", limit, rows, rows < stages)?;
        let mut falls = vec![];
        for (stage, name) in matrix.stages().iter().take(rows).enumerate() {
            let before = matrix.rows().iter().map(|row| row.scores().stages[stage]);
            let place = Place::Stage { stage, name: name.clone() };
            let seen = scores.stages[stage];
            falls.extend(Fall::from_best(matrix, place, before, seen, self.max_forgetting));
        }
        match (self.max_held_out_fall, scores.held_out) {
            (Some(limit), Some(seen)) => {
                let trained = matrix.rows().iter().map(|row| row.scores());
                let all = std::iter::once(matrix.base()).chain(trained);
                let before = all.filter_map(|scores| scores.held_out);
                falls.extend(Fall::from_best(matrix, Place::HeldOut, before, seen, limit));
            }
            (Some(limit), None) => {
                let allowed = "absent for a matrix without a held-out column";
                within("max_held_out_fall", allowed, limit, false)?;
            }
            (None, _) => {}
        }
        Ok(Verdict::of(falls))
    }
}

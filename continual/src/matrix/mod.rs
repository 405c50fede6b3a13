//! The forgetting matrix: what the adapter scores on every stage after every stage.
//!
//! `R[i][j]` is the score on stage j after training on stage i, and `b_j` that of the base model before any of them (Lopez-Paz and
//! Ranzato, "Gradient Episodic Memory for Continual Learning", 2017). Formulas here and in [`crate::metrics`] count stages 1..T as the
//! papers do; code counts from 0. The matrix is built row by row and is part of a checkpoint.

mod metric;
mod row;

use serde::{Deserialize, Serialize};

pub use metric::{Direction, Metric};
pub use row::{Outcome, Row, Scores};

use crate::error::{ContinualError, within};
use crate::name::{MAX_STAGES, StageName, check_names};

/// The matrix of one measure over a stream of known stages. Values stand in the measure's own sign; [`ForgettingMatrix::turned`] gives
/// them so that higher is better.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Fields")]
pub struct ForgettingMatrix {
    metric: Metric,
    stages: Vec<StageName>,
    base: Scores,
    rows: Vec<Row>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Fields {
    metric: Metric,
    stages: Vec<StageName>,
    base: Scores,
    rows: Vec<Row>,
}

impl TryFrom<Fields> for ForgettingMatrix {
    type Error = ContinualError;

    fn try_from(fields: Fields) -> Result<Self, ContinualError> {
        let Fields { metric, stages, base, rows } = fields;
        let mut matrix = Self::new(metric, stages, base)?;
        for (stage, Row { outcome, scores }) in rows.into_iter().enumerate() {
            if outcome == Outcome::Rejected && scores != *matrix.latest() {
                let why = "the row of a rejected stage differs from the row before";
                return Err(ContinualError::Corrupt { what: "matrix", why });
            }
            matrix.push(stage, outcome, scores)?;
        }
        Ok(matrix)
    }
}

impl ForgettingMatrix {
    /// The most stages.
    pub const MAX_STAGES: usize = MAX_STAGES;

    /// A matrix with the base row and no other. `base` has what the untrained model scores; with a held-out value every row has one.
    ///
    /// # Errors
    /// No stage or more than 256, a name twice, or a base row of the wrong length or with a value outside -1e12 to 1e12 or NaN.
    pub fn new(
        metric: Metric,
        stages: Vec<StageName>,
        base: Scores,
    ) -> Result<Self, ContinualError> {
        check_names(stages.iter())?;
        base.check(stages.len(), base.held_out.is_some())?;
        Ok(Self { metric, stages, base, rows: vec![] })
    }

    /// Adds the row of `stage` (from 0), which was trained and kept.
    ///
    /// # Errors
    /// A stage that has a row, one that is not the next, or a row that does not fit; see [`ForgettingMatrix::check`].
    pub fn keep(&mut self, stage: usize, scores: Scores) -> Result<(), ContinualError> {
        self.push(stage, Outcome::Kept, scores)
    }

    /// Adds the row of `stage` (from 0), which was trained and rejected: the adapter in force is the one before, and so are its scores.
    ///
    /// # Errors
    /// A stage that has a row, or one that is not the next.
    pub fn reject(&mut self, stage: usize) -> Result<(), ContinualError> {
        self.push(stage, Outcome::Rejected, self.latest().clone())
    }

    fn push(
        &mut self,
        stage: usize,
        outcome: Outcome,
        scores: Scores,
    ) -> Result<(), ContinualError> {
        let rows = self.rows.len();
        if stage < rows {
            let name = self.stages[stage].to_string();
            return Err(ContinualError::StageTwice { stage, name, rows });
        }
        let limit = format_args!("below the {} stages of the matrix", self.stages.len());
        within("stage", limit, stage, stage < self.stages.len())?;
        within("stage", format_args!("{rows}, the next without a row"), stage, stage == rows)?;
        self.check(&scores)?;
        self.rows.push(Row { outcome, scores });
        Ok(())
    }

    /// Refuses scores that cannot be a row of this matrix.
    ///
    /// # Errors
    /// Another number of values than stages, a value outside -1e12 to 1e12 or NaN, or a held-out value where the base row has none, and the
    /// reverse.
    pub fn check(&self, scores: &Scores) -> Result<(), ContinualError> {
        scores.check(self.stages.len(), self.base.held_out.is_some())
    }

    /// The measure.
    #[must_use]
    pub fn metric(&self) -> &Metric {
        &self.metric
    }

    /// The stages' names, in the order of the stream: one per column.
    #[must_use]
    pub fn stages(&self) -> &[StageName] {
        &self.stages
    }

    /// What the untrained model scores.
    #[must_use]
    pub fn base(&self) -> &Scores {
        &self.base
    }

    /// The rows so far: that at place i is the adapter after stage i, from 0.
    #[must_use]
    pub fn rows(&self) -> &[Row] {
        &self.rows
    }

    /// The names of the stages that have a row, in the order of rows.
    #[must_use]
    pub fn trained(&self) -> Vec<&str> {
        self.stages.iter().take(self.rows.len()).map(StageName::as_str).collect()
    }

    /// The scores of the adapter in force: the last row, or the base row before the first.
    #[must_use]
    pub fn latest(&self) -> &Scores {
        self.rows.last().map_or(&self.base, |row| &row.scores)
    }

    /// The rows so far, turned so that higher is better: a loss is negated.
    #[must_use]
    pub fn turned(&self) -> Vec<Vec<f64>> {
        self.rows.iter().map(|row| self.turn(&row.scores)).collect()
    }

    /// The base row, turned like [`ForgettingMatrix::turned`].
    #[must_use]
    pub fn turned_base(&self) -> Vec<f64> {
        self.turn(&self.base)
    }

    fn turn(&self, scores: &Scores) -> Vec<f64> {
        let direction = self.metric.direction();
        scores.stages.iter().map(|value| direction.turned(*value)).collect()
    }
}

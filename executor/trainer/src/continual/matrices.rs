//! The forgetting matrices of a run: of the loss, which the gate judges, and of the token accuracy; that of the perplexity is made of the
//! loss's where it is told.

use trainyard_continual::gate::{Gate, Verdict};
use trainyard_continual::matrix::{
    Direction, ForgettingMatrix, Metric as Measure, Outcome, Scores,
};
use trainyard_continual::metrics::Summary;
use trainyard_continual::{ContinualError, StageName};
use trainyard_openapi::extension::{ContinualResult, Matrix, MatrixRow, Metric, StageResult};

use crate::continual::columns::MeasuredRow;
use crate::train::state::Measured;

/// What all stages together are called where they are trained at once.
pub const JOINT: &str = "joint";

/// A perplexity above it stands as this: a matrix holds no larger number.
const PERPLEXITY_MAX: f64 = 1e12;

type Result<T> = std::result::Result<T, ContinualError>;

/// What is kept: how each is called, which way it is better, and what it is of what was measured.
type Kept = (&'static str, Direction, fn(&Measured) -> f64);
const KEPT: [Kept; 2] = [
    ("loss", Direction::LowerIsBetter, |measured| measured.loss),
    ("token_accuracy", Direction::HigherIsBetter, |measured| measured.accuracy),
];

/// Matrices of earlier jobs, as far as they can be gone on with.
#[derive(Debug, Default)]
pub struct Before {
    /// As they were left.
    pub matrices: Vec<ForgettingMatrix>,
    /// The names of their stages that can still be measured.
    pub available: Vec<StageName>,
    /// Whether their values on the general file are of this job's general file.
    pub same_held_out: bool,
}

/// Matrices whose columns are the `available` stages of earlier jobs and then the `new` ones. `base` is the untrained model and `parent` the
/// earlier jobs' adapter, both on the new stages and the general file.
///
/// What an older adapter would score on a new stage cannot be known any more. The base model's value stands there: so it counts neither
/// as learned nor as forgotten.
///
/// # Errors
/// Names that come twice; none but of matrices that do not fit the names.
pub fn begin(
    before: &Before,
    new: &[StageName],
    base: &MeasuredRow,
    parent: Option<&MeasuredRow>,
) -> Result<Vec<ForgettingMatrix>> {
    let names: Vec<StageName> = before.available.iter().chain(new).cloned().collect();
    let one = |(name, direction, value): &Kept| {
        let old = before.matrices.iter().find(|matrix| matrix.metric().name() == *name);
        let scores = |old: Option<&Scores>, new: &MeasuredRow| {
            let picked = match (old, before.matrices.first()) {
                (Some(old), Some(matrix)) => pick(matrix.stages(), &before.available, old),
                _ => Vec::new(),
            };
            let stages = picked.into_iter().chain(new.stages.iter().map(value)).collect();
            let kept = old.and_then(|old| old.held_out).filter(|_| before.same_held_out);
            // What was measured counts where it was; what was kept stands for what cannot be measured again.
            Scores { stages, held_out: new.held_out.as_ref().map(|now| kept.unwrap_or(value(now))) }
        };
        let metric = Measure::new(*name, *direction)?;
        let base_row = scores(old.map(ForgettingMatrix::base), base);
        let mut matrix = ForgettingMatrix::new(metric, names.clone(), base_row)?;
        let Some(old) = old else { return Ok(matrix) };
        let kept: Vec<usize> = (0..old.rows().len())
            .filter(|&row| before.available.contains(&old.stages()[row]))
            .collect();
        for (place, &row) in kept.iter().enumerate() {
            let is_parent = row + 1 == old.rows().len();
            let on_new = parent.filter(|_| is_parent).unwrap_or(base);
            let row = &old.rows()[row];
            let row_scores = scores(Some(row.scores()), on_new);
            match row.outcome() {
                Outcome::Rejected if row_scores == *matrix.latest() => matrix.reject(place)?,
                _ => matrix.keep(place, row_scores)?,
            }
        }
        Ok(matrix)
    };
    KEPT.iter().map(one).collect()
}

/// The values of `scores` on the stages in `wanted`.
fn pick(stages: &[StageName], wanted: &[StageName], scores: &Scores) -> Vec<f64> {
    let pairs = stages.iter().zip(&scores.stages);
    pairs.filter(|(name, _)| wanted.contains(name)).map(|(_, value)| *value).collect()
}

/// What the gate says of a row that is not yet in the matrices.
///
/// # Errors
/// A row that does not fit.
pub fn judge(gate: &Gate, matrices: &[ForgettingMatrix], row: &MeasuredRow) -> Result<Verdict> {
    gate.judge(&matrices[0], &scores(row, KEPT[0].2))
}

/// Adds the row of the next stage.
///
/// # Errors
/// A row that does not fit.
pub fn add(matrices: &mut [ForgettingMatrix], row: &MeasuredRow, kept: bool) -> Result<()> {
    for (matrix, (_, _, value)) in matrices.iter_mut().zip(KEPT) {
        let stage = matrix.rows().len();
        match kept {
            true => matrix.keep(stage, scores(row, value))?,
            false => matrix.reject(stage)?,
        }
    }
    Ok(())
}

fn scores(row: &MeasuredRow, value: fn(&Measured) -> f64) -> Scores {
    Scores {
        stages: row.stages.iter().map(value).collect(),
        held_out: row.held_out.as_ref().map(value),
    }
}

/// What is told of the stages that are over: the matrices of `metrics`, and always that of the loss. Where all stages were trained `at_once`,
/// the one row that this gives counts for every one of them.
///
/// # Errors
/// None for matrices that were made here.
pub fn result(
    stages: &[StageResult],
    matrices: &[ForgettingMatrix],
    metrics: &[Metric],
    at_once: bool,
) -> Result<ContinualResult> {
    let as_told = |matrix: &ForgettingMatrix| {
        let mut told = as_told(matrix);
        if at_once && !matrix.rows().is_empty() {
            let turned = matrix
                .latest()
                .stages
                .iter()
                .map(|value| matrix.metric().direction().turned(*value));
            told.average = Some(turned.sum::<f64>() / matrix.stages().len() as f64);
            if let Some(last) = told.after.last_mut() {
                *last = JOINT.to_string();
            }
        }
        told
    };
    let mut told: Vec<Matrix> = Vec::new();
    for matrix in matrices {
        if matrix.metric().name() == "loss" || metrics.contains(&Metric::TokenAccuracy) {
            told.push(as_told(matrix));
        }
    }
    if let (Some(loss), true) = (matrices.first(), metrics.contains(&Metric::Perplexity)) {
        told.push(as_told(&perplexity(loss)?));
    }
    Ok(ContinualResult { stages: stages.to_vec(), matrices: told })
}

fn perplexity(loss: &ForgettingMatrix) -> Result<ForgettingMatrix> {
    let of = |scores: &Scores| {
        let of = |loss: f64| loss.exp().min(PERPLEXITY_MAX);
        Scores {
            stages: scores.stages.iter().map(|loss| of(*loss)).collect(),
            held_out: scores.held_out.map(of),
        }
    };
    let metric = Measure::new("perplexity", Direction::LowerIsBetter)?;
    let mut all = ForgettingMatrix::new(metric, loss.stages().to_vec(), of(loss.base()))?;
    for (place, row) in loss.rows().iter().enumerate() {
        match row.outcome() {
            Outcome::Kept => all.keep(place, of(row.scores()))?,
            Outcome::Rejected => all.reject(place)?,
        }
    }
    Ok(all)
}

fn as_told(matrix: &ForgettingMatrix) -> Matrix {
    let row =
        |scores: &Scores| MatrixRow { stages: scores.stages.clone(), held_out: scores.held_out };
    let summary = Summary::of(matrix);
    Matrix {
        metric: matrix.metric().name().to_string(),
        higher_is_better: matrix.metric().direction() == Direction::HigherIsBetter,
        stages: matrix.stages().iter().map(ToString::to_string).collect(),
        after: matrix.trained().into_iter().map(ToString::to_string).collect(),
        base: row(matrix.base()),
        rows: matrix.rows().iter().map(|one| row(one.scores())).collect(),
        average: summary.average_score,
        backward_transfer: summary.backward_transfer,
        forward_transfer: summary.forward_transfer,
        forgetting: summary.forgetting,
    }
}

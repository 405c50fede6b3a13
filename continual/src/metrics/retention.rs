//! What the adapter can do at the end, and what it could do before.

use super::mean;
use crate::matrix::ForgettingMatrix;

/// `ACC = (1/n) sum over j = 1..n of R[n][j]`: the mean score on the stages trained so far, by the adapter in force. Lopez-Paz and
/// Ranzato 2017, section 2. `None` before the first stage.
#[must_use]
pub fn average_score(matrix: &ForgettingMatrix) -> Option<f64> {
    let rows = matrix.turned();
    let last = rows.last()?;
    mean(last.iter().take(rows.len()).copied())
}

/// `F = (1/(n-1)) sum over j = 1..n-1 of (max over l = 1..n-1 of R[l][j]) - R[n][j]`: how far the adapter fell from the best it ever was
/// on each earlier stage. Chaudhry et al., "Riemannian Walk for Incremental Learning", 2018. The best may be from before training on the
/// stage itself, though not from the base row. Below 0 where the last stage made the earlier ones better. `None` before the second stage.
#[must_use]
pub fn forgetting(matrix: &ForgettingMatrix) -> Option<f64> {
    mean(forgetting_of_stages(matrix).into_iter())
}

/// The terms of [`forgetting`]: one per stage before the last, in order; empty before the second stage.
#[must_use]
pub fn forgetting_of_stages(matrix: &ForgettingMatrix) -> Vec<f64> {
    let rows = matrix.turned();
    let Some((last, earlier)) = rows.split_last() else { return vec![] };
    let best =
        |stage: usize| earlier.iter().map(|row| row[stage]).fold(f64::NEG_INFINITY, f64::max);
    (0..earlier.len()).map(|stage| best(stage) - last[stage]).collect()
}

//! The measures as Avalanche (avalanche-lib 0.6.0) reports them after each stage, for comparison with studies that used it.
//!
//! Avalanche reports 0 where it has nothing to average; here that is `None`.

use super::mean;
use crate::matrix::ForgettingMatrix;

/// `(1/(n-1)) sum over j = 1..n-1 of R[j][j] - R[n][j]`: the score right after a stage's own training less the last one, where
/// [`super::forgetting`] takes the best. `StreamForgetting` in `avalanche/evaluation/metrics/forgetting_bwt.py`. `None` before the second stage.
#[must_use]
pub fn forgetting(matrix: &ForgettingMatrix) -> Option<f64> {
    backward_transfer(matrix).map(|transfer| -transfer)
}

/// [`forgetting`] negated, as Avalanche defines it (`StreamBWT`); so it is the same number as [`super::backward_transfer`]. `None`
/// before the second stage.
#[must_use]
pub fn backward_transfer(matrix: &ForgettingMatrix) -> Option<f64> {
    super::backward_transfer(matrix)
}

/// `(1/(m-1)) sum over j = 2..m of R[j-1][j] - b_j` with m the smaller of n + 1 and T: Avalanche counts the stage that comes next as
/// soon as the one before it is trained, where [`super::forward_transfer`] counts the stages trained so far. The same after the last stage.
/// `StreamForwardTransfer` in `avalanche/evaluation/metrics/forward_transfer.py`. `None` before the first stage, and of a single one.
#[must_use]
pub fn forward_transfer(matrix: &ForgettingMatrix) -> Option<f64> {
    let rows = matrix.turned();
    let base = matrix.turned_base();
    let next = rows.iter().zip(1..base.len());
    mean(next.map(|(row, stage)| row[stage] - base[stage]))
}

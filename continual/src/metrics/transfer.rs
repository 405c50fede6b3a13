//! What the stages do to each other.

use super::mean;
use crate::matrix::ForgettingMatrix;

/// `BWT = (1/(n-1)) sum over j = 1..n-1 of R[n][j] - R[j][j]`: how the stages trained later changed each earlier one, from the score
/// right after its own training. Below 0 they were forgotten. Lopez-Paz and Ranzato 2017, section 2. `None` before the second stage.
#[must_use]
pub fn backward_transfer(matrix: &ForgettingMatrix) -> Option<f64> {
    let rows = matrix.turned();
    let (last, earlier) = rows.split_last()?;
    mean(earlier.iter().enumerate().map(|(stage, row)| last[stage] - row[stage]))
}

/// `FWT = (1/(n-1)) sum over j = 2..n of R[j-1][j] - b_j`: what the stages before gave each stage before it was trained itself, beyond
/// the untrained model. Lopez-Paz and Ranzato 2017, section 2. `None` before the second stage.
#[must_use]
pub fn forward_transfer(matrix: &ForgettingMatrix) -> Option<f64> {
    let rows = matrix.turned();
    let base = matrix.turned_base();
    let (_, earlier) = rows.split_last()?;
    mean(earlier.iter().enumerate().map(|(stage, row)| row[stage + 1] - base[stage + 1]))
}

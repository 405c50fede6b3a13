//! The matrix and its measures against Avalanche, the memory against its distribution, and every refusal.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    missing_docs,
    reason = "a test fails by panicking"
)]

mod chi_square;
mod erasure;
mod gate;
mod matrix;
mod memory;
mod merge;
mod metrics;
mod mixture;
mod random;
mod report;
mod stages;

use trainyard_continual::matrix::{Direction, ForgettingMatrix, Metric, Scores};
use trainyard_continual::{ContinualError, StageName};

/// Names `a`, `b`, `c` and so on.
fn names(count: usize) -> Vec<StageName> {
    let letters = ('a'..='z').take(count).map(|letter| letter.to_string());
    letters.map(|name| StageName::try_from(name).unwrap()).collect()
}

/// A matrix of kept rows without a held-out column.
fn matrix_of(direction: Direction, base: &[f64], rows: &[Vec<f64>]) -> ForgettingMatrix {
    let metric = Metric::new("score", direction).unwrap();
    let base = Scores::of_stages(base.to_vec());
    let mut matrix = ForgettingMatrix::new(metric, names(base.stages.len()), base).unwrap();
    for (stage, row) in rows.iter().enumerate() {
        matrix.keep(stage, Scores::of_stages(row.clone())).unwrap();
    }
    matrix
}

/// The example of the reference: T = 3, accuracies, base 0.1.
fn example() -> ForgettingMatrix {
    let rows = [vec![0.9, 0.2, 0.1], vec![0.7, 0.85, 0.15], vec![0.6, 0.8, 0.95]];
    matrix_of(Direction::HigherIsBetter, &[0.1; 3], &rows)
}

/// That `refused` is an error whose text has all `parts`: the field, the limit and the value.
fn assert_refused<T: std::fmt::Debug>(refused: Result<T, ContinualError>, parts: &[&str]) {
    let text = refused.unwrap_err().to_string();
    assert!(parts.iter().all(|part| text.contains(part)), "{text:?} lacks some of {parts:?}");
}

//! Measures of a stream, from its forgetting matrix. Each is a function of the rows so far: after n of T stages it is that of the stream
//! of the first n. `None` where they are too few to define it.
//!
//! All are in the measure's units and turned so that higher is better: of a loss in nats the average score is the mean loss negated, a
//! backward transfer of -0.2 says that the loss on earlier stages rose by 0.2 on average, and a forgetting of 0.2 says nearly the same
//! (see [`forgetting`] on what it is measured from). A rejected stage counts with the row that it has, that of the adapter before.

pub mod avalanche;
mod intransigence;
mod retention;
mod transfer;

use serde::{Deserialize, Serialize};

pub use intransigence::intransigence;
pub use retention::{average_score, forgetting, forgetting_of_stages};
pub use transfer::{backward_transfer, forward_transfer};

use crate::matrix::ForgettingMatrix;

/// The measures that need nothing but the matrix.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Summary {
    /// See [`average_score`].
    pub average_score: Option<f64>,
    /// See [`backward_transfer`].
    pub backward_transfer: Option<f64>,
    /// See [`forward_transfer`].
    pub forward_transfer: Option<f64>,
    /// See [`forgetting`].
    pub forgetting: Option<f64>,
    /// See [`avalanche::forgetting`].
    pub avalanche_forgetting: Option<f64>,
    /// See [`avalanche::backward_transfer`].
    pub avalanche_backward_transfer: Option<f64>,
    /// See [`avalanche::forward_transfer`].
    pub avalanche_forward_transfer: Option<f64>,
}

impl Summary {
    /// The measures of the rows so far.
    #[must_use]
    pub fn of(matrix: &ForgettingMatrix) -> Self {
        Self {
            average_score: average_score(matrix),
            backward_transfer: backward_transfer(matrix),
            forward_transfer: forward_transfer(matrix),
            forgetting: forgetting(matrix),
            avalanche_forgetting: avalanche::forgetting(matrix),
            avalanche_backward_transfer: avalanche::backward_transfer(matrix),
            avalanche_forward_transfer: avalanche::forward_transfer(matrix),
        }
    }
}

/// The mean; `None` of nothing.
fn mean(values: impl Iterator<Item = f64>) -> Option<f64> {
    let (sum, count) = values.fold((0.0, 0_u32), |(sum, count), value| (sum + value, count + 1));
    (count > 0).then(|| sum / f64::from(count))
}

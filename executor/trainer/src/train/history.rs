//! The figures of every step: the rows of the result CSV.
//!
//! They are part of the state that a checkpoint keeps, so that the file of a resumed run is whole.

use std::fmt::Write as _;

use serde::{Deserialize, Serialize};
use trainyard_openapi::result::COLUMNS;

/// A row; absent figures were not measured at that step.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Row {
    /// Steps done.
    pub step: u64,
    /// Passes begun, as a fraction.
    pub epoch: f64,
    /// Loss of the step's batch.
    pub train_loss: Option<f64>,
    /// Token accuracy of the same.
    pub train_accuracy: Option<f64>,
    /// Validation loss after the step.
    pub valid_loss: Option<f64>,
    /// Validation token accuracy after the step.
    pub valid_accuracy: Option<f64>,
    /// The last validation loss.
    pub full_valid_loss: Option<f64>,
    /// The last validation token accuracy.
    pub full_valid_accuracy: Option<f64>,
    /// Rate of the update.
    pub learning_rate: Option<f64>,
    /// Norm of the gradient before clipping.
    pub grad_norm: Option<f64>,
    /// Tokens so far.
    pub tokens: u64,
}

/// The rows as CSV under the published columns.
pub fn to_csv(rows: &[Row]) -> String {
    let names: Vec<&str> = COLUMNS.iter().map(|column| column.name).collect();
    let mut csv = names.join(",") + "\n";
    for row in rows {
        let Row {
            step,
            epoch,
            train_loss,
            train_accuracy,
            valid_loss,
            valid_accuracy,
            full_valid_loss,
            full_valid_accuracy,
            learning_rate,
            grad_norm,
            tokens,
        } = row;
        let cell = |value: &Option<f64>| value.map(|value| value.to_string()).unwrap_or_default();
        // Writing to a string does not fail.
        let _ = writeln!(
            csv,
            "{step},{epoch},{},{},{},{},{},{},{},{},{tokens}",
            cell(train_loss),
            cell(train_accuracy),
            cell(valid_loss),
            cell(valid_accuracy),
            cell(full_valid_loss),
            cell(full_valid_accuracy),
            cell(learning_rate),
            cell(grad_norm),
        );
    }
    csv
}

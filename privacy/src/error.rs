//! What is refused: values outside their range, and targets that no noise reaches.

/// A value or a request that the accounting refuses.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum PrivacyError {
    /// A number outside its range.
    #[error("{field} must be {limit}, got {value}")]
    OutOfRange {
        /// The name of the field, as in the request.
        field: &'static str,
        /// What is allowed.
        limit: &'static str,
        /// The value seen.
        value: f64,
    },
    /// No noise multiplier up to the largest one reaches the target.
    #[error(
        "target_epsilon {target} cannot be reached: noise_multiplier {noise_multiplier} still gives epsilon {epsilon}"
    )]
    Unreachable {
        /// The epsilon asked for.
        target: f64,
        /// The largest noise multiplier tried.
        noise_multiplier: f64,
        /// Its epsilon.
        epsilon: f64,
    },
    /// The arithmetic lost the precision that its bounds rest on; the accountant by Rényi orders still answers.
    #[error("numerical composition lost precision: {0}")]
    Precision(&'static str),
}

/// `value` where `within` holds of it, otherwise the error that names the field.
pub(crate) fn in_range(
    field: &'static str,
    limit: &'static str,
    value: f64,
    within: bool,
) -> Result<f64, PrivacyError> {
    if within { Ok(value) } else { Err(PrivacyError::OutOfRange { field, limit, value }) }
}

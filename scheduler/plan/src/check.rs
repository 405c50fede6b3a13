//! Limits on what a request may ask for. Each refusal names the field, the limit and the value seen.

use std::fmt::Display;
use std::ops::RangeInclusive;

use trainyard_openapi::error::{ApiError, ErrorCode};

/// `value` if it lies in `range`.
pub(crate) fn within<T: PartialOrd + Display + Copy>(
    param: &str,
    value: T,
    range: RangeInclusive<T>,
) -> Result<T, ApiError> {
    if range.contains(&value) {
        return Ok(value);
    }
    let (low, high) = (range.start(), range.end());
    Err(invalid(param, format!("must be between {low} and {high}, not {value}")))
}

/// `value` if it is a finite number above 0.
pub(crate) fn positive(param: &str, value: f64) -> Result<f64, ApiError> {
    if value.is_finite() && value > 0.0 {
        return Ok(value);
    }
    Err(invalid(param, format!("must be a number above 0, not {value}")))
}

/// `text` if it has between 1 and `chars_max` characters, none of them a control character.
pub(crate) fn text<'a>(param: &str, text: &'a str, chars_max: usize) -> Result<&'a str, ApiError> {
    let chars = text.chars().count();
    if chars == 0 || chars > chars_max {
        return Err(invalid(param, format!("must have 1 to {chars_max} characters, not {chars}")));
    }
    if text.chars().any(char::is_control) {
        return Err(invalid(param, "must not contain control characters"));
    }
    Ok(text)
}

/// A refusal of the value at `param`.
pub(crate) fn invalid(param: &str, reason: impl Display) -> ApiError {
    ApiError::field(
        ErrorCode::InvalidValue,
        param,
        format!("invalid value for '{param}': {reason}"),
    )
}

/// A refusal of something that the contract names and this version does not carry out.
pub(crate) fn not_available(param: &str, what: impl Display) -> ApiError {
    let message = format!("'{param}': {what} is not available in this version");
    ApiError::field(ErrorCode::NotAvailable, param, message)
}

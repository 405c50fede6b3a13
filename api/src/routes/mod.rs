//! Handlers by resource. Each takes the request apart, calls the scheduler, and wraps the answer.

pub(crate) mod artifacts;
pub(crate) mod docs;
pub(crate) mod erasures;
pub(crate) mod files;
pub(crate) mod health;
pub(crate) mod jobs;
pub(crate) mod models;
pub(crate) mod privacy;
pub(crate) mod stream;
pub(crate) mod tenants;
pub(crate) mod uploads;
pub(crate) mod usage;
pub(crate) mod webhooks;

pub use stream::StreamTimes;

use std::str::FromStr;

use actix_web::http::header::{CONTENT_ENCODING, HeaderMap};
use trainyard_openapi::error::{ApiError, ErrorCode};

/// An id from the path. Text that is no id names nothing, so it is not found.
fn path_id<Id: FromStr>(text: &str, code: ErrorCode, what: &str) -> Result<Id, ApiError> {
    text.parse().map_err(|_| {
        let text: String = text.chars().filter(|c| !c.is_control()).take(80).collect();
        ApiError::field(code, "id", format!("No such {what}: {text}"))
    })
}

/// Bodies are taken as they are: unpacking would let a small one become a huge one.
fn refuse_encoded(headers: &HeaderMap) -> Result<(), ApiError> {
    match headers.get(CONTENT_ENCODING) {
        Some(encoding) if encoding != "identity" => Err(ApiError::new(
            ErrorCode::UnsupportedMediaType,
            "Content-Encoding is not taken: send the body as it is",
        )),
        _ => Ok(()),
    }
}

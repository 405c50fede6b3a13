//! The header.

use actix_web::http::header::HeaderMap;
use trainyard_openapi::error::{ApiError, ErrorCode};
use trainyard_openapi::limits::IDEMPOTENCY_KEY_BYTES_MAX;

const NAME: &str = "idempotency-key";

pub(super) fn is_there(headers: &HeaderMap) -> bool {
    headers.contains_key(NAME)
}

/// The client's key.
pub(crate) fn key(headers: &HeaderMap) -> Result<Option<String>, ApiError> {
    let mut all = headers.get_all(NAME);
    let Some(value) = all.next() else { return Ok(None) };
    let refuse =
        |reason: String| ApiError::field(ErrorCode::InvalidValue, "Idempotency-Key", reason);
    if all.next().is_some() {
        return Err(refuse("Idempotency-Key is given more than once".to_string()));
    }
    let bytes = value.as_bytes();
    if bytes.is_empty()
        || bytes.len() > IDEMPOTENCY_KEY_BYTES_MAX
        || !bytes.iter().all(u8::is_ascii_graphic)
    {
        return Err(refuse(format!(
            "Idempotency-Key must have 1 to {IDEMPOTENCY_KEY_BYTES_MAX} visible ASCII characters, not {} bytes",
            bytes.len()
        )));
    }
    Ok(Some(String::from_utf8_lossy(bytes).into_owned()))
}

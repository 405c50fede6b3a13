//! JSON bodies into types, with errors that name the field.

use serde::de::DeserializeOwned;

use crate::error::{ApiError, ErrorCode};

/// Reads a JSON body as `T`.
///
/// # Errors
/// `invalid_body` where it is no JSON, `unknown_parameter`, `missing_required_parameter` or `invalid_value` with
/// `param` set to the field's path where it is no `T`.
pub fn parse<T: DeserializeOwned>(body: &[u8]) -> Result<T, ApiError> {
    // serde would read a list as a struct's fields in order; a request is an object.
    if body.trim_ascii_start().first().is_some_and(|byte| *byte != b'{') {
        return Err(ApiError::new(ErrorCode::InvalidBody, "the body must be a JSON object"));
    }
    let mut deserializer = serde_json::Deserializer::from_slice(body);
    let value = serde_path_to_error::deserialize(&mut deserializer).map_err(|error| {
        let path = error.path().to_string();
        explain(path.trim_matches('.').trim_matches('?'), error.inner())
    })?;
    deserializer.end().map_err(|error| explain("", &error))?;
    Ok(value)
}

/// Turns serde's words into an error of the contract. serde tells unknown and missing fields only in its text.
fn explain(path: &str, error: &serde_json::Error) -> ApiError {
    let text = error.to_string();
    if !error.is_data() {
        return ApiError::new(ErrorCode::InvalidBody, format!("the body is not JSON: {text}"));
    }
    let detail = text.split(" at line ").next().unwrap_or(&text);
    let named = detail.split('`').nth(1).unwrap_or_default();
    if detail.starts_with("unknown field") {
        // The path already ends in the unknown key when serde reports it from inside the map.
        let param = if path.rsplit('.').next() == Some(named) {
            path.to_string()
        } else {
            join(path, named)
        };
        let message = format!("unknown parameter '{param}': {}", expected(detail));
        return ApiError::field(ErrorCode::UnknownParameter, param, message);
    }
    if detail.starts_with("missing field") {
        let param = join(path, named);
        let message = format!("missing required parameter '{param}'");
        return ApiError::field(ErrorCode::MissingField, param, message);
    }
    if path.is_empty() {
        return ApiError::new(ErrorCode::InvalidBody, format!("the body does not fit: {detail}"));
    }
    ApiError::field(ErrorCode::InvalidValue, path, format!("invalid value for '{path}': {detail}"))
}

fn join(path: &str, name: &str) -> String {
    if path.is_empty() { name.to_string() } else { format!("{path}.{name}") }
}

fn expected(detail: &str) -> &str {
    detail.split_once("expected ").map_or("no such parameter here", |_| {
        detail.split_once(", ").map_or(detail, |(_, rest)| rest)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::job::CreateJob;

    fn refuse(body: &str) -> (ErrorCode, Option<String>) {
        let error = parse::<CreateJob>(body.as_bytes()).expect_err("refused");
        (error.code, error.param)
    }

    #[test]
    fn the_field_at_fault_is_named() {
        let case = |body, code, param: &str| {
            assert_eq!(refuse(body), (code, Some(param.to_string())), "{body}");
        };
        use ErrorCode::{InvalidValue, MissingField, UnknownParameter};
        case(r#"{"training_file":"f"}"#, MissingField, "model");
        case(r#"{"model":"m","training_file":"f","epochs":3}"#, UnknownParameter, "epochs");
        case(
            r#"{"model":"m","training_file":"f","trainyard":{"adapter":{"rnak":3}}}"#,
            UnknownParameter,
            "trainyard.adapter.rnak",
        );
        case(
            r#"{"model":"m","training_file":"f","method":{"type":"supervised","supervised":{"hyperparameters":{"batch_size":-1}}}}"#,
            InvalidValue,
            "method.supervised.hyperparameters.batch_size",
        );
        case(r#"{"model":"m","training_file":"f","seed":1e300}"#, InvalidValue, "seed");
    }

    #[test]
    fn what_is_no_json_is_said_so() {
        assert_eq!(refuse("{").0, ErrorCode::InvalidBody);
        assert_eq!(refuse("[]").0, ErrorCode::InvalidBody);
        assert_eq!(refuse(r#"{"model":"m","training_file":"f"} x"#).0, ErrorCode::InvalidBody);
    }
}

//! Errors as answers: OpenAI's body, and the headers that its clients obey.

use std::fmt;
use std::time::Duration;

use actix_web::http::StatusCode;
use actix_web::http::header::{HeaderMap, HeaderName, HeaderValue};
use actix_web::{HttpResponse, ResponseError};
use trainyard_openapi::error::{ApiError, ErrorCode};
use trainyard_scheduler::SchedulerError;
use trainyard_scheduler::port::control_plane::LeaseError;
use trainyard_scheduler::port::lease_call::{Refusal, RefusalDetail, UNKNOWN_LEASE};

use crate::limits::Reached;

/// Seconds after which a client may repeat a request that failed for the server's reasons.
const RETRY_AFTER: Duration = Duration::from_secs(1);
/// The longest wait that is named: OpenAI's clients ignore longer ones.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(120);

/// A result of a handler.
pub(crate) type Result<T, E = Failure> = std::result::Result<T, E>;

/// An error on its way out.
#[derive(Debug)]
pub(crate) struct Failure {
    error: ApiError,
    /// How long a client shall wait, where that is known.
    wait: Option<Duration>,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.error.fmt(f)
    }
}

impl From<ApiError> for Failure {
    fn from(error: ApiError) -> Self {
        Self { error, wait: None }
    }
}

impl From<Reached> for Failure {
    fn from(reached: Reached) -> Self {
        let error = ApiError::new(ErrorCode::RateLimited, reached.text);
        Self { error, wait: Some(reached.wait) }
    }
}

impl From<SchedulerError> for Failure {
    fn from(error: SchedulerError) -> Self {
        let told = error.to_api();
        if status(told.code).is_server_error() {
            // The span of the request carries its id.
            tracing::error!(error = &error as &dyn std::error::Error, "request failed");
        }
        told.into()
    }
}

impl ResponseError for Failure {
    fn status_code(&self) -> StatusCode {
        status(self.error.code)
    }

    fn error_response(&self) -> HttpResponse {
        let mut response = answer(&self.error);
        if let Some(wait) = self.wait {
            say_wait(response.headers_mut(), wait);
        }
        response
    }
}

/// What an executor is told where a call about a lease did not go through.
#[derive(Debug)]
pub(crate) enum LeaseFailure {
    /// The control plane says so.
    Lease(LeaseError),
    /// There is no such lease for whoever asks.
    Unknown,
}

impl From<LeaseError> for LeaseFailure {
    fn from(error: LeaseError) -> Self {
        Self::Lease(error)
    }
}

impl fmt::Display for LeaseFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Lease(error) => error.fmt(f),
            Self::Unknown => f.write_str("there is no such lease, or this is not its token"),
        }
    }
}

impl ResponseError for LeaseFailure {
    fn status_code(&self) -> StatusCode {
        match self {
            Self::Lease(LeaseError::Stale | LeaseError::Fenced) => StatusCode::CONFLICT,
            Self::Lease(LeaseError::Refused(_)) => StatusCode::UNPROCESSABLE_ENTITY,
            Self::Lease(LeaseError::Unavailable(_)) => StatusCode::SERVICE_UNAVAILABLE,
            Self::Unknown => StatusCode::NOT_FOUND,
        }
    }

    fn error_response(&self) -> HttpResponse {
        let (code, message) = match self {
            Self::Unknown => (UNKNOWN_LEASE, self.to_string()),
            Self::Lease(LeaseError::Refused(reason)) => ("refused", reason.clone()),
            Self::Lease(LeaseError::Unavailable(reason)) => {
                tracing::error!(reason, "a call of an executor failed");
                ("unavailable", reason.clone())
            }
            Self::Lease(error) => (error.code(), error.to_string()),
        };
        let error = RefusalDetail { code: code.to_string(), message };
        HttpResponse::build(self.status_code()).json(Refusal { error })
    }
}

/// The answer for an error.
pub(crate) fn answer(error: &ApiError) -> HttpResponse {
    let mut response = HttpResponse::build(status(error.code)).json(error.body());
    let retry = if error.code.should_retry() { "true" } else { "false" };
    let headers = response.headers_mut();
    headers.insert(HeaderName::from_static("x-should-retry"), HeaderValue::from_static(retry));
    if matches!(error.code, ErrorCode::Unavailable | ErrorCode::RateLimited) {
        say_wait(headers, RETRY_AFTER);
    }
    response
}

/// Tells the client how long to wait: in whole seconds, and in milliseconds, which OpenAI's clients prefer.
fn say_wait(headers: &mut HeaderMap, wait: Duration) {
    let wait = wait.clamp(Duration::from_millis(1), RETRY_AFTER_MAX);
    let milliseconds = wait.as_micros().div_ceil(1_000) as u64;
    let seconds = HeaderName::from_static("retry-after");
    headers.insert(seconds, HeaderValue::from(milliseconds.div_ceil(1_000)));
    headers.insert(HeaderName::from_static("retry-after-ms"), HeaderValue::from(milliseconds));
}

/// The error that a bare status of the HTTP library means.
pub(crate) fn of_status(status: StatusCode, detail: &str) -> ApiError {
    let (code, text) = match status.as_u16() {
        404 => (ErrorCode::NotFound, "there is nothing at this path"),
        405 => (ErrorCode::MethodNotAllowed, "this path does not take this method"),
        408 => (ErrorCode::RequestTimeout, "the request did not arrive in time"),
        413 => (ErrorCode::TooLarge, "the body is larger than the limit"),
        415 => (ErrorCode::UnsupportedMediaType, "this content type is not taken here"),
        400..=499 => (ErrorCode::InvalidBody, "the request cannot be read"),
        503 => (ErrorCode::Unavailable, "the server cannot answer at present"),
        _ => (ErrorCode::Internal, "the server failed; the log has the rest under the request id"),
    };
    match (status.is_client_error(), detail.is_empty()) {
        (true, false) => ApiError::new(code, format!("{text}: {detail}")),
        _ => ApiError::new(code, text),
    }
}

fn status(code: ErrorCode) -> StatusCode {
    StatusCode::from_u16(code.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
}

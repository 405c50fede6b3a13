//! What the scheduler answers instead of doing it. Text for the tenant and text for the log are kept apart.

use trainyard_openapi::error::{ApiError, ErrorCode};

use crate::job::state::IllegalTransition;
use crate::port::objects::ObjectError;
use crate::port::queue::QueueError;
use crate::port::store::StoreError;

/// A result of the scheduler.
pub type Result<T, E = SchedulerError> = std::result::Result<T, E>;

/// Why it was not done.
#[derive(Debug, thiserror::Error)]
pub enum SchedulerError {
    /// The tenant's to mend.
    #[error(transparent)]
    Api(#[from] ApiError),
    /// The record.
    #[error("store")]
    Store(#[from] StoreError),
    /// The files.
    #[error("objects")]
    Object(#[from] ObjectError),
    /// The doorbell.
    #[error("queue")]
    Queue(#[from] QueueError),
    /// A fault of the program or the machine.
    #[error("{0}")]
    Internal(String),
}

impl SchedulerError {
    /// What the tenant is told. Internal text stays in the log.
    pub fn to_api(&self) -> ApiError {
        match self {
            Self::Api(error) => error.clone(),
            Self::Store(StoreError::UnknownCursor(id)) => {
                let id: String = id.chars().take(80).collect();
                ApiError::field(
                    ErrorCode::InvalidCursor,
                    "after",
                    format!("'{id}' is no item of this list"),
                )
            }
            Self::Store(StoreError::TooManyLive(live)) => ApiError::new(
                ErrorCode::QuotaExceeded,
                format!(
                    "the tenant has {live} jobs that have not ended, as many as its quota 'live_jobs' allows; wait for one to end or cancel one"
                ),
            ),
            Self::Store(StoreError::NoSpace) | Self::Object(ObjectError::NoSpace) => ApiError::new(
                ErrorCode::Unavailable,
                "the server has no disk space left; nothing was stored",
            ),
            Self::Store(StoreError::Unavailable(_) | StoreError::Conflict)
            | Self::Object(ObjectError::Unavailable(_))
            | Self::Queue(_) => ApiError::new(
                ErrorCode::Unavailable,
                "the server cannot answer at present; repeat the request",
            ),
            Self::Store(StoreError::Corrupt(_)) | Self::Object(_) | Self::Internal(_) => {
                ApiError::new(
                    ErrorCode::Internal,
                    "the server failed; the log has the rest under the request id",
                )
            }
        }
    }
}

impl From<getrandom::Error> for SchedulerError {
    fn from(error: getrandom::Error) -> Self {
        Self::Internal(format!("no random bytes: {error}"))
    }
}

impl From<IllegalTransition> for SchedulerError {
    fn from(error: IllegalTransition) -> Self {
        Self::Api(ApiError::new(ErrorCode::InvalidState, error.to_string()))
    }
}

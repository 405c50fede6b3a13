//! What can go wrong in a training run, told apart by who can mend it: the user or the operator.
//!
//! The `code` of a user error reaches the tenant as `error.code` of the job. Nothing here knows HTTP.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use trainyard_openapi::error::{ApiError, ErrorCode};
use trainyard_openapi::job_error::JobErrorCode;

/// A result of the trainer.
pub type Result<T, E = TrainerError> = std::result::Result<T, E>;

/// Why a run ended without an artifact.
#[derive(Debug, thiserror::Error)]
pub enum TrainerError {
    /// The request or its data cannot be trained; a retry gives the same answer.
    #[error("{message}")]
    User {
        /// Machine-readable.
        code: JobErrorCode,
        /// The request field or the file place at fault, as in `training_file:7:messages[1].role`.
        param: Option<String>,
        /// A sentence that names the field, the line, the limit and the value seen.
        message: String,
    },
    /// A create request that the API would refuse too; only where the trainer runs without a server.
    #[error(transparent)]
    Request(#[from] ApiError),
    /// A file could not be read or written.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// Memory ran out.
    #[error(
        "{0}; a smaller trainyard.batching.micro_batch_size, \"gradient_checkpointing\": true or a smaller \
         trainyard.sequence.max_length needs less"
    )]
    OutOfMemory(String),
    /// Memory ran out although a micro-batch is one row.
    #[error(
        "{0}; with micro-batches of one row too: lower trainyard.sequence.max_length, set \
         trainyard.batching.gradient_checkpointing to true, or choose a smaller model or adapter"
    )]
    TooLarge(String),
    /// libtorch refused an operation; only the first line of its text is kept (the rest is a C++ backtrace).
    #[error("libtorch: {0}")]
    Torch(String),
    /// The finished run failed its own checks; nothing of it is released.
    #[error("integrity check failed: {0}")]
    Integrity(String),
    /// A checkpoint that cannot be resumed from.
    #[error("checkpoint: {0}")]
    Checkpoint(String),
    /// A step of a private run could not be charged, or its noise not be drawn: it was not taken.
    #[error("privacy: {0}")]
    Privacy(String),
}

impl TrainerError {
    /// A user error at `param`.
    pub fn user(
        code: JobErrorCode,
        param: impl Into<Option<String>>,
        message: impl Into<String>,
    ) -> Self {
        Self::User { code, param: param.into(), message: message.into() }
    }

    /// A refusal of the request's field `param`.
    pub fn request(
        code: ErrorCode,
        param: impl Into<Option<String>>,
        message: impl Into<String>,
    ) -> Self {
        Self::Request(ApiError { code, param: param.into(), message: message.into() })
    }

    /// An error of reading or writing `path`.
    pub fn io(path: impl AsRef<Path>) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.as_ref().to_path_buf();
        move |source| Self::Io { path, source }
    }

    /// The machine-readable code of this error.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Request(error) => error.code.as_str(),
            _ => self.job_code().as_str(),
        }
    }

    /// The same as a job carries it.
    fn job_code(&self) -> JobErrorCode {
        match self {
            Self::User { code, .. } => *code,
            // A job's request was taken by the API before.
            Self::Request(_) => JobErrorCode::UnknownError,
            Self::Io { source, .. } => match source.kind() {
                ErrorKind::StorageFull | ErrorKind::QuotaExceeded => JobErrorCode::DiskFull,
                ErrorKind::PermissionDenied => JobErrorCode::FileUnreadable,
                // EIO has no kind of its own.
                _ if source.raw_os_error() == Some(libc::EIO) => JobErrorCode::FileUnreadable,
                _ => JobErrorCode::IoError,
            },
            Self::OutOfMemory(_) | Self::TooLarge(_) => JobErrorCode::OutOfMemory,
            Self::Torch(_) => JobErrorCode::EngineError,
            Self::Integrity(_) => JobErrorCode::IntegrityCheckFailed,
            Self::Checkpoint(_) => JobErrorCode::CheckpointError,
            Self::Privacy(_) => JobErrorCode::PrivacyRefused,
        }
    }

    /// The field or place at fault, if one is known.
    pub fn param(&self) -> Option<&str> {
        match self {
            Self::User { param, .. } => param.as_deref(),
            Self::Request(error) => error.param.as_deref(),
            _ => None,
        }
    }

    /// True where the user can mend it and a retry cannot.
    pub fn is_user(&self) -> bool {
        match self {
            Self::Request(_) => true,
            // Another attempt has half the micro-batch.
            Self::OutOfMemory(_) => false,
            _ => self.job_code().is_user(),
        }
    }
}

impl From<tch::TchError> for TrainerError {
    fn from(error: tch::TchError) -> Self {
        let text = match error {
            tch::TchError::Torch(text) => text,
            other => other.to_string(),
        };
        let first = text.lines().next().unwrap_or_default().trim().to_string();
        // In order: CUDA, the CPU allocator of libtorch, the C++ library, oneDNN.
        let ran_out =
            ["out of memory", "can't allocate memory", "bad_alloc", "could not create a memory"];
        if ran_out.iter().any(|words| first.contains(words)) {
            Self::OutOfMemory(first)
        } else {
            Self::Torch(first)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn libtorch_errors_are_told_apart_and_short() {
        let bytes = tch::Tensor::f_zeros([1_i64 << 46], (tch::Kind::Uint8, tch::Device::Cpu));
        let error = TrainerError::from(bytes.unwrap_err());
        assert_eq!(error.code(), "out_of_memory", "{error}");
        assert!(error.to_string().contains("micro_batch_size"), "{error}");
        let (a, b) = (tch::Tensor::from_slice(&[1, 2]), tch::Tensor::from_slice(&[1, 2, 3]));
        let error = TrainerError::from(a.f_add(&b).unwrap_err());
        assert_eq!(
            (error.code(), error.to_string().lines().count()),
            ("engine_error", 1),
            "{error}"
        );
    }
}

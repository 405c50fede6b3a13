//! What can go wrong in a training run, told apart by who can mend it: the user or the operator.
//!
//! The `code` of a user error reaches the tenant as `error.code` of the job. Nothing here knows HTTP.

use std::path::{Path, PathBuf};

/// A result of the trainer.
pub type Result<T, E = TrainerError> = std::result::Result<T, E>;

/// Why a run ended without an artifact.
#[derive(Debug, thiserror::Error)]
pub enum TrainerError {
    /// The request or its data cannot be trained; a retry gives the same answer.
    #[error("{message}")]
    User {
        /// Machine-readable, `snake_case`: `invalid_data`, `unsupported_model`, `context_too_long`, ...
        code: &'static str,
        /// The request field or the file place at fault, as in `training_file:7:messages[1].role`.
        param: Option<String>,
        /// A sentence that names the field, the line, the limit and the value seen.
        message: String,
    },
    /// A file could not be read or written.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// The device has no memory left for this micro-batch.
    #[error(
        "{0}; a smaller trainyard.batching.micro_batch_size or \"gradient_checkpointing\": true needs less"
    )]
    OutOfMemory(String),
    /// libtorch refused an operation; only the first line of its text is kept (the rest is a C++ backtrace).
    #[error("libtorch: {0}")]
    Torch(String),
    /// The finished run failed its own checks; nothing of it is released.
    #[error("integrity check failed: {0}")]
    Integrity(String),
    /// A checkpoint that cannot be resumed from.
    #[error("checkpoint: {0}")]
    Checkpoint(String),
}

impl TrainerError {
    /// A user error at `param`.
    pub fn user(
        code: &'static str,
        param: impl Into<Option<String>>,
        message: impl Into<String>,
    ) -> Self {
        Self::User { code, param: param.into(), message: message.into() }
    }

    /// An error of reading or writing `path`.
    pub fn io(path: impl AsRef<Path>) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.as_ref().to_path_buf();
        move |source| Self::Io { path, source }
    }

    /// The machine-readable code of this error.
    pub fn code(&self) -> &'static str {
        match self {
            Self::User { code, .. } => code,
            Self::Io { .. } => "io_error",
            Self::OutOfMemory(_) => "out_of_memory",
            Self::Torch(_) => "engine_error",
            Self::Integrity(_) => "integrity_check_failed",
            Self::Checkpoint(_) => "checkpoint_error",
        }
    }

    /// The field or place at fault, if one is known.
    pub fn param(&self) -> Option<&str> {
        match self {
            Self::User { param, .. } => param.as_deref(),
            _ => None,
        }
    }

    /// True where the user can mend it and a retry cannot.
    pub fn is_user(&self) -> bool {
        matches!(self, Self::User { .. })
    }
}

impl From<tch::TchError> for TrainerError {
    fn from(error: tch::TchError) -> Self {
        let text = match error {
            tch::TchError::Torch(text) => text,
            other => other.to_string(),
        };
        let first = text.lines().next().unwrap_or_default().trim().to_string();
        if first.contains("out of memory") || first.contains("can't allocate memory") {
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

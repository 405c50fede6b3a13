//! What can go wrong in a client command, and the exit code of each.

use std::io;

use trainyard_openapi::error::{ErrorCode, ErrorDetail};

use crate::exit::Exit;

/// A client command that did not do what it was asked to.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ClientError {
    /// The command line is wrong in a way that its parser cannot see.
    #[error("{0}")]
    Usage(String),
    /// The server said no.
    #[error("{}", describe(*.status, .detail, .request_id.as_deref()))]
    Api {
        /// The HTTP status.
        status: u16,
        /// What the server said.
        detail: ErrorDetail,
        /// The request's id in the server's log.
        request_id: Option<String>,
    },
    /// No answer.
    #[error("cannot reach the server at {url}: {reason}{}", if *.refused { " (is `trainyard serve` running there?)" } else { "" })]
    Unreachable {
        /// The server.
        url: String,
        /// Why, down to the last cause.
        reason: String,
        /// Whether nobody listens there.
        refused: bool,
    },
    /// An answer that is not one of the contract.
    #[error("the server's answer does not fit the contract: {0}")]
    Answer(String),
    /// A downloaded file differs from what the server announced.
    #[error("'{name}' has SHA-256 {actual}, announced was {expected}: nothing was kept of it")]
    Checksum {
        /// The file.
        name: String,
        /// What was received.
        actual: String,
        /// What was announced.
        expected: String,
    },
    /// What was written once is not what is there now.
    #[error("{0}")]
    Damaged(String),
    /// This machine's files.
    #[error("{what}: {source}")]
    File {
        /// What was done to which file.
        what: String,
        /// Why not.
        source: io::Error,
    },
    /// The user pressed Ctrl-C.
    #[error("interrupted: {0}")]
    Interrupted(String),
    /// Standard output is closed.
    #[error("cannot write to standard output: {0}")]
    Output(#[from] io::Error),
}

impl ClientError {
    /// An error of the connection to `base`.
    pub(super) fn unreachable(base: &reqwest::Url, error: reqwest::Error) -> Self {
        let refused = error.is_connect();
        let error = error.without_url();
        let mut reason = error.to_string();
        let mut cause = std::error::Error::source(&error);
        while let Some(inner) = cause {
            reason = inner.to_string();
            cause = inner.source();
        }
        Self::Unreachable { url: base.to_string(), reason, refused }
    }

    /// An error of a file of this machine.
    pub(crate) fn file(what: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        let what = what.into();
        move |source| Self::File { what, source }
    }

    /// Whether the same may work later without anybody's doing: the server restarts, is busy or was cut off.
    pub(crate) fn is_passing(&self) -> bool {
        match self {
            Self::Unreachable { .. } => true,
            // The last: the server still works on the first try of the same request.
            Self::Api { status, detail, .. } => {
                *status >= 500
                    || *status == 429 && detail.kind != "insufficient_quota"
                    || detail.code.as_deref() == Some(ErrorCode::IdempotencyInProgress.as_str())
            }
            _ => false,
        }
    }

    /// The exit code.
    pub(crate) fn exit(&self) -> Exit {
        match self {
            Self::Usage(_) => Exit::Usage,
            Self::Damaged(_) => Exit::Damaged,
            Self::Interrupted(_) => Exit::Interrupted,
            Self::Api { status: 401 | 403, .. } => Exit::Authentication,
            Self::Api { status: 404, .. } => Exit::NotFound,
            Self::Api { status: 400..=499, .. } => Exit::Usage,
            Self::Api { .. }
            | Self::Unreachable { .. }
            | Self::Answer(_)
            | Self::Checksum { .. }
            | Self::File { .. }
            | Self::Output(_) => Exit::Failure,
        }
    }
}

fn describe(status: u16, detail: &ErrorDetail, request_id: Option<&str>) -> String {
    let mut text = detail.message.clone();
    if let Some(param) = detail.param.as_deref().filter(|param| !text.contains(*param)) {
        text = format!("{param}: {text}");
    }
    // A fault of the server is looked up in its log under this id.
    if let (500.., Some(id)) = (status, request_id) {
        text = format!("{text} (request {id})");
    }
    text
}

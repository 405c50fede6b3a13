//! Why a long-running command does not run.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;

use trainyard_executor::RemoteError;

use super::lock;
use crate::config::ConfigError;
use crate::traces::TraceError;

/// Why the server does not run.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ServeError {
    /// The configuration.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The data directory.
    #[error(transparent)]
    Lock(#[from] lock::LockError),
    /// A restore that was interrupted.
    #[error("'{0}' is not restored to the end: give the same `trainyard restore` again")]
    Unrestored(PathBuf),
    /// A backend.
    #[error("cannot open a backend")]
    Open(#[from] trainyard_scheduler::adapter::OpenError),
    /// The scheduler.
    #[error("the scheduler could not start")]
    Scheduler(#[from] trainyard_scheduler::SchedulerError),
    /// The address.
    #[error("cannot listen on {address}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The file for the first key.
    #[error("cannot write the API key file '{path}'")]
    KeyFile {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Standard output.
    #[error("cannot show the API key on standard output")]
    ShowKey(#[source] io::Error),
    /// The HTTP server stopped by itself.
    #[error("the HTTP server failed")]
    Http(#[source] io::Error),
    /// A part of the server ended that never should.
    #[error("{0} ended by itself")]
    Ended(&'static str),
    /// Signals or threads.
    #[error("the operating system refused")]
    System(#[source] io::Error),
    /// The client of webhooks.
    #[error("the client of webhooks could not start")]
    Webhooks(#[source] reqwest::Error),
    /// The client that fetches the keys of tokens.
    #[error("the client for the issuer's keys could not start")]
    Issuer(#[source] reqwest::Error),
    /// The file with the keys of tokens.
    #[error("the key set '{path}' ('oidc_jwks_file') cannot be used: {reason}")]
    KeySet {
        /// The file.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// No random bytes.
    #[error("the system gives no random bytes: {0}")]
    Random(String),
    /// The client of the control plane.
    #[error(transparent)]
    Remote(#[from] RemoteError),
    /// The metrics.
    #[error("the metrics could not be registered")]
    Metrics(#[from] prometheus::Error),
    /// The traces.
    #[error(transparent)]
    Traces(#[from] TraceError),
    /// Not everything ended in time.
    #[error("not all parts ended within {0} s")]
    Slow(u64),
}

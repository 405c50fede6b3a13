//! SIGTERM and SIGINT: the first asks for an orderly end, the second ends the process at once.

use std::io;
use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};

use super::ServeError;

/// What a shell expects of a process that a signal ended.
const ENDED_BY_SIGNAL: i32 = 128;

/// The signals that end the server.
#[derive(Debug)]
pub(crate) struct Signals {
    term: Signal,
    interrupt: Signal,
}

impl Signals {
    /// Listens from now on.
    pub(crate) fn listen() -> io::Result<Self> {
        let term = signal(SignalKind::terminate())?;
        Ok(Self { term, interrupt: signal(SignalKind::interrupt())? })
    }

    /// Waits for a signal; gives its name. An error where a part ends before: `ended` says which.
    pub(super) async fn first(
        &mut self,
        ended: impl Future<Output = ServeError>,
    ) -> Result<&'static str, ServeError> {
        tokio::select! {
            (_, name) = self.next() => Ok(name),
            ended = ended => Err(ended),
        }
    }

    /// Lets the parts end within `limit`. The next signal ends the process at once; trainers notice that their agent is gone and end too.
    pub(super) async fn end_within(
        mut self,
        limit: Duration,
        ending: impl Future<Output = ()>,
    ) -> Result<(), ServeError> {
        tokio::select! {
            ended = tokio::time::timeout(limit, ending) => {
                ended.map_err(|_| ServeError::Slow(limit.as_secs()))?;
            }
            (number, name) = self.next() => {
                tracing::warn!(signal = name, "second signal: ending at once");
                std::process::exit(ENDED_BY_SIGNAL + number)
            }
        }
        tracing::info!("stopped");
        Ok(())
    }

    async fn next(&mut self) -> (i32, &'static str) {
        tokio::select! {
            _ = self.term.recv() => (SignalKind::terminate().as_raw_value(), "SIGTERM"),
            _ = self.interrupt.recv() => (SignalKind::interrupt().as_raw_value(), "SIGINT"),
        }
    }
}

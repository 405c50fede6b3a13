//! SIGTERM and SIGINT: the first asks for an orderly end, the second ends the process at once.

use std::io;

use tokio::signal::unix::{Signal, SignalKind, signal};

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

    /// Waits for a signal; gives its name.
    pub(crate) async fn next(&mut self) -> &'static str {
        self.next_number().await.1
    }

    /// Ends the process at the next signal. Trainers notice that their agent is gone and end too.
    pub(crate) async fn end_at_next(&mut self) -> std::convert::Infallible {
        let (number, name) = self.next_number().await;
        tracing::warn!(signal = name, "second signal: ending at once");
        std::process::exit(ENDED_BY_SIGNAL + number)
    }

    async fn next_number(&mut self) -> (i32, &'static str) {
        tokio::select! {
            _ = self.term.recv() => (SignalKind::terminate().as_raw_value(), "SIGTERM"),
            _ = self.interrupt.recv() => (SignalKind::interrupt().as_raw_value(), "SIGINT"),
        }
    }
}

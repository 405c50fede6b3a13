//! Word between processes that share a record: who waits for a change of another process need not look at the clock.
//!
//! News is a hint. What it says is read from the record, and what it leaves out is found at the next look.

use tokio::sync::broadcast;
use tokio::sync::broadcast::error::RecvError;
use trainyard_openapi::id::JobId;

/// What another process has done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Word {
    /// It changed a job.
    Changed {
        /// The job.
        job: JobId,
        /// The job's state is another: something may have become possible.
        moved: bool,
    },
    /// Word was lost: anything may have changed.
    Missed,
}

/// Hears of other processes' changes.
pub struct News(broadcast::Receiver<Word>);

impl News {
    /// What is said on `channel` from now on.
    pub fn on(channel: &broadcast::Sender<Word>) -> Self {
        Self(channel.subscribe())
    }

    /// Waits for the next word. Where nobody can speak any more it waits for ever.
    pub async fn next(&mut self) -> Word {
        match self.0.recv().await {
            Ok(word) => word,
            Err(RecvError::Lagged(_)) => Word::Missed,
            Err(RecvError::Closed) => std::future::pending().await,
        }
    }
}

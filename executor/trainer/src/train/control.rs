//! What is wanted of a run from outside, looked at between micro-batches.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Condvar, Mutex, PoisonError};
use std::time::Duration;

use trainyard_openapi::extension::PrivacySpent;

/// Wishes, set by signals and commands, taken by the loop.
#[derive(Debug, Default)]
pub struct Control {
    cancel: AtomicBool,
    stop: AtomicBool,
    checkpoint: AtomicBool,
    /// The answer to the last question for leave: up to which step, and what is spent.
    reserved: Mutex<Option<(u64, PrivacySpent)>>,
    answered: Condvar,
}

impl Control {
    /// End without keeping anything.
    pub fn cancel(&self) {
        self.cancel.store(true, Ordering::SeqCst);
    }

    /// Write a checkpoint, then end.
    pub fn stop(&self) {
        self.stop.store(true, Ordering::SeqCst);
    }

    /// Write a checkpoint and go on.
    pub fn checkpoint(&self) {
        self.checkpoint.store(true, Ordering::SeqCst);
    }

    /// Whether to end without keeping anything.
    pub fn is_cancelled(&self) -> bool {
        self.cancel.load(Ordering::SeqCst)
    }

    /// Whether to write a checkpoint and end.
    pub fn is_stopping(&self) -> bool {
        self.stop.load(Ordering::SeqCst)
    }

    /// Whether the work at hand is to be left as it is.
    pub fn is_interrupted(&self) -> bool {
        self.is_cancelled() || self.is_stopping()
    }

    /// Whether a checkpoint is wanted; asking takes the wish.
    pub fn take_checkpoint(&self) -> bool {
        self.checkpoint.swap(false, Ordering::SeqCst)
    }

    /// The steps up to `until` may run.
    pub fn reserved(&self, until: u64, spent: PrivacySpent) {
        *self.reserved.lock().unwrap_or_else(PoisonError::into_inner) = Some((until, spent));
        self.answered.notify_all();
    }

    /// Takes the answer to the question for leave, waiting up to `wait` for it.
    pub fn take_reserved(&self, wait: Duration) -> Option<(u64, PrivacySpent)> {
        let answer = self.reserved.lock().unwrap_or_else(PoisonError::into_inner);
        let (mut answer, _) = self
            .answered
            .wait_timeout_while(answer, wait, |answer| answer.is_none())
            .unwrap_or_else(PoisonError::into_inner);
        answer.take()
    }
}

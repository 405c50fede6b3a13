//! The privacy of files: who may read them, what jobs are charged, what is left.
//!
//! A ledger belongs to a tenant and a content (`crate::ledger`). A create request is only looked at: what holds a budget is the charge
//! before the steps (`charge.rs`), since nothing is known before of how far a job will get.

mod admit;
mod budget;
mod charge;

use std::sync::PoisonError;

use trainyard_privacy::Accountant;

use super::Scheduler;
use crate::error::{Result, SchedulerError};
use crate::ledger::PrivacyLedger;
use crate::port::store::FileRecord;

impl Scheduler {
    /// Lets `work` count, which may take a second: the async threads go on serving meanwhile. What it computed of a mechanism is kept for
    /// the next, and nobody waits for anybody.
    async fn count<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Accountant) -> T + Send + 'static,
    ) -> Result<T> {
        let known = std::sync::Arc::clone(&self.inner.accountant);
        let counted = tokio::task::spawn_blocking(move || {
            let mut own = known.lock().unwrap_or_else(PoisonError::into_inner).clone();
            let counted = work(&mut own);
            *known.lock().unwrap_or_else(PoisonError::into_inner) = own;
            counted
        });
        let panicked = |error| SchedulerError::Internal(format!("accounting panicked: {error}"));
        counted.await.map_err(panicked)
    }

    /// The ledger of a file's content, and its revision.
    async fn ledger(&self, file: &FileRecord) -> Result<Option<(PrivacyLedger, u64)>> {
        let id = PrivacyLedger::id_of(&file.tenant, &file.sha256);
        self.document::<PrivacyLedger>(&id).await
    }
}

/// A fault of the record or of this program: what the tenant gave was checked before.
fn internal(error: impl std::fmt::Display) -> SchedulerError {
    SchedulerError::Internal(format!("privacy accounting: {error}"))
}

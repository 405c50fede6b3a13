//! What metrics need of the record. It is looked at every while, not when somebody asks: an answer must not wait for a store.

use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::Scheduler;
use crate::error::Result;
use crate::job::JobState;
use crate::metrics::Metrics;
use crate::port::queue::Ticket;

/// Time between two looks.
const PAUSE: Duration = Duration::from_secs(2);
/// Tickets that are looked at for the oldest that is good.
const TICKETS_MAX: usize = 100;

impl Scheduler {
    /// What it counts.
    pub fn metrics(&self) -> &Metrics {
        &self.inner.metrics
    }

    /// Notes what an acknowledged write survives, as far as is known now.
    pub fn note_durability(&self) {
        self.metrics().set_durability(&self.durability());
    }

    /// Measures every while until `shutdown`, where anybody looks.
    pub(super) async fn measure_until(&self, shutdown: &CancellationToken) {
        if !self.metrics().is_measured() {
            return;
        }
        loop {
            let ended = tokio::select! {
                ended = self.measure() => ended,
                () = shutdown.cancelled() => return,
            };
            if let Err(error) = ended {
                tracing::warn!(error = &error as &dyn std::error::Error, "jobs were not counted");
            }
            tokio::select! {
                () = shutdown.cancelled() => return,
                () = tokio::time::sleep(PAUSE) => {}
            }
        }
    }

    pub(super) async fn measure(&self) -> Result<()> {
        for pool in self.devices().await?.keys() {
            self.metrics().know(pool);
        }
        self.metrics().set_jobs(&self.store().job_counts().await?);
        let outbox = self.store().outbox().await?;
        self.metrics().set_outbox(outbox.len(), self.oldest_ms(&outbox).await?);
        Ok(())
    }

    /// When the oldest of `outbox` that is good was issued; now where all are stale, 0 where there is none.
    async fn oldest_ms(&self, outbox: &[Ticket]) -> Result<i64> {
        for ticket in outbox.iter().take(TICKETS_MAX) {
            let job = self.store().job_of_any_tenant(&ticket.job).await?;
            let state = job.filter(|job| job.seq == ticket.seq).map(|job| job.state);
            if let Some(JobState::Dispatched { since_ms }) = state {
                return Ok(since_ms);
            }
        }
        Ok(if outbox.is_empty() { 0 } else { self.store().now_ms().await? })
    }
}

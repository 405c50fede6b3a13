//! Following a job: what has happened, and word that something new may have.

use tokio::sync::broadcast;
use tokio::sync::broadcast::error::RecvError;
use tokio_util::sync::CancellationToken;
use trainyard_openapi::event::JobEvent;
use trainyard_openapi::id::{EventId, JobId};
use trainyard_openapi::page::{Order, PageRequest};

use super::Scheduler;
use crate::error::Result;
use crate::port::news::Word;
use crate::tenant::TenantContext;

/// Changes that a listener may be behind before it is told only that it missed some.
pub(super) const NEWS_KEPT: usize = 256;

/// Tells when jobs change, from the moment on at which it was made.
pub struct JobNews(broadcast::Receiver<Option<JobId>>);

/// A piece of a job's history.
#[derive(Debug, Clone, PartialEq)]
pub struct History {
    /// Events, oldest first.
    pub events: Vec<JobEvent>,
    /// Whether the job has ended and these are its last events.
    pub ended: bool,
}

impl JobNews {
    /// Waits until the job may have changed. Of what other processes change it is told while [`Scheduler::run`] or [`Scheduler::follow`] runs.
    pub async fn of(&mut self, id: &JobId) {
        loop {
            match self.0.recv().await {
                Ok(Some(changed)) if changed != *id => {}
                Ok(_) | Err(RecvError::Lagged(_)) => return,
                Err(RecvError::Closed) => std::future::pending().await,
            }
        }
    }
}

impl Scheduler {
    /// Word of every change from now on.
    pub fn news(&self) -> JobNews {
        JobNews(self.inner.news.subscribe())
    }

    /// Passes on, until `shutdown`, what other processes on the same record say that they changed: to those who follow a job, who
    /// wait for one, and to the loops.
    pub(super) async fn hear(&self, shutdown: &CancellationToken) {
        let Some(mut news) = self.store().news() else { return };
        loop {
            let word = tokio::select! {
                word = news.next() => word,
                () = shutdown.cancelled() => return,
            };
            let (job, moved) = match word {
                Word::Changed { job, moved } => (Some(job), moved),
                Word::Missed => (None, true),
            };
            self.inner.changed.notify_waiters();
            // Nobody may be following.
            let _ = self.inner.news.send(job);
            if moved {
                self.inner.work.notify_waiters();
                self.inner.announced.notify_one();
            }
        }
    }

    /// Up to `limit` events of a job after `after`, or from its first on.
    ///
    /// # Errors
    /// `not_found`; `invalid_cursor` where `after` is no event of this job.
    pub async fn history(
        &self,
        ctx: &TenantContext,
        id: &JobId,
        after: Option<&EventId>,
        limit: u32,
    ) -> Result<History> {
        // The state is read first: an ended job gets no more events, so none can be missed.
        let job = self.job_record(ctx, id).await?;
        let after = after.map(ToString::to_string);
        let page = PageRequest { after, limit, order: Order::Asc };
        let (events, has_more) = self.store().events(id, &page).await?;
        let ended = job.state.status().is_terminal() && !has_more;
        Ok(History { events, ended })
    }

    /// Waits until this scheduler's loops have been told to stop: whoever follows a job lets go.
    pub async fn closing(&self) {
        self.inner.closing.cancelled().await;
    }
}

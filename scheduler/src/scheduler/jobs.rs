//! What an owner does with jobs: look, list, cancel, pause, resume.

use std::time::Duration;

use serde_json::json;
use trainyard_openapi::checkpoint::JobCheckpoint;
use trainyard_openapi::error::{ApiError, ErrorCode};
use trainyard_openapi::event::{EventLevel, JobEvent};
use trainyard_openapi::id::JobId;
use trainyard_openapi::job::{Job, JobStatus};
use trainyard_openapi::page::{Page, PageRequest};

use super::view::{Waiting, checkpoint_of, job_of};
use super::{Scheduler, message};
use crate::error::{Result, SchedulerError};
use crate::job::state::{Stop, Transition};
use crate::job::{JobRecord, JobState};
use crate::port::document::Change;
use crate::port::store::JobFilter;
use crate::tenant::TenantContext;

/// How long a cancel waits for the run to notice, so that its answer can say `cancelled`. OpenAI's answers do.
const CANCEL_WAIT: Duration = Duration::from_millis(2500);

impl Scheduler {
    /// A job.
    ///
    /// # Errors
    /// `not_found`.
    pub async fn job(&self, ctx: &TenantContext, id: &JobId) -> Result<Job> {
        let record = self.job_record(ctx, id).await?;
        let mut jobs = self.views(std::slice::from_ref(&record)).await?;
        Ok(jobs.pop().ok_or_else(|| not_found(id))?)
    }

    /// Jobs, newest first.
    ///
    /// # Errors
    /// A bad cursor.
    pub async fn jobs(
        &self,
        ctx: &TenantContext,
        filter: &JobFilter,
        page: &PageRequest,
    ) -> Result<Page<Job>> {
        let (records, has_more) = self.store().jobs(ctx.tenant(), filter, page).await?;
        let jobs = self.views(&records).await?;
        Ok(Page::new(jobs, has_more, |job: &Job| job.id.to_string()))
    }

    /// Ends a job. A running one ends at its next boundary; the answer waits a moment for that.
    ///
    /// # Errors
    /// `not_found`; `invalid_state` where it has ended.
    pub async fn cancel(&self, ctx: &TenantContext, id: &JobId) -> Result<Job> {
        self.wish(ctx, id, "job.cancelled", "The job was cancelled", |now_ms| Transition::Cancel {
            now_ms,
        })
        .await?;
        let ended = self.wait_until(id, |job| job.state.status().is_terminal());
        // The wish is stored: what does not end in time ends a little later.
        let _ = tokio::time::timeout(CANCEL_WAIT, ended).await;
        self.job(ctx, id).await
    }

    /// Holds a job back. A running one writes a checkpoint first and is `paused` after that.
    ///
    /// # Errors
    /// `not_found`; `invalid_state` where it has ended.
    pub async fn pause(&self, ctx: &TenantContext, id: &JobId) -> Result<Job> {
        self.wish(ctx, id, "job.paused", "The job is being paused", |_| Transition::Pause).await?;
        self.job(ctx, id).await
    }

    /// Lets a paused job go on from its last checkpoint.
    ///
    /// # Errors
    /// `not_found`; `invalid_state` where it is not paused.
    pub async fn resume(&self, ctx: &TenantContext, id: &JobId) -> Result<Job> {
        self.wish(ctx, id, "job.resumed", "The job was resumed", |now_ms| Transition::Resume {
            now_ms,
        })
        .await?;
        self.job(ctx, id).await
    }

    /// Events of a job, newest first.
    ///
    /// # Errors
    /// `not_found`; a bad cursor.
    pub async fn events(
        &self,
        ctx: &TenantContext,
        id: &JobId,
        page: &PageRequest,
    ) -> Result<Page<JobEvent>> {
        self.job_record(ctx, id).await?;
        let (events, has_more) = self.store().events(id, page).await?;
        Ok(Page::new(events, has_more, |event: &JobEvent| event.id.to_string()))
    }

    /// Checkpoints of a job, newest first.
    ///
    /// # Errors
    /// `not_found`; a bad cursor.
    pub async fn checkpoints(
        &self,
        ctx: &TenantContext,
        id: &JobId,
        page: &PageRequest,
    ) -> Result<Page<JobCheckpoint>> {
        let job = self.job_record(ctx, id).await?;
        let (records, has_more) = self.store().checkpoints(id, page).await?;
        let checkpoints = records.iter().map(|record| checkpoint_of(record, &job)).collect();
        Ok(Page::new(checkpoints, has_more, |checkpoint: &JobCheckpoint| checkpoint.id.to_string()))
    }

    pub(super) async fn job_record(&self, ctx: &TenantContext, id: &JobId) -> Result<JobRecord> {
        let record = self.store().job(ctx.tenant(), id).await?;
        Ok(record.ok_or_else(|| not_found(id))?)
    }

    /// Waits until `done` holds of the job, or the job is gone.
    pub(super) async fn wait_until(
        &self,
        id: &JobId,
        done: impl Fn(&JobRecord) -> bool,
    ) -> Result<()> {
        loop {
            let changed = self.inner.changed.notified();
            tokio::pin!(changed);
            changed.as_mut().enable();
            match self.store().job_of_any_tenant(id).await? {
                Some(job) if !done(&job) => changed.await,
                _ => return Ok(()),
            }
        }
    }

    /// Jobs as their owner sees them.
    async fn views(&self, records: &[JobRecord]) -> Result<Vec<Job>> {
        let line = self.line_of(records).await?;
        let slots = if line.is_some() { self.slots().await? } else { 0 };
        let now_ms = self.store().now_ms().await?;
        let waiting = |record| {
            let line = line.as_ref();
            line.map_or_else(Waiting::default, |line| line.waiting(record, slots))
        };
        Ok(records.iter().map(|record| job_of(record, waiting(record), now_ms)).collect())
    }

    /// Carries out an owner's wish and writes it into the history, once.
    async fn wish(
        &self,
        ctx: &TenantContext,
        id: &JobId,
        action: &str,
        text: &str,
        transition: impl Fn(i64) -> Transition,
    ) -> Result<()> {
        self.job_record(ctx, id).await?;
        self.change(id, |commit, now_ms| {
            let before = commit.job.state.clone();
            let after = before.clone().apply(transition(now_ms))?;
            if after == before {
                return Ok::<_, SchedulerError>(false);
            }
            let text = match (&after, after.status()) {
                (JobState::Running { stop: Some(Stop::Cancel), .. }, _) => {
                    "The job is being cancelled"
                }
                (_, JobStatus::Paused) => "The job was paused",
                _ => text,
            };
            commit.job.state = after;
            commit.events.push(message(now_ms, EventLevel::Info, text)?);
            commit.also = Change::audited(Self::audited(ctx, now_ms, action, id, json!({})));
            Ok(true)
        })
        .await?;
        Ok(())
    }
}

fn not_found(id: &JobId) -> ApiError {
    ApiError::field(
        ErrorCode::NotFound,
        "fine_tuning_job_id",
        format!("Could not find fine tune: {id}"),
    )
}

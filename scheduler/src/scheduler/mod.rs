//! The scheduler itself: one value that everything goes through. Each file is one concern of it.

mod collect;
mod control;
mod deliveries;
mod documents;
mod erasure;
mod files;
mod handover;
mod jobs;
mod keys;
mod lease;
mod lease_tokens;
mod line;
mod lineage;
mod links;
mod measure;
mod model_lineage;
mod models;
mod news;
mod parent;
mod pools;
mod preflight;
mod privacy;
mod queueing;
mod quota;
mod reaper;
mod requests;
mod room;
mod stage_files;
mod standing;
mod submit;
mod sweep;
mod tenants;
mod tokens;
mod upload_parts;
mod uploads;
mod usage;
mod validation;
mod verify;
mod view;
mod waiting;
mod webhooks;

use std::mem::discriminant;
use std::sync::{Arc, Mutex};

use serde_json::{Map, Value};
use tokio::sync::{Notify, broadcast};
use tokio_util::sync::CancellationToken;
use trainyard_openapi::event::{EventKind, EventLevel, JobEvent};
use trainyard_openapi::id::{EventId, JobId};
use trainyard_openapi::webhook::EventType;
use trainyard_plan::HostFacts;
use trainyard_privacy::Accountant;

use crate::base_model::BaseModels;
use crate::config::SchedulerConfig;
use crate::error::{Result, SchedulerError};
use crate::job::JobRecord;
use crate::metrics::Metrics;
use crate::port::inspector::Inspector;
use crate::port::objects::Objects;
use crate::port::queue::Queue;
use crate::port::store::{Commit, Durability, Store, StoreError};
use crate::trace::Span;

pub use files::FileUpload;
use keys::KnownKeys;
use lease_tokens::KnownSecret;
use line::KnownLine;
pub use news::{History, JobNews};
pub use requests::{Reservation, Reserved};
pub use submit::{DEFAULT_POOL, IdempotencyKey, Repeat, Submitted};
pub use upload_parts::PartUpload;

/// Times that a change is tried anew after somebody else changed the job meanwhile. Each failure means that another change went
/// through, so this many in a row do not happen to a job that is not stormed.
const CONFLICTS_MAX: usize = 100;

/// What a scheduler stands on.
pub struct Parts {
    /// The record.
    pub store: Arc<dyn Store>,
    /// The doorbell.
    pub queue: Arc<dyn Queue>,
    /// The files.
    pub objects: Arc<dyn Objects>,
    /// The base models.
    pub models: BaseModels,
    /// The machines of the pool.
    pub host: HostFacts,
    /// Who counts tokens for a dry run, where somebody can.
    pub inspector: Option<Arc<dyn Inspector>>,
    /// Settings.
    pub config: SchedulerConfig,
}

/// The scheduler. Clones are the same one.
#[derive(Clone)]
pub struct Scheduler {
    inner: Arc<Inner>,
}

struct Inner {
    parts: Parts,
    /// Something may have become possible: a job was queued, a slot came free.
    work: Notify,
    /// A job changed: whoever waits for one looks again.
    changed: Notify,
    /// Which job changed, for those that follow one; none where it may be any.
    news: broadcast::Sender<Option<JobId>>,
    /// The loops were told to stop.
    closing: CancellationToken,
    /// Held by whoever adds a file for a tenant with a limit of bytes, so that two do not fill the same room.
    storage: tokio::sync::Mutex<()>,
    /// There is something new to tell webhooks.
    announced: Notify,
    keys: KnownKeys,
    lease_secret: KnownSecret,
    line: KnownLine,
    metrics: Metrics,
    /// What is known of the mechanisms of private jobs; never held while something is counted.
    accountant: Arc<Mutex<Accountant>>,
}

impl Scheduler {
    /// A scheduler on `parts`. Nothing runs before [`Scheduler::run`].
    pub fn new(parts: Parts) -> Self {
        let (work, changed, announced) = (Notify::new(), Notify::new(), Notify::new());
        let (news, _) = broadcast::channel(news::NEWS_KEPT);
        let (closing, storage) = (CancellationToken::new(), tokio::sync::Mutex::new(()));
        let (keys, line) = (KnownKeys::default(), KnownLine::default());
        let lease_secret = KnownSecret::default();
        let inner = Inner {
            parts,
            work,
            changed,
            news,
            closing,
            storage,
            announced,
            keys,
            lease_secret,
            line,
            metrics: Metrics::default(),
            accountant: Arc::default(),
        };
        Self { inner: Arc::new(inner) }
    }

    /// Whether the store answers.
    ///
    /// # Errors
    /// Where it does not.
    pub async fn ready(&self) -> Result<()> {
        self.store().now_ms().await?;
        Ok(())
    }

    /// What an acknowledged write of the store survives.
    pub fn durability(&self) -> Durability {
        self.store().durability()
    }

    /// Runs the loops until `shutdown`: validation, dispatch, relay, reaper, sweep, and the counts of metrics that are registered. Several processes may do it on one record at the same
    /// time: every step is a compare-and-set, and a ticket that two hand over is stale the second time.
    pub async fn run(&self, shutdown: CancellationToken) {
        let validation = self
            .repeat(&shutdown, "validation", |this| async move { this.validate_pending().await });
        let dispatch =
            self.repeat(&shutdown, "dispatch", |this| async move { this.dispatch_pass().await });
        // Apart from the others: a queue may take long to say no, and leases expire meanwhile.
        let relay = self.repeat(&shutdown, "relay", |this| async move { this.relay().await });
        let (sweep, hear) = (self.sweep_until(&shutdown), self.hear(&shutdown));
        let measure = self.measure_until(&shutdown);
        tokio::join!(validation, dispatch, relay, sweep, hear, measure);
        self.inner.closing.cancel();
    }

    /// What a process does until `shutdown` that answers requests and leaves the loops to others: it hears what they change. Those
    /// who follow a job let go then.
    pub async fn follow(&self, shutdown: CancellationToken) {
        self.hear(&shutdown).await;
        shutdown.cancelled().await;
        self.inner.closing.cancel();
    }

    /// One pass of every loop.
    ///
    /// # Errors
    /// Where a port does not answer.
    pub async fn tick(&self) -> Result<()> {
        if self.metrics().is_measured() {
            self.measure().await?;
        }
        self.validate_pending().await?;
        self.dispatch_pass().await?;
        self.relay().await?;
        self.sweep().await
    }

    async fn dispatch_pass(&self) -> Result<()> {
        self.reap().await?;
        self.dispatch().await
    }

    async fn repeat<F>(&self, shutdown: &CancellationToken, name: &str, pass: impl Fn(Self) -> F)
    where
        F: Future<Output = Result<()>>,
    {
        while !shutdown.is_cancelled() {
            // Registered before the pass, so that what happens during it is not missed.
            let work = self.inner.work.notified();
            tokio::pin!(work);
            work.as_mut().enable();
            // Every step of a pass is one commit, so it may end anywhere.
            let ended = tokio::select! {
                ended = pass(self.clone()) => ended,
                () = shutdown.cancelled() => return,
            };
            if let Err(error) = ended {
                tracing::error!(error = &error as &dyn std::error::Error, "{name} pass failed");
            }
            tokio::select! {
                () = shutdown.cancelled() => {}
                () = work => {}
                () = tokio::time::sleep(self.config().tick) => {}
            }
        }
    }

    fn store(&self) -> &dyn Store {
        self.inner.parts.store.as_ref()
    }

    /// Writes to the record, as a step of what this task is doing.
    async fn commit(&self, commit: Commit) -> std::result::Result<(), StoreError> {
        let span = Span::step("commit");
        let committed = span.around(self.store().commit(commit)).await;
        if let Err(error) = &committed {
            span.fail(error.kind());
        }
        committed
    }

    fn objects(&self) -> &dyn Objects {
        self.inner.parts.objects.as_ref()
    }

    fn models_dir(&self) -> &BaseModels {
        &self.inner.parts.models
    }

    fn config(&self) -> &SchedulerConfig {
        &self.inner.parts.config
    }

    /// Changes a job: reads it, lets `change` work on the commit, writes it, and does all of that anew where somebody else was
    /// faster. `change` gives whether there is anything to write.
    async fn change<E>(
        &self,
        id: &JobId,
        mut change: impl FnMut(&mut Commit, i64) -> std::result::Result<bool, E>,
    ) -> std::result::Result<Option<JobRecord>, E>
    where
        E: From<StoreError> + From<SchedulerError>,
    {
        for _ in 0..CONFLICTS_MAX {
            let Some(job) = self.store().job_of_any_tenant(id).await? else { return Ok(None) };
            let now_ms = self.store().now_ms().await?;
            let (before, status) = (discriminant(&job.state), job.state.status());
            let mut commit = Commit::of(job);
            if !change(&mut commit, now_ms)? {
                return Ok(Some(commit.job));
            }
            commit.job.rev = commit.expected_rev + 1;
            // Every transition comes through here, so none goes by untold. Endpoints are looked up for transitions alone.
            let now = commit.job.state.status();
            let told = now != status
                && self.announce(&mut commit, EventType::of(now), None, now_ms).await?;
            let job = commit.job.clone();
            let moved = discriminant(&job.state) != before;
            // What a tenant uses may hold its other jobs.
            let moves_line = moved || commit.usage.is_some();
            let committed = self.commit(commit).await;
            // An error may be no answer to what has happened.
            if moves_line {
                self.inner.line.changed();
            }
            match committed {
                Err(StoreError::Conflict) => {}
                Err(error) => return Err(error.into()),
                Ok(()) => {
                    if now != status && now.is_terminal() {
                        self.metrics().ended(now, now_ms - job.created_at_ms);
                    }
                    self.inner.changed.notify_waiters();
                    // Nobody may be following.
                    let _ = self.inner.news.send(Some(job.id.clone()));
                    // Heartbeats and reports make nothing possible that was not.
                    if moved {
                        self.inner.work.notify_waiters();
                    }
                    if told {
                        self.inner.announced.notify_one();
                    }
                    return Ok(Some(job));
                }
            }
        }
        Err(StoreError::Unavailable(format!("job {id} changes too fast")).into())
    }
}

/// An entry of a job's history without figures.
fn message(now_ms: i64, level: EventLevel, text: impl Into<String>) -> Result<JobEvent> {
    event(now_ms, level, EventKind::Message, text.into(), Map::new())
}

fn event(
    now_ms: i64,
    level: EventLevel,
    kind: EventKind,
    message: String,
    data: Map<String, Value>,
) -> Result<JobEvent> {
    Ok(JobEvent {
        id: EventId::generate().map_err(SchedulerError::from)?,
        object: "fine_tuning.job.event".to_string(),
        created_at: now_ms / 1000,
        level,
        message,
        kind,
        data,
    })
}

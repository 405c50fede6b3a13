//! The line of jobs that wait, in the order in which they will run: counted once and then looked up, because many ask for it.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use trainyard_openapi::id::{JobId, TenantId};
use trainyard_openapi::job::JobStatus;

use super::Scheduler;
use super::view::Waiting;
use crate::error::{Result, SchedulerError};
use crate::job::{JobRecord, JobState};
use crate::policy::{self, Queue};
use crate::port::store::QueuedJob;

/// A line of at most so many jobs is counted anew after every change: that takes about a millisecond. A longer one is counted
/// anew once it is old.
const EXACT_MAX: usize = 1_000;
/// After how long a line is old, in milliseconds: other processes and the turn of a day change it too.
const OLD_MS: i64 = 1_000;
/// A long line is shown for so many times what counting it took, so that who looks at jobs costs a processor a hundredth of its time.
const SHOWN_FOR: i64 = 100;
/// But never for longer, in milliseconds.
const SHOWN_MAX_MS: i64 = 30_000;
/// How much longer it is shown while a new one is being counted, in milliseconds.
const COUNTING_MS: i64 = 2_000;

/// The jobs that wait and the slots that are free, as they stood at a moment.
pub(super) struct Line {
    pub(super) queue: Queue,
    pub(super) free: u32,
    /// Places in the queue, from 0: those that are ready, then those that are held.
    places: HashMap<JobId, usize>,
    /// The changes that it knows of.
    changes: u64,
    at_ms: i64,
    /// How long counting took.
    took_ms: i64,
}

impl Line {
    fn new(queue: Queue, free: u32, changes: u64, at_ms: i64) -> Self {
        let ids = queue.ready.iter().chain(queue.held.iter().map(|(id, _)| id));
        let places = ids.enumerate().map(|(place, id)| (id.clone(), place)).collect();
        Self { queue, free, places, changes, at_ms, took_ms: 0 }
    }

    /// For how long it is shown, in milliseconds.
    fn shown_ms(&self) -> i64 {
        match self.is_long() {
            true => (SHOWN_FOR * self.took_ms).clamp(OLD_MS, SHOWN_MAX_MS),
            false => OLD_MS,
        }
    }

    fn is_long(&self) -> bool {
        self.places.len() > EXACT_MAX
    }

    fn is_younger(&self, age_ms: i64, now_ms: i64) -> bool {
        (0..age_ms).contains(&(now_ms - self.at_ms))
    }

    /// Where a job stands in it, and why it does not run.
    pub(super) fn waiting(&self, record: &JobRecord, slots: u32) -> Waiting {
        match record.state {
            JobState::Queued { .. } => {}
            JobState::Dispatched { .. } => {
                let reason = "an executor is about to take it".to_string();
                return Waiting { position: Some(1), reason: Some(reason) };
            }
            _ => return Waiting::default(),
        }
        let place = self.places.get(&record.id).copied();
        let position = place.map(|place| place as u64 + 1);
        let held = place.and_then(|place| place.checked_sub(self.queue.ready.len()));
        if let Some((_, reason)) = held.and_then(|place| self.queue.held.get(place)) {
            return Waiting { position, reason: Some(reason.to_string()) };
        }
        let reason = match self.free {
            0 if slots == 0 => "this server has no slots: it starts no jobs".to_string(),
            0 => format!("all {slots} slots are taken"),
            free => format!("{free} of {slots} slots are free; it is about to be dispatched"),
        };
        Waiting { position, reason: Some(reason) }
    }
}

/// The line as it was counted last.
#[derive(Default)]
pub(super) struct KnownLine {
    line: Mutex<Option<Arc<Line>>>,
    changes: AtomicU64,
    counting: Arc<tokio::sync::Mutex<()>>,
}

impl KnownLine {
    /// Something changed that moves jobs in the line.
    pub(super) fn changed(&self) {
        self.changes.fetch_add(1, Ordering::Release);
    }

    fn get(&self) -> Option<Arc<Line>> {
        self.line.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn put(&self, line: Arc<Line>) -> Option<Arc<Line>> {
        self.line.lock().unwrap_or_else(PoisonError::into_inner).replace(line)
    }
}

impl Scheduler {
    /// The line where one of `records` stands in it.
    pub(super) async fn line_of(&self, records: &[JobRecord]) -> Result<Option<Arc<Line>>> {
        let queued = |record: &JobRecord| record.state.status() == JobStatus::Queued;
        match records.iter().any(queued) {
            true => Ok(Some(self.line().await?)),
            false => Ok(None),
        }
    }

    /// The jobs that wait, for those who look. A short line is as it stands now. A long one may be seconds old; then a new one is
    /// counted, while the old one is shown for a moment longer.
    pub(super) async fn line(&self) -> Result<Arc<Line>> {
        let now_ms = self.store().now_ms().await?;
        let known = &self.inner.line;
        let changes = known.changes.load(Ordering::Acquire);
        let good = |line: &Arc<Line>| {
            (line.changes >= changes || line.is_long()) && line.is_younger(line.shown_ms(), now_ms)
        };
        let last = known.get();
        if let Some(line) = last.clone().filter(good) {
            return Ok(line);
        }
        let shown = |line: &Arc<Line>| {
            line.is_long() && line.is_younger(line.shown_ms() + COUNTING_MS, now_ms)
        };
        if let Some(line) = last.filter(shown) {
            if let Ok(counting) = known.counting.clone().try_lock_owned() {
                let this = self.clone();
                tokio::spawn(async move {
                    if let Err(error) = this.count_line().await {
                        tracing::warn!(
                            error = &error as &dyn std::error::Error,
                            "the queue was not counted"
                        );
                    }
                    drop(counting);
                });
            }
            return Ok(line);
        }
        let _counting = known.counting.lock().await;
        // Whoever was counting may have counted what is asked for.
        match known.get().filter(good) {
            Some(line) => Ok(line),
            None => self.count_line().await,
        }
    }

    /// The same for those who give out slots: what other processes changed counts at once where the line is short, and a long one
    /// is not old.
    pub(super) async fn line_to_dispatch(&self) -> Result<Arc<Line>> {
        let now_ms = self.store().now_ms().await?;
        let fresh = |line: &Arc<Line>| line.is_long() && line.is_younger(OLD_MS, now_ms);
        let _counting = self.inner.line.counting.lock().await;
        match self.inner.line.get().filter(fresh) {
            Some(line) => Ok(line),
            None => self.count_line().await,
        }
    }

    /// Counts the line and keeps it. One at a time.
    async fn count_line(&self) -> Result<Arc<Line>> {
        let changes = self.inner.line.changes.load(Ordering::Acquire);
        let at_ms = self.store().now_ms().await?;
        // In this order: a job that is dispatched meanwhile stands in both, and not in neither.
        let queued = self.store().queued_jobs().await?;
        let busy = self.store().busy_jobs().await?;
        let free = self.free_slots(&busy).await?;
        let long = queued.len() > EXACT_MAX;
        let new = move |queue| Line::new(queue, free, changes, at_ms);
        let mut line = self.ordered(queued, &busy, new).await?;
        line.took_ms = self.store().now_ms().await? - at_ms;
        let line = Arc::new(line);
        let last = self.inner.line.put(line.clone());
        if long {
            // Giving back the memory of a long line takes a while, too.
            tokio::task::spawn_blocking(move || drop(last));
        }
        Ok(line)
    }

    /// What `make` makes of the order in which `queued` go.
    pub(super) async fn ordered<T: Send + 'static>(
        &self,
        queued: Vec<QueuedJob>,
        busy: &[JobRecord],
        make: impl FnOnce(Queue) -> T + Send + 'static,
    ) -> Result<T> {
        let long = queued.len() > EXACT_MAX;
        let (queued, tenants) = aside(long, move || {
            let tenants: BTreeSet<&TenantId> = queued.iter().map(|job| &job.tenant).collect();
            let tenants: Vec<TenantId> = tenants.into_iter().cloned().collect();
            (queued, tenants)
        })
        .await?;
        let mut allowances = BTreeMap::new();
        for tenant in tenants {
            let allowance = self.allowance(&tenant).await?;
            allowances.insert(tenant, allowance);
        }
        let mut taken: BTreeMap<TenantId, u32> = BTreeMap::new();
        for job in busy {
            *taken.entry(job.tenant.clone()).or_default() += 1;
        }
        aside(long, move || make(policy::order(queued, &taken, allowances))).await
    }
}

/// Work for a processor. Where it is `long`, the async threads go on serving meanwhile.
async fn aside<T: Send + 'static>(
    long: bool,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T> {
    if !long {
        return Ok(work());
    }
    let ended = tokio::task::spawn_blocking(work).await;
    ended.map_err(|error| SchedulerError::Internal(format!("counting the line panicked: {error}")))
}

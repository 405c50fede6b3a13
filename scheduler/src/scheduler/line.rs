//! The line of jobs that wait, in the order in which they will run: counted once and then looked up, because many ask for it.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use trainyard_openapi::extension::Resources;
use trainyard_openapi::id::{JobId, TenantId};
use trainyard_openapi::job::JobStatus;

use super::Scheduler;
use super::pools::taken;
use super::view::Waiting;
use super::waiting::WaitingRecord;
use crate::error::{Result, SchedulerError};
use crate::job::{JobRecord, JobState};
use crate::policy::forecast::{Holding, starts};
use crate::policy::share::seconds_left;
use crate::policy::{self, Queue, Standing};
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

/// So many places of a pool's line are played through for when they start; who comes after that is told nothing.
const FORECAST_MAX: usize = 10_000;

/// The jobs that wait and the devices that are free, as they stood at a moment.
pub(super) struct Line {
    pub(super) queue: Queue,
    pub(super) standings: BTreeMap<TenantId, Standing>,
    pub(super) pools: BTreeMap<String, Pool>,
    /// When that was, in Unix milliseconds.
    pub(super) at_ms: i64,
    /// Places in the queue of a pool, from 0: those that are ready, then those that are held.
    places: HashMap<JobId, usize>,
    /// The changes that it knows of.
    changes: u64,
    /// How long counting took.
    took_ms: i64,
}

/// A pool beside its line.
#[derive(Default)]
pub(super) struct Pool {
    pub(super) devices: u32,
    pub(super) free: u32,
    /// Tenants that have a job which may start as soon as devices are free.
    pub(super) tenants_ready: BTreeSet<TenantId>,
    /// Who waited when that was written down last, and the revision of it.
    pub(super) waiting: Option<(WaitingRecord, u64)>,
    /// Devices that those jobs want together.
    wanted: u64,
    /// Jobs that hold devices, for as long as is known.
    busy: Vec<Holding>,
    /// When each of the first in its line is likely to start, in seconds from then.
    starts: Vec<Option<f64>>,
}

impl Pool {
    /// Whether there are turns to take.
    pub(super) fn is_contended(&self) -> bool {
        self.wanted > u64::from(self.free)
    }
}

impl Line {
    fn new(
        queued: Vec<QueuedJob>,
        standings: BTreeMap<TenantId, Standing>,
        mut pools: BTreeMap<String, Pool>,
        at_ms: i64,
    ) -> Self {
        let queue = policy::order(queued, standings.clone());
        let mut places = HashMap::new();
        for (name, line) in &queue.pools {
            let ready = line.ready.iter().map(|job| &job.id);
            let ids = ready.chain(line.held.iter().map(|(id, _)| id));
            places.extend(ids.enumerate().map(|(place, id)| (id.clone(), place)));
            if !pools.contains_key(name) {
                pools.insert(name.clone(), Pool::default());
            }
            let Some(pool) = pools.get_mut(name) else { continue };
            for job in &line.ready {
                if !pool.tenants_ready.contains(&job.tenant) {
                    pool.tenants_ready.insert(job.tenant.clone());
                }
                pool.wanted += u64::from(job.devices);
            }
            let holding = |job: &QueuedJob| {
                let standing = standings.get(&job.tenant).filter(|one| one.job_seconds_known);
                Holding { devices: job.devices, seconds: standing.map(|one| one.job_seconds) }
            };
            let first = line.ready.iter().take(FORECAST_MAX).map(holding);
            pool.starts = starts(pool.devices, &pool.busy, first);
        }
        Self { queue, standings, pools, at_ms, places, changes: 0, took_ms: 0 }
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

    /// Where a job stands in it, why it does not run and when it likely will.
    pub(super) fn waiting(&self, record: &JobRecord) -> Waiting {
        match record.state {
            JobState::Queued { .. } => {}
            JobState::Dispatched { .. } => {
                return Waiting {
                    position: Some(1),
                    reason: Some("an executor is about to take it".to_string()),
                    starts_at: Some(self.at_ms / 1000),
                };
            }
            _ => return Waiting::default(),
        }
        self.place_of(&record.id, &record.plan.resources)
    }

    /// The same of a job that is in it.
    pub(super) fn place_of(&self, id: &JobId, resources: &Resources) -> Waiting {
        let place = self.places.get(id).copied();
        let position = place.map(|place| place as u64 + 1);
        let (line, pool) = (self.queue.pools.get(&resources.pool), self.pools.get(&resources.pool));
        let held = place.zip(line).and_then(|(place, line)| {
            line.held.get(place.checked_sub(line.ready.len())?).map(|(_, reason)| reason)
        });
        if let Some(reason) = held {
            return Waiting { position, reason: Some(reason.to_string()), starts_at: None };
        }
        let starts = place.zip(pool).and_then(|(place, pool)| *pool.starts.get(place)?);
        let starts_at = starts.map(|seconds| self.at_ms / 1000 + seconds.ceil() as i64);
        let (devices, free) = pool.map_or((0, 0), |pool| (pool.devices, pool.free));
        let name = &resources.pool;
        let reason = match free {
            _ if devices == 0 => {
                format!("pool '{name}' has no devices: no executor serves it now")
            }
            _ if resources.devices > devices => {
                format!("the job wants {} devices, pool '{name}' has {devices}", resources.devices)
            }
            0 => format!("all {devices} slots are taken"),
            free if starts == Some(0.0) => {
                format!("{free} of {devices} slots are free; it is about to be dispatched")
            }
            free => format!("{free} of {devices} slots are free; jobs before it take them"),
        };
        Waiting { position, reason: Some(reason), starts_at }
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

    /// The same where it has just changed, however long it is.
    pub(super) async fn line_recounted(&self) -> Result<Arc<Line>> {
        let _counting = self.inner.line.counting.lock().await;
        self.count_line().await
    }

    /// Counts the line and keeps it. One at a time.
    async fn count_line(&self) -> Result<Arc<Line>> {
        let changes = self.inner.line.changes.load(Ordering::Acquire);
        let at_ms = self.store().now_ms().await?;
        // In this order: a job that is dispatched meanwhile stands in both, and not in neither.
        let queued = self.store().queued_jobs().await?;
        let busy = self.store().busy_jobs().await?;
        let long = queued.len() > EXACT_MAX;
        let mut line = self.line_of_jobs(queued, &busy, at_ms).await?;
        line.changes = changes;
        line.took_ms = self.store().now_ms().await? - at_ms;
        let line = Arc::new(line);
        let last = self.inner.line.put(line.clone());
        if long {
            // Giving back the memory of a long line takes a while, too.
            tokio::task::spawn_blocking(move || drop(last));
        }
        Ok(line)
    }

    /// The line of `queued`, while `busy` hold devices.
    pub(super) async fn line_of_jobs(
        &self,
        queued: Vec<QueuedJob>,
        busy: &[JobRecord],
        at_ms: i64,
    ) -> Result<Line> {
        let long = queued.len() > EXACT_MAX;
        let holders: Vec<TenantId> = busy.iter().map(|job| job.tenant.clone()).collect();
        let (queued, tenants) = aside(long, move || {
            let waiting: BTreeSet<&TenantId> = queued.iter().map(|job| &job.tenant).collect();
            let tenants = waiting.into_iter().cloned().chain(holders).collect();
            (queued, tenants)
        })
        .await?;
        let mut pools: BTreeMap<String, Pool> = BTreeMap::new();
        for (name, devices) in self.devices().await? {
            let free = devices.saturating_sub(taken(busy, &name));
            let waiting = self.document::<WaitingRecord>(&name).await?;
            pools.insert(name, Pool { devices, free, waiting, ..Pool::default() });
        }
        let waiting =
            pools.iter().filter_map(|(name, pool)| Some((name, &pool.waiting.as_ref()?.0)));
        let standings = self.standings(tenants, busy, waiting, at_ms).await?;
        for job in busy {
            let resources = &job.plan.resources;
            let standing = standings.get(&job.tenant);
            // Who has run for longer than was expected is taken to be in the middle of it.
            let expected = standing.filter(|one| one.job_seconds_known).map(|one| one.job_seconds);
            let left = seconds_left(job, expected.unwrap_or(0.0), at_ms).or(expected);
            if let Some(pool) = pools.get_mut(&resources.pool) {
                pool.busy.push(Holding { devices: resources.devices, seconds: left });
            }
        }
        aside(long, move || Line::new(queued, standings, pools, at_ms)).await
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

//! What the scheduler counts, for Prometheus.
//!
//! Pools are the only label that others name: where executors come and go, a tenant may name any. Those that executors serve have
//! series of their own, a bounded number of them; all others count as [`OTHER_POOL`].

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use prometheus::core::Collector;
use prometheus::{
    CounterVec, Gauge, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge,
    IntGaugeVec, Opts, Registry,
};
use trainyard_openapi::job::JobStatus;

use crate::job::state::LIVE_STATES;
use crate::port::control_plane::LeaseError;
use crate::port::store::{Durability, JobCount};

/// The label of pools that no executor is known to serve, and of those beyond the first [`POOLS_MAX`].
pub const OTHER_POOL: &str = "_other";
/// Pools that have series of their own.
pub const POOLS_MAX: usize = 32;
/// Waits from a second to three days.
const WAIT_BUCKETS: [f64; 12] =
    [1.0, 5.0, 15.0, 60.0, 300.0, 900.0, 1_800.0, 3_600.0, 14_400.0, 43_200.0, 86_400.0, 259_200.0];
/// From ten seconds to a week.
const DURATION_BUCKETS: [f64; 11] = [
    10.0, 60.0, 300.0, 900.0, 1_800.0, 3_600.0, 14_400.0, 43_200.0, 86_400.0, 259_200.0, 604_800.0,
];

/// A write under a lease.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LeasedWrite {
    Heartbeat,
    Report,
    Checkpoint,
    Complete,
    Fail,
    Release,
    Reserve,
    Settle,
}

impl LeasedWrite {
    const ALL: [Self; 8] = [
        Self::Heartbeat,
        Self::Report,
        Self::Checkpoint,
        Self::Complete,
        Self::Fail,
        Self::Release,
        Self::Reserve,
        Self::Settle,
    ];

    const fn as_str(self) -> &'static str {
        match self {
            Self::Heartbeat => "heartbeat",
            Self::Report => "report",
            Self::Checkpoint => "checkpoint",
            Self::Complete => "complete",
            Self::Fail => "fail",
            Self::Release => "release",
            Self::Reserve => "reserve",
            Self::Settle => "settle",
        }
    }
}

/// Why a ticket was taken back or issued once more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Redispatch {
    /// Nobody claimed it in time.
    Unclaimed,
    /// Its pool has no executor any more: the job waits again.
    NoExecutor,
}

impl Redispatch {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Unclaimed => "unclaimed",
            Self::NoExecutor => "no_executor",
        }
    }
}

/// The metrics of a scheduler. Clones are the same ones.
#[derive(Debug, Clone)]
pub struct Metrics {
    queue_wait: HistogramVec,
    duration: HistogramVec,
    stale: IntCounter,
    fenced: IntCounterVec,
    durable: IntGauge,
    jobs: IntGaugeVec,
    outbox_entries: IntGauge,
    outbox_oldest: Gauge,
    confirms: IntCounterVec,
    redispatches: IntCounterVec,
    expirations: IntCounter,
    epsilon: CounterVec,
    gates: IntCounter,
    pools: Arc<Mutex<BTreeSet<String>>>,
    measured: Arc<AtomicBool>,
}

impl Default for Metrics {
    #[expect(
        clippy::expect_used,
        reason = "names and labels are constants, which every test makes"
    )]
    fn default() -> Self {
        let metrics = Self::new().expect("names and labels fit");
        metrics.know(OTHER_POOL);
        metrics
    }
}

impl Metrics {
    fn new() -> prometheus::Result<Self> {
        let wait = HistogramOpts::new(
            "trainyard_job_queue_wait_seconds",
            "Time from a job's creation to its first claim by an executor.",
        );
        let duration = HistogramOpts::new(
            "trainyard_job_duration_seconds",
            "Time from a job's creation to its end.",
        );
        let fenced = Opts::new(
            "trainyard_fenced_writes_total",
            "Writes of runs that were refused because their lease is another's by now.",
        );
        let jobs = Opts::new(
            "trainyard_jobs",
            "Jobs that have not ended. Every scheduler counts them all.",
        );
        let confirms = Opts::new(
            "trainyard_publish_confirms_total",
            "Tickets that were handed to the queue, by whether it took them.",
        );
        let redispatches = Opts::new(
            "trainyard_redispatch_total",
            "Tickets that nobody claimed in time: issued once more, or withdrawn for want of an executor.",
        );
        let epsilon = Opts::new(
            "trainyard_privacy_epsilon_charged_total",
            "Epsilon of differential privacy that was charged to files' budgets.",
        );
        let metrics = Self {
            queue_wait: HistogramVec::new(wait.buckets(WAIT_BUCKETS.into()), &["pool"])?,
            duration: HistogramVec::new(duration.buckets(DURATION_BUCKETS.into()), &["outcome"])?,
            stale: IntCounter::new(
                "trainyard_tickets_stale_total",
                "Claims that were refused because the ticket is not the job's newest or the job waits for none.",
            )?,
            fenced: IntCounterVec::new(fenced, &["op"])?,
            durable: IntGauge::new(
                "trainyard_store_durable",
                "Whether the record writes to disk before it answers (1) or may lose what it acknowledged (0).",
            )?,
            jobs: IntGaugeVec::new(jobs, &["state", "pool"])?,
            outbox_entries: IntGauge::new(
                "trainyard_outbox_entries",
                "Tickets that wait to be published.",
            )?,
            outbox_oldest: Gauge::new(
                "trainyard_outbox_oldest_timestamp_seconds",
                "When the oldest ticket that waits to be published was issued; 0 where none waits.",
            )?,
            confirms: IntCounterVec::new(confirms, &["result"])?,
            redispatches: IntCounterVec::new(redispatches, &["reason"])?,
            expirations: IntCounter::new(
                "trainyard_lease_expirations_total",
                "Runs that were given up because their lease ran out.",
            )?,
            epsilon: CounterVec::new(epsilon, &["pool"])?,
            gates: IntCounter::new(
                "trainyard_forgetting_gates_tripped_total",
                "Stages of jobs with a result that were rejected because they forgot more than they may.",
            )?,
            pools: Arc::default(),
            measured: Arc::default(),
        };
        for outcome in [JobStatus::Succeeded, JobStatus::Failed, JobStatus::Cancelled] {
            metrics.duration.with_label_values(&[outcome_word(outcome)]);
        }
        for op in LeasedWrite::ALL {
            metrics.fenced.with_label_values(&[op.as_str()]);
        }
        for result in ["ok", "error"] {
            metrics.confirms.with_label_values(&[result]);
        }
        for reason in [Redispatch::Unclaimed, Redispatch::NoExecutor] {
            metrics.redispatches.with_label_values(&[reason.as_str()]);
        }
        Ok(metrics)
    }

    /// Registers what happens wherever requests and executors' calls are answered.
    ///
    /// # Errors
    /// Where something of the same name is registered.
    pub fn register_calls(&self, registry: &Registry) -> prometheus::Result<()> {
        let Self { queue_wait, duration, stale, fenced, durable, epsilon, gates, .. } =
            self.clone();
        let all: [Box<dyn Collector>; 7] = [
            Box::new(queue_wait),
            Box::new(duration),
            Box::new(stale),
            Box::new(fenced),
            Box::new(durable),
            Box::new(epsilon),
            Box::new(gates),
        ];
        all.into_iter().try_for_each(|one| registry.register(one))
    }

    /// Registers what only [`Scheduler::run`](crate::Scheduler::run) knows, which looks at the record for it from then on.
    ///
    /// # Errors
    /// Where something of the same name is registered.
    pub fn register_loops(&self, registry: &Registry) -> prometheus::Result<()> {
        let Self {
            jobs, outbox_entries, outbox_oldest, confirms, redispatches, expirations, ..
        } = self.clone();
        let all: [Box<dyn Collector>; 6] = [
            Box::new(jobs),
            Box::new(outbox_entries),
            Box::new(outbox_oldest),
            Box::new(confirms),
            Box::new(redispatches),
            Box::new(expirations),
        ];
        self.measured.store(true, Ordering::Release);
        all.into_iter().try_for_each(|one| registry.register(one))
    }

    /// Whether anybody looks at what costs a look at the record.
    pub(crate) fn is_measured(&self) -> bool {
        self.measured.load(Ordering::Acquire)
    }

    /// Gives a pool that executors serve series of its own.
    pub(crate) fn know(&self, pool: &str) {
        let mut pools = self.pools.lock().unwrap_or_else(PoisonError::into_inner);
        // One more for those that have none.
        if pools.len() > POOLS_MAX || !pools.insert(pool.to_string()) {
            return;
        }
        drop(pools);
        for state in LIVE_STATES {
            self.jobs.with_label_values(&[state, pool]);
        }
        self.queue_wait.with_label_values(&[pool]);
        self.epsilon.with_label_values(&[pool]);
    }

    fn label<'a>(&self, pool: &'a str) -> &'a str {
        let pools = self.pools.lock().unwrap_or_else(PoisonError::into_inner);
        if pools.contains(pool) { pool } else { OTHER_POOL }
    }

    /// The jobs as they were counted; what is not among `counts` is none.
    pub(crate) fn set_jobs(&self, counts: &[JobCount]) {
        let mut sums: BTreeMap<(&str, &str), u64> = BTreeMap::new();
        for count in counts {
            *sums.entry((count.state, self.label(&count.pool))).or_default() += count.jobs;
        }
        let pools = self.pools.lock().unwrap_or_else(PoisonError::into_inner).clone();
        for pool in &pools {
            for state in LIVE_STATES {
                let jobs = sums.get(&(state, pool.as_str())).copied().unwrap_or(0);
                self.jobs.with_label_values(&[state, pool]).set(jobs.cast_signed());
            }
        }
    }

    pub(crate) fn set_outbox(&self, entries: usize, oldest_ms: i64) {
        self.outbox_entries.set(i64::try_from(entries).unwrap_or(i64::MAX));
        self.outbox_oldest.set(oldest_ms as f64 / 1000.0);
    }

    pub(crate) fn set_durability(&self, durability: &Durability) {
        self.durable.set(i64::from(*durability == Durability::Durable));
    }

    /// Whoever claims serves the pool.
    pub(crate) fn claimed(&self, pool: &str, waited_ms: i64) {
        self.know(pool);
        let wait = self.queue_wait.with_label_values(&[self.label(pool)]);
        wait.observe(waited_ms.max(0) as f64 / 1000.0);
    }

    pub(crate) fn ended(&self, outcome: JobStatus, took_ms: i64) {
        let duration = self.duration.with_label_values(&[outcome_word(outcome)]);
        duration.observe(took_ms.max(0) as f64 / 1000.0);
    }

    pub(crate) fn stale_ticket(&self) {
        self.stale.inc();
    }

    /// Counts a write that was fenced, and gives back how it went.
    pub(crate) fn leased<T>(
        &self,
        write: LeasedWrite,
        went: Result<T, LeaseError>,
    ) -> Result<T, LeaseError> {
        if matches!(went, Err(LeaseError::Fenced)) {
            self.fenced.with_label_values(&[write.as_str()]).inc();
        }
        went
    }

    /// Counts stages that were rejected.
    pub(crate) fn gates_tripped(&self, stages: usize) {
        self.gates.inc_by(stages as u64);
    }

    /// Adds what a file's epsilon rose by; never less than nothing.
    pub(crate) fn epsilon_charged(&self, pool: &str, growth: f64) {
        self.epsilon.with_label_values(&[self.label(pool)]).inc_by(growth);
    }

    pub(crate) fn published(&self, taken: bool) {
        self.confirms.with_label_values(&[if taken { "ok" } else { "error" }]).inc();
    }

    pub(crate) fn redispatched(&self, reason: Redispatch) {
        self.redispatches.with_label_values(&[reason.as_str()]).inc();
    }

    pub(crate) fn lease_expired(&self) {
        self.expirations.inc();
    }
}

const fn outcome_word(status: JobStatus) -> &'static str {
    match status {
        JobStatus::Succeeded => "succeeded",
        JobStatus::Cancelled => "cancelled",
        _ => "failed",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pools_that_tenants_invent_share_one_label_and_those_served_are_bounded() {
        let metrics = Metrics::default();
        metrics.know("default");
        let count = |pool: &str, jobs| JobCount { state: "queued", pool: pool.into(), jobs };
        let invented: Vec<_> = (0..500).map(|n| count(&format!("mine-{n}"), 1)).collect();
        metrics.set_jobs(&[invented, vec![count("default", 7)]].concat());
        let of = |pool: &str| metrics.jobs.with_label_values(&["queued", pool]).get();
        assert_eq!((of("default"), of(OTHER_POOL)), (7, 500));
        metrics.set_jobs(&[]);
        assert_eq!((of("default"), of(OTHER_POOL)), (0, 0));
        for number in 0..500 {
            metrics.claimed(&format!("served-{number}"), 1_000);
        }
        let series: usize = metrics.jobs.collect().iter().map(|one| one.get_metric().len()).sum();
        assert_eq!(series, (POOLS_MAX + 1) * LIVE_STATES.len());
    }

    #[test]
    fn only_a_fenced_write_counts_as_one() {
        let metrics = Metrics::default();
        let write = |went| metrics.leased(LeasedWrite::Report, went);
        assert!(write(Ok(())).is_ok());
        assert!(write(Err(LeaseError::Stale)).is_err());
        assert!(write(Err(LeaseError::Fenced)).is_err());
        assert_eq!(metrics.fenced.with_label_values(&["report"]).get(), 1);
    }
}

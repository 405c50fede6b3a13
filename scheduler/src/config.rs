//! What an operator can set of the scheduler.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::webhook::Targets;

/// Signature Version 4 allows no more than a week.
pub const LINK_SECONDS_MAX: u64 = 7 * 24 * 3600;

/// Where the scheduler knows from how many devices a pool has. A device runs one job at a time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Devices {
    /// From its configuration: devices of each pool. The executor is in this process.
    Fixed(BTreeMap<String, u32>),
    /// From the executors, which say that they are there.
    Enlisted,
}

impl Devices {
    /// One pool alone.
    pub fn of(pool: &str, devices: u32) -> Self {
        Self::Fixed(BTreeMap::from([(pool.to_string(), devices)]))
    }
}

/// Settings of a scheduler.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SchedulerConfig {
    /// How many jobs each pool can run at once.
    pub devices: Devices,
    /// How long a claim holds without a heartbeat, in seconds.
    pub lease_seconds: u64,
    /// How long after that the job is given to another, in seconds: clocks and networks are allowed this much.
    pub lease_grace_seconds: u64,
    /// After how long a ticket that nobody claimed is issued again, in seconds.
    pub redispatch_seconds: u64,
    /// Attempts that may vanish with their executor.
    pub attempts_lost_max: u32,
    /// Attempts that may give way to others.
    pub attempts_preempted_max: u32,
    /// Attempts that may fail by a fault of engine or machine.
    pub attempts_failed_max: u32,
    /// After how long what a tenant has used counts half for whose turn it is; at least a day, because usage is kept by days.
    pub fair_share_half_life: Duration,
    /// Whether running jobs make room for others.
    pub preemption: bool,
    /// For how long a run is left alone after its claim, in seconds.
    pub preemption_min_run_seconds: u64,
    /// Where webhooks may go.
    pub webhooks: Targets,
    /// How long a link to an object works, in seconds; at most [`LINK_SECONDS_MAX`].
    pub link_seconds: u64,
    /// How often the loops look without being woken.
    pub tick: Duration,
    /// The guard that is left out.
    #[cfg(feature = "mutants")]
    pub without: Option<crate::guard::Guard>,
}

impl Default for SchedulerConfig {
    fn default() -> Self {
        Self {
            devices: Devices::of("default", 1),
            lease_seconds: 60,
            lease_grace_seconds: 15,
            redispatch_seconds: 60,
            attempts_lost_max: 5,
            attempts_preempted_max: 100,
            attempts_failed_max: 2,
            fair_share_half_life: Duration::from_secs(168 * 3600),
            preemption: true,
            preemption_min_run_seconds: 600,
            webhooks: Targets::default(),
            link_seconds: 900,
            tick: Duration::from_secs(1),
            #[cfg(feature = "mutants")]
            without: None,
        }
    }
}

//! Settings of the scheduler's loops and leases.

use super::layer::settings;

settings! {
    /// When the scheduler gives a run up and how often a job is tried.
    Dispatch from DispatchLayer, "Scheduling";
    fixed {
        /// Seconds that a run may go without a heartbeat.
        lease_seconds: u64 = "60", "TRAINYARD_LEASE_SECONDS";
        /// Seconds past the lease before a job is given to another run.
        lease_grace_seconds: u64 = "15", "TRAINYARD_LEASE_GRACE_SECONDS";
        /// Seconds after which a ticket that nobody took is issued again.
        redispatch_seconds: u64 = "60", "TRAINYARD_REDISPATCH_SECONDS";
        /// Runs that may vanish before a job fails.
        attempts_lost_max: u32 = "5", "TRAINYARD_ATTEMPTS_LOST_MAX";
        /// Times that a job may be put back for another before it is left alone.
        attempts_preempted_max: u32 = "20", "TRAINYARD_ATTEMPTS_PREEMPTED_MAX";
        /// Runs that may fail for a fault of engine or machine before a job fails.
        attempts_failed_max: u32 = "3", "TRAINYARD_ATTEMPTS_FAILED_MAX";
        /// Hours after which what a tenant has used counts half for whose turn it is, from 24 on.
        fair_share_half_life_hours: u64 = "168", "TRAINYARD_FAIR_SHARE_HALF_LIFE_HOURS";
        /// Whether running jobs save a checkpoint and make room for others.
        preemption: bool = "true", "TRAINYARD_PREEMPTION";
        /// Seconds after its claim for which a run is not asked to make room.
        preemption_min_run_seconds: u64 = "600", "TRAINYARD_PREEMPTION_MIN_RUN_SECONDS";
        /// Milliseconds between two looks at the record when nothing wakes the scheduler.
        tick_milliseconds: u64 = "1000", "TRAINYARD_TICK_MILLISECONDS";
    }
    derived {}
}

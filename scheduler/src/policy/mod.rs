//! Who goes next, who makes room and when the others start: pure functions of the jobs, the devices and what tenants have used.
//!
//! - [`share`]: what a tenant has used, decayed, over its weight, with an entry penalty for what it holds.
//! - [`lead`]: how far ahead or behind a tenant may be when it joins those who wait.
//! - [`order`]: the line of each pool.
//! - [`preempt`]: whose run saves a checkpoint and makes room.
//! - [`forecast`]: when those in the line are likely to start.

pub mod forecast;
pub mod lead;
pub mod order;
#[cfg(test)]
mod ping_pong;
pub mod preempt;
pub mod share;
#[cfg(test)]
mod simulation;

use std::collections::BTreeMap;

pub use order::{PoolQueue, Queue, order};

/// What a tenant may start.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Allowance {
    /// Jobs that may run or be about to, at once.
    pub running_max: Option<u32>,
    /// Why none is started at all.
    pub held: Option<String>,
}

impl Allowance {
    /// Why no further job is started while `running` run.
    pub(crate) fn reason(&self, running: u32) -> Option<String> {
        let full = self.running_max.filter(|most| running >= *most);
        let text = |most| {
            format!(
                "the tenant's quota 'running_jobs' allows {most} at once; it waits for its own jobs before it"
            )
        };
        self.held.clone().or_else(|| full.map(text))
    }
}

/// How a tenant stands beside the others.
#[derive(Debug, Clone, PartialEq)]
pub struct Standing {
    /// Decayed accelerator-seconds over its weight, with the entry penalty of the jobs that hold devices.
    pub share: f64,
    /// What is added to that in a pool, in the same unit: see [`lead`].
    pub offsets: BTreeMap<String, f64>,
    /// Its part beside the others', from 1.
    pub weight: u32,
    /// How long a job of it is expected to run, in seconds.
    pub job_seconds: f64,
    /// Whether that is known from jobs that ended, and not only assumed.
    pub job_seconds_known: bool,
    /// Its jobs that hold devices.
    pub running: u32,
    /// What it may start.
    pub allowance: Allowance,
}

impl Default for Standing {
    fn default() -> Self {
        Self {
            share: 0.0,
            offsets: BTreeMap::new(),
            weight: 1,
            job_seconds: share::ASSUMED_JOB_SECONDS,
            job_seconds_known: false,
            running: 0,
            allowance: Allowance::default(),
        }
    }
}

impl Standing {
    /// What a job on `devices` adds to the share while it is expected to run for `seconds`: the entry penalty. It is settled by
    /// what the run is charged: the penalty of a running job is of the seconds that are left.
    pub fn penalty(&self, devices: u32, seconds: f64) -> f64 {
        f64::from(devices) * seconds / f64::from(self.weight.max(1))
    }

    /// Its place in a pool.
    pub fn share_in(&self, pool: &str) -> f64 {
        self.share + self.offsets.get(pool).copied().unwrap_or(0.0)
    }
}

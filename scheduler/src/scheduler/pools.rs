//! Pools of executors and what of them no job takes.

use std::collections::BTreeMap;

use super::Scheduler;
use crate::error::Result;
use crate::job::JobRecord;

impl Scheduler {
    /// Devices of each pool, those that jobs hold among them.
    #[expect(clippy::unused_async, reason = "executors that register are read from the record")]
    pub(super) async fn devices(&self) -> Result<BTreeMap<String, u32>> {
        let config = self.config();
        Ok(BTreeMap::from([(config.pool.clone(), config.slots)]))
    }
}

/// Devices that jobs of `pool` hold or are about to.
pub(super) fn taken(busy: &[JobRecord], pool: &str) -> u32 {
    let there = busy.iter().map(|job| &job.plan.resources).filter(|one| one.pool == pool);
    there.fold(0, |taken, resources| taken.saturating_add(resources.devices))
}

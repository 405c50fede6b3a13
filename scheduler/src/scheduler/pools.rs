//! Pools of executors and what of them no job takes.

use super::Scheduler;
use crate::job::JobRecord;

impl Scheduler {
    /// Slots that no job takes.
    pub(super) fn free_slots(&self, busy: &[JobRecord]) -> u32 {
        self.config().slots.saturating_sub(u32::try_from(busy.len()).unwrap_or(u32::MAX))
    }
}

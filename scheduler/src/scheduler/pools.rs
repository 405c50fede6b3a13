//! Pools of executors: who is there, and what of them no job takes.

use std::collections::BTreeMap;

use trainyard_openapi::id::ExecutorId;

use super::documents::{self, Altered};
use super::{CONFLICTS_MAX, Scheduler};
use crate::config::Devices;
use crate::error::Result;
use crate::executor::{ExecutorRecord, REMEMBERED_MS, fault_of};
use crate::job::JobRecord;
use crate::port::control_plane::{LeaseError, Presence};
use crate::port::document::Change;
use crate::port::store::StoreError;

impl Scheduler {
    /// Devices of each pool that has any, each of which runs one job at a time.
    pub(super) async fn devices(&self) -> Result<BTreeMap<String, u32>> {
        if let Devices::Fixed(devices) = &self.config().devices {
            return Ok(devices.clone());
        }
        let now_ms = self.store().now_ms().await?;
        let mut devices: BTreeMap<String, u32> = BTreeMap::new();
        for executor in self.all_documents::<ExecutorRecord>("").await? {
            if executor.is_living(now_ms) {
                let all = devices.entry(executor.pool).or_default();
                *all = all.saturating_add(executor.devices);
            }
        }
        Ok(devices)
    }

    /// Writes down that an executor is there, or that it is about to end.
    pub(super) async fn take_presence(
        &self,
        executor: &ExecutorId,
        presence: &Presence,
    ) -> Result<(), LeaseError> {
        if let Some(fault) = fault_of(presence) {
            return Err(LeaseError::Refused(fault));
        }
        if matches!(self.config().devices, Devices::Fixed(_)) {
            // Nobody would read it, and an idle server writes nothing.
            return Ok(());
        }
        for _ in 0..CONFLICTS_MAX {
            let seen = self.alter::<ExecutorRecord>(executor.as_str(), |record, now_ms| {
                record.see(presence, now_ms);
                Ok(Altered::Quietly)
            });
            if let Some(record) = seen.await? {
                if record.draining {
                    tracing::info!(%executor, pool = presence.pool, "an executor ends");
                }
                return Ok(());
            }
            let now_ms = self.store().now_ms().await?;
            let record = ExecutorRecord::new(executor.clone(), presence, now_ms);
            let change = Change::none().put(&record, 1).map_err(documents::json)?;
            match self.store().apply(&change).await {
                // The same call, which is being repeated.
                Err(StoreError::Conflict) => {}
                Err(error) => return Err(error.into()),
                Ok(()) => {
                    let Presence { pool, devices, draining } = presence;
                    tracing::info!(%executor, pool, devices, draining, "a new executor");
                    // There is room now that was not there.
                    self.inner.line.changed();
                    self.inner.work.notify_waiters();
                    return Ok(());
                }
            }
        }
        Err(LeaseError::Unavailable(format!("executor {executor} changes too fast")))
    }

    /// Forgets executors that were silent for long.
    pub(super) async fn sweep_executors(&self, now_ms: i64) -> Result<()> {
        for executor in self.all_documents::<ExecutorRecord>("").await? {
            if executor.seen_ms + REMEMBERED_MS <= now_ms {
                self.forget(&executor).await?;
            }
        }
        Ok(())
    }
}

/// Devices that jobs of `pool` hold or are about to.
pub(super) fn taken(busy: &[JobRecord], pool: &str) -> u32 {
    let there = busy.iter().map(|job| &job.plan.resources).filter(|one| one.pool == pool);
    there.fold(0, |taken, resources| taken.saturating_add(resources.devices))
}

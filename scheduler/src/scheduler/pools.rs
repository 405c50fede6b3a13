//! Pools of executors: who is there, and what of them no job takes.

use std::collections::{BTreeMap, BTreeSet};

use trainyard_openapi::id::ExecutorId;

use super::documents::{self, Altered};
use super::submit::DEFAULT_POOL;
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

    /// The pools that a job may name: those of the configuration, or those whose executors were there within a day, who may come back.
    pub(super) async fn pools(&self) -> Result<BTreeSet<String>> {
        if let Devices::Fixed(devices) = &self.config().devices {
            return Ok(devices.keys().cloned().collect());
        }
        let executors = self.all_documents::<ExecutorRecord>("").await?;
        let mut pools: BTreeSet<String> = executors.into_iter().map(|one| one.pool).collect();
        pools.insert(DEFAULT_POOL.to_string());
        Ok(pools)
    }

    /// Devices of all pools.
    pub(super) async fn slots(&self) -> Result<u32> {
        Ok(self.devices().await?.values().fold(0, |all, some| all.saturating_add(*some)))
    }

    /// Slots that no job takes.
    pub(super) async fn free_slots(&self, busy: &[JobRecord]) -> Result<u32> {
        let busy = u32::try_from(busy.len()).unwrap_or(u32::MAX);
        Ok(self.slots().await?.saturating_sub(busy))
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

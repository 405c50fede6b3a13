//! Who waits for which pool, as it is kept: what a tenant's share is taken to be is decided once, when it begins to wait.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use trainyard_openapi::id::TenantId;

use super::Scheduler;
use super::documents::json;
use super::line::Line;
use crate::error::Result;
use crate::policy::share::decay;
use crate::policy::{Standing, lead};
use crate::port::document::{Change, Document, Kind};
use crate::port::store::StoreError;

/// The tenants that wait for a pool while it has too few devices for all.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct WaitingRecord {
    /// The pool.
    pool: String,
    /// What is added to the share of each, as of `at_ms`: it decays like the share.
    offsets: BTreeMap<TenantId, f64>,
    /// When that was written down, in Unix milliseconds.
    at_ms: i64,
}

impl Document for WaitingRecord {
    const KIND: Kind = Kind::Waiting;

    fn id(&self) -> String {
        self.pool.clone()
    }

    /// All pools are in one list.
    fn scope(&self) -> String {
        String::new()
    }
}

impl WaitingRecord {
    /// What is added to each tenant's share at `now_ms`.
    pub(super) fn offsets_at(
        &self,
        now_ms: i64,
        half_life: Duration,
    ) -> impl Iterator<Item = (&TenantId, f64)> {
        let left = decay(now_ms - self.at_ms, half_life);
        self.offsets.iter().map(move |(tenant, offset)| (tenant, offset * left))
    }
}

impl Scheduler {
    /// Writes down who began to wait and who waits no more; whether that changed whose turn it is. Where no pool has more to do than
    /// devices, nothing is written: then there are no turns. Any process may do it: who comes second finds it done.
    pub(super) async fn note_waiting(&self, line: &Line) -> Result<bool> {
        let mut changed = false;
        for (pool, state) in line.pools.iter().filter(|(_, state)| state.devices > 0) {
            let (before, rev) = match &state.waiting {
                Some((record, rev)) => (Some(record), *rev),
                None => (None, 0),
            };
            let waits = state.tenants_ready.iter().filter(|_| state.is_contended());
            let standings = waits.map(|tenant| (tenant, line.standings.get(tenant)));
            let shares: BTreeMap<TenantId, f64> = standings
                .clone()
                .map(|(tenant, standing)| (tenant.clone(), standing.map_or(0.0, |one| one.share)))
                .collect();
            let known = before.map(|record| &record.offsets);
            let same = known.map_or(shares.is_empty(), |known| known.keys().eq(shares.keys()));
            if same {
                continue;
            }
            let change = if shares.is_empty() {
                before.map_or_else(Change::none, |record| Change::none().delete(record, rev))
            } else {
                let weight = |standing: Option<&Standing>| standing.map_or(1, |one| one.weight);
                let weights =
                    standings.fold(0, |sum: u32, (_, one)| sum.saturating_add(weight(one)));
                let half_life = self.config().fair_share_half_life;
                let before =
                    before.into_iter().flat_map(|record| record.offsets_at(line.at_ms, half_life));
                let before = before.map(|(tenant, offset)| (tenant.clone(), offset)).collect();
                let spread = lead::spread(state.devices, weights);
                let offsets = lead::join(&before, &shares, spread);
                let record = WaitingRecord { pool: pool.clone(), offsets, at_ms: line.at_ms };
                Change::none().put(&record, rev + 1).map_err(json)?
            };
            match self.store().apply(&change).await {
                Ok(()) | Err(StoreError::Conflict) => changed = true,
                Err(error) => return Err(error.into()),
            }
        }
        if changed {
            self.inner.line.changed();
        }
        Ok(changed)
    }
}

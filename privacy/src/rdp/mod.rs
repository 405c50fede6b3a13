//! The accountant by Rényi orders: cheap, sound for any mix of phases, and a little loose.
//!
//! It answers in microseconds once a mechanism is known, so the running job and the ledger ask it first; `prv` is for what it would
//! refuse and for reports.

mod moment;
mod order;

use std::collections::HashMap;
use std::sync::Arc;

pub use order::Orders;

use crate::error::PrivacyError;
use crate::phase::{Budget, Phase, checked_delta, merge};

/// Epsilon at a delta, and the order that gave it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RdpEpsilon {
    /// The bound; never below 0.
    pub epsilon: f64,
    /// The order at which the bound is smallest.
    pub order: f64,
    /// Whether that is the first or last order: more orders would give a smaller bound. It is sound all the same.
    pub at_edge: bool,
}

/// Computes epsilon for phases and keeps the cost of a step of each mechanism it has met.
#[derive(Debug, Clone)]
pub struct RdpAccountant {
    orders: Orders,
    known: HashMap<(u64, u64), Arc<[f64]>>,
}

impl Default for RdpAccountant {
    fn default() -> Self {
        Self::new(Orders::extended())
    }
}

impl RdpAccountant {
    /// Mechanisms whose cost is kept: more than the phases of any ledger, little memory.
    const KNOWN: usize = 1024;

    /// An accountant that looks at these orders.
    #[must_use]
    pub fn new(orders: Orders) -> Self {
        Self { orders, known: HashMap::new() }
    }

    /// The orders it looks at.
    #[must_use]
    pub fn orders(&self) -> &Orders {
        &self.orders
    }

    /// Rényi divergence of one step at each order (nats), in the order of [`RdpAccountant::orders`]. Infinite where it cannot
    /// be computed, which is sound.
    pub fn per_step(&mut self, phase: &Phase) -> Arc<[f64]> {
        if let Some(known) = self.known.get(&phase.key()) {
            return Arc::clone(known);
        }
        if self.known.len() >= Self::KNOWN {
            self.known.clear();
        }
        let (rate, noise) = (phase.sampling_rate(), phase.noise_multiplier());
        let costs: Arc<[f64]> =
            self.orders.iter().map(|order| moment::rdp(rate, noise, order)).collect();
        self.known.insert(phase.key(), Arc::clone(&costs));
        costs
    }

    /// Rényi divergence of all phases together at each order (nats).
    pub fn total(&mut self, phases: &[Phase]) -> Vec<f64> {
        let mut total = vec![0.0; self.orders.iter().count()];
        for phase in merge(phases) {
            let costs = self.per_step(&phase);
            for (sum, cost) in total.iter_mut().zip(costs.iter()) {
                *sum += cost * phase.steps() as f64;
            }
        }
        total
    }

    /// The smallest epsilon over the orders. Nothing spent gives 0.
    ///
    /// # Errors
    /// `delta` is out of range.
    pub fn epsilon(&mut self, phases: &[Phase], delta: f64) -> Result<RdpEpsilon, PrivacyError> {
        let delta = checked_delta(delta)?;
        let total = self.total(phases);
        Ok(self.orders.convert(&total, delta))
    }

    /// How many more steps of the mechanism of `next` fit into the budget after `spent`; its own number of steps is not looked
    /// at. Never more than [`Phase::MAX_STEPS`].
    pub fn steps_within(&mut self, spent: &[Phase], next: &Phase, budget: &Budget) -> u64 {
        let before = self.total(spent);
        let costs = self.per_step(next);
        let room = self.orders.iter().zip(before.iter().zip(costs.iter())).map(
            |(order, (before, cost))| {
                let left = budget.epsilon() - order::to_epsilon(order, *before, budget.delta());
                if cost.is_finite() { (left / cost).floor() } else { 0.0 }
            },
        );
        let most = room.fold(0.0, f64::max).min(Phase::MAX_STEPS as f64) as u64;
        // The division may round up over the edge; the budget is held by the sum itself.
        let fits = |steps: u64| {
            self.orders.iter().zip(before.iter().zip(costs.iter())).any(
                |(order, (before, cost))| {
                    let total = before + cost * steps as f64;
                    order::to_epsilon(order, total, budget.delta()) <= budget.epsilon()
                },
            )
        };
        (most.saturating_sub(2)..=most).rev().find(|steps| fits(*steps)).unwrap_or(0)
    }
}

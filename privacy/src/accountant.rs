//! Which bound holds a budget.

use serde::{Deserialize, Serialize};

use crate::error::PrivacyError;
use crate::phase::{Budget, Phase};
use crate::prv::PrvAccountant;
use crate::rdp::RdpAccountant;

/// How epsilon is bounded. Both are sound; a budget must be held by the one that its noise was chosen with.
///
/// Rényi orders also bound runs whose settings were chosen after seeing what earlier runs released (Lécuyer, "Practical Privacy
/// Filters and Odometers with Rényi Differential Privacy", 2021). Numerical composition is proven for settings that do not depend on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Accounting {
    /// Rényi orders alone.
    Rdp,
    /// The smaller of Rényi orders and the upper bound by numerical composition.
    #[default]
    Prv,
}

/// Bounds epsilon in either way, and keeps what it computed of each mechanism.
#[derive(Debug, Clone)]
pub struct Accountant {
    /// The bound by Rényi orders.
    pub rdp: RdpAccountant,
    /// The bound by numerical composition.
    pub prv: PrvAccountant,
    rough: PrvAccountant,
}

impl Default for Accountant {
    fn default() -> Self {
        let (rdp, prv) = (RdpAccountant::default(), PrvAccountant::default());
        Self { rdp, prv, rough: PrvAccountant::rough() }
    }
}

impl Accountant {
    /// An upper bound on epsilon of all phases at `delta`.
    ///
    /// # Errors
    /// `delta` is out of range.
    pub fn epsilon(
        &mut self,
        accounting: Accounting,
        phases: &[Phase],
        delta: f64,
    ) -> Result<f64, PrivacyError> {
        let rdp = self.rdp.epsilon(phases, delta)?.epsilon;
        match accounting {
            Accounting::Rdp => Ok(rdp),
            Accounting::Prv => match self.prv.epsilon(phases, delta) {
                Ok(prv) => Ok(rdp.min(prv.upper)),
                Err(PrivacyError::Precision(_)) => Ok(rdp),
                Err(error) => Err(error),
            },
        }
    }

    /// Whether all phases stay within the budget. The costly bound is asked only where cheaper ones do not say yes or no.
    ///
    /// # Errors
    /// None for a valid budget.
    pub fn fits(
        &mut self,
        accounting: Accounting,
        phases: &[Phase],
        budget: &Budget,
    ) -> Result<bool, PrivacyError> {
        let rdp = self.epsilon(Accounting::Rdp, phases, budget.delta())?;
        if rdp <= budget.epsilon() || accounting == Accounting::Rdp {
            return Ok(rdp <= budget.epsilon());
        }
        // A grid with a tenth of the points takes a tenth of the time, and its bounds hold as well.
        let rough = self.rough.epsilon(phases, budget.delta());
        if let Ok(rough) = rough {
            if rough.upper <= budget.epsilon() {
                return Ok(true);
            }
            if rough.lower > budget.epsilon() {
                return Ok(false);
            }
        }
        Ok(self.epsilon(accounting, phases, budget.delta())? <= budget.epsilon())
    }

    /// How many steps of the mechanism of `next` fit into the budget after `spent`; its own number of steps is not looked at.
    ///
    /// # Errors
    /// None for a valid budget.
    pub fn steps_within(
        &mut self,
        accounting: Accounting,
        spent: &[Phase],
        next: &Phase,
        budget: &Budget,
    ) -> Result<u64, PrivacyError> {
        let mut low = self.rdp.steps_within(spent, next, budget);
        if accounting == Accounting::Rdp {
            return Ok(low);
        }
        let mut fits = |steps: u64| {
            let mut phases = spent.to_vec();
            phases.push(next.with_steps(steps));
            self.fits(accounting, &phases, budget)
        };
        // Composition is tighter by a factor that is never large: look upward in growing strides, then halve.
        let mut stride = (low / 16).max(1);
        let mut high = loop {
            let tried = low.saturating_add(stride).min(Phase::MAX_STEPS);
            if tried == low {
                return Ok(low);
            }
            if !fits(tried)? {
                break tried;
            }
            (low, stride) = (tried, stride.saturating_mul(2));
        };
        // A part in a thousand is what a forecast needs; the bound itself is checked at every reservation.
        while high - low > (low / 1000).max(1) {
            let middle = low + (high - low) / 2;
            if fits(middle)? { low = middle } else { high = middle }
        }
        Ok(low)
    }
}

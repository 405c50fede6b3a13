//! What is accounted: runs of equal steps of one mechanism, and the budget they are held against.

use serde::{Deserialize, Serialize};

use crate::error::{PrivacyError, in_range};

/// How a step makes its release private.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mechanism {
    /// Each unit takes part on its own with the sampling rate as probability; Gaussian noise on the sum of what they give.
    SampledGaussian,
    /// Every unit takes part in every step: the sampling rate is 1.
    Gaussian,
}

/// Equal steps in a row. Every way to make one checks the ranges, reading it from JSON too.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Fields")]
pub struct Phase {
    mechanism: Mechanism,
    noise_multiplier: f64,
    sampling_rate: f64,
    steps: u64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Fields {
    mechanism: Mechanism,
    noise_multiplier: f64,
    sampling_rate: f64,
    steps: u64,
}

impl TryFrom<Fields> for Phase {
    type Error = PrivacyError;

    fn try_from(fields: Fields) -> Result<Self, PrivacyError> {
        let phase = Self::new(fields.noise_multiplier, fields.sampling_rate, fields.steps)?;
        in_range(
            "sampling_rate",
            "1 for the mechanism gaussian and below 1 for sampled_gaussian",
            fields.sampling_rate,
            phase.mechanism == fields.mechanism,
        )?;
        Ok(phase)
    }
}

impl Phase {
    /// The smallest and the largest noise multiplier.
    pub const NOISE_MULTIPLIER: (f64, f64) = (0.01, 1e6);
    /// The most steps of one phase: what keeps sums of steps exact as `f64`.
    pub const MAX_STEPS: u64 = 1_000_000_000;

    /// `steps` steps with noise of standard deviation `noise_multiplier` times the sensitivity, each unit drawn with
    /// probability `sampling_rate`.
    ///
    /// # Errors
    /// The noise multiplier lies outside [`Phase::NOISE_MULTIPLIER`], the rate outside (0, 1], or there are too many steps.
    pub fn new(
        noise_multiplier: f64,
        sampling_rate: f64,
        steps: u64,
    ) -> Result<Self, PrivacyError> {
        let (low, high) = Self::NOISE_MULTIPLIER;
        in_range(
            "noise_multiplier",
            "between 0.01 and 1000000",
            noise_multiplier,
            (low..=high).contains(&noise_multiplier),
        )?;
        in_range(
            "sampling_rate",
            "above 1e-9 and at most 1",
            sampling_rate,
            sampling_rate > 1e-9 && sampling_rate <= 1.0,
        )?;
        in_range("steps", "at most 1000000000", steps as f64, steps <= Self::MAX_STEPS)?;
        let mechanism =
            if sampling_rate < 1.0 { Mechanism::SampledGaussian } else { Mechanism::Gaussian };
        Ok(Self { mechanism, noise_multiplier, sampling_rate, steps })
    }

    /// The same mechanism for another number of steps. A sum over jobs may pass [`Phase::MAX_STEPS`].
    #[must_use]
    pub fn with_steps(self, steps: u64) -> Self {
        Self { steps, ..self }
    }

    /// How a step is made private.
    #[must_use]
    pub fn mechanism(&self) -> Mechanism {
        self.mechanism
    }

    /// Standard deviation of the noise over the sensitivity of the sum.
    #[must_use]
    pub fn noise_multiplier(&self) -> f64 {
        self.noise_multiplier
    }

    /// The probability with which a unit takes part in a step.
    #[must_use]
    pub fn sampling_rate(&self) -> f64 {
        self.sampling_rate
    }

    /// How many steps.
    #[must_use]
    pub fn steps(&self) -> u64 {
        self.steps
    }

    /// What tells mechanisms apart: two phases with the same key cost the same per step.
    pub(crate) fn key(&self) -> (u64, u64) {
        (self.noise_multiplier.to_bits(), self.sampling_rate.to_bits())
    }
}

/// The same phases with equal mechanisms added up and those without steps left out, in the order of first appearance.
/// The order of steps does not matter to any bound here.
#[must_use]
pub fn merge(phases: &[Phase]) -> Vec<Phase> {
    let mut merged: Vec<Phase> = Vec::new();
    let mut place = std::collections::HashMap::new();
    for phase in phases.iter().filter(|phase| phase.steps > 0) {
        let at = *place.entry(phase.key()).or_insert(merged.len());
        match merged.get_mut(at) {
            // A sum may pass the limit of one phase: it must never be cut, which would hide what was spent.
            Some(before) => before.steps = before.steps.saturating_add(phase.steps),
            None => merged.push(*phase),
        }
    }
    merged
}

/// The probability by which the guarantee may fail.
///
/// # Errors
/// Outside 1e-15 to 0.1.
pub fn checked_delta(delta: f64) -> Result<f64, PrivacyError> {
    in_range("delta", "between 1e-15 and 0.1", delta, (1e-15..=0.1).contains(&delta))
}

/// An (epsilon, delta) guarantee that must hold for everything spent.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "BudgetFields")]
pub struct Budget {
    epsilon: f64,
    delta: f64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct BudgetFields {
    epsilon: f64,
    delta: f64,
}

impl TryFrom<BudgetFields> for Budget {
    type Error = PrivacyError;

    fn try_from(fields: BudgetFields) -> Result<Self, PrivacyError> {
        Self::new(fields.epsilon, fields.delta)
    }
}

impl Budget {
    /// A budget.
    ///
    /// # Errors
    /// Epsilon is outside 0.001 to 1000, or delta outside 1e-15 to 0.1.
    pub fn new(epsilon: f64, delta: f64) -> Result<Self, PrivacyError> {
        let within = (0.001..=1000.0).contains(&epsilon);
        in_range("epsilon", "between 0.001 and 1000", epsilon, within)?;
        Ok(Self { epsilon, delta: checked_delta(delta)? })
    }

    /// The bound on the privacy loss.
    #[must_use]
    pub fn epsilon(&self) -> f64 {
        self.epsilon
    }

    /// The probability by which the bound may fail.
    #[must_use]
    pub fn delta(&self) -> f64 {
        self.delta
    }
}

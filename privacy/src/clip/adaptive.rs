//! A clipping limit that follows a quantile of the norms, under the same guarantee. Andrew et al., "Differentially Private Learning
//! with Adaptive Clipping", 2021.
//!
//! Each step also releases, with noise, how many units stayed below the limit. Each unit counts as 1/2 or -1/2 there, so that it moves
//! the count by no more than 1/2, and the count is divided by the expected batch: the drawn number is private.

use serde::{Deserialize, Serialize};

use crate::error::{PrivacyError, in_range};

/// The settings of adaptive clipping.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Adaptive {
    /// The limit of the first step.
    pub initial_norm: f64,
    /// The part of units whose gradients should stay below the limit.
    #[serde(default = "default_quantile")]
    pub quantile: f64,
    /// How fast the limit follows: the exponent's factor.
    #[serde(default = "default_rate")]
    pub learning_rate: f64,
    /// Standard deviation of the noise on the count of units below the limit.
    pub count_noise: f64,
    /// The limit never falls below this.
    #[serde(default = "default_min")]
    pub min_norm: f64,
    /// The limit never rises above this.
    #[serde(default = "default_max")]
    pub max_norm: f64,
}

fn default_quantile() -> f64 {
    0.5
}

fn default_rate() -> f64 {
    0.2
}

fn default_min() -> f64 {
    1e-4
}

fn default_max() -> f64 {
    1e4
}

/// The limit in force; part of a checkpoint. It comes from noised counts only and may be shown.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClipState {
    /// The largest norm of a unit's gradient, and so the sensitivity of the sum.
    pub norm: f64,
}

impl Adaptive {
    /// Checks every number.
    ///
    /// # Errors
    /// The first field outside its range.
    pub fn check(&self) -> Result<(), PrivacyError> {
        let norm = |field, value: f64| {
            in_range(field, "between 1e-9 and 1e9", value, (1e-9..=1e9).contains(&value))
        };
        norm("min_norm", self.min_norm)?;
        norm("max_norm", self.max_norm)?;
        let within = self.max_norm > self.min_norm;
        in_range("max_norm", "above min_norm", self.max_norm, within)?;
        let within = (self.min_norm..=self.max_norm).contains(&self.initial_norm);
        in_range("initial_norm", "between min_norm and max_norm", self.initial_norm, within)?;
        let within = self.quantile > 0.0 && self.quantile < 1.0;
        in_range("quantile", "above 0 and below 1", self.quantile, within)?;
        let within = self.learning_rate > 0.0 && self.learning_rate <= 10.0;
        in_range("learning_rate", "above 0 and at most 10", self.learning_rate, within)?;
        let within = (0.01..=1e9).contains(&self.count_noise);
        in_range("count_noise", "between 0.01 and 1e9", self.count_noise, within)?;
        Ok(())
    }

    /// The limit of the first step.
    #[must_use]
    pub fn start(&self) -> ClipState {
        ClipState { norm: self.initial_norm }
    }

    /// The noise multiplier for the gradients, so that they and the count together cost what `noise_multiplier` alone would: that one is
    /// accounted. 1 / accounted^2 = 1 / gradients^2 + 1 / (2 count noise)^2.
    ///
    /// # Errors
    /// The count's noise is not above half the accounted multiplier: it alone would cost more.
    pub fn gradient_noise_multiplier(&self, noise_multiplier: f64) -> Result<f64, PrivacyError> {
        let left = noise_multiplier.powi(-2) - (2.0 * self.count_noise).powi(-2);
        let within = left > 0.0 && noise_multiplier > 0.0;
        let limit = "above half the noise multiplier";
        in_range("count_noise", limit, self.count_noise, within)?;
        Ok(left.powf(-0.5))
    }

    /// The limit of the next step: `below` of the `drawn` units had a norm of at most the limit, and `noise` is a draw with standard
    /// deviation `count_noise`.
    ///
    /// `expected_batch` is the sampling rate times the number of units.
    #[must_use]
    pub fn next(
        &self,
        state: ClipState,
        below: usize,
        drawn: usize,
        expected_batch: f64,
        noise: f64,
    ) -> ClipState {
        let count = below as f64 - drawn as f64 / 2.0 + noise;
        let part = 0.5 + count / expected_batch;
        let norm = state.norm * (-self.learning_rate * (part - self.quantile)).exp();
        ClipState { norm: norm.clamp(self.min_norm, self.max_norm) }
    }
}

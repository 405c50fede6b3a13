//! Whom the guarantee protects: one example, or one user with all that they gave.

use serde::{Deserialize, Serialize};

use crate::error::{PrivacyError, in_range};
use crate::phase::{Budget, checked_delta};

/// What neighbouring data sets differ by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case", deny_unknown_fields)]
pub enum PrivacyUnit {
    /// One line of the training file. Protects a person only as far as they gave a single line; see [`Population::group`].
    #[default]
    Example,
    /// All lines of one user, who is drawn as a whole. The gradient of a user is the mean over at most `examples_per_user` of their
    /// lines, clipped once.
    User {
        /// The most lines of a user that take part in a step; the rest of theirs is left out and counted.
        examples_per_user: u32,
    },
}

impl PrivacyUnit {
    /// Its name on the wire.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Example => "example",
            Self::User { .. } => "user",
        }
    }
}

/// The units of a data set. Their number is taken as public, as the rate and the default delta tell it anyway.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Fields")]
pub struct Population {
    unit: PrivacyUnit,
    units: u64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Fields {
    unit: PrivacyUnit,
    units: u64,
}

impl TryFrom<Fields> for Population {
    type Error = PrivacyError;

    fn try_from(fields: Fields) -> Result<Self, PrivacyError> {
        Self::new(fields.unit, fields.units)
    }
}

impl Population {
    /// `units` examples or users.
    ///
    /// # Errors
    /// Fewer than 10 units, more than 1e12, or a user who may give no example or more than 1,000,000.
    pub fn new(unit: PrivacyUnit, units: u64) -> Result<Self, PrivacyError> {
        let within = (10..=1_000_000_000_000).contains(&units);
        in_range("units", "between 10 and 1000000000000", units as f64, within)?;
        if let PrivacyUnit::User { examples_per_user } = unit {
            let within = (1..=1_000_000).contains(&examples_per_user);
            let value = f64::from(examples_per_user);
            in_range("examples_per_user", "between 1 and 1000000", value, within)?;
        }
        Ok(Self { unit, units })
    }

    /// What one unit is.
    #[must_use]
    pub fn unit(&self) -> PrivacyUnit {
        self.unit
    }

    /// How many there are.
    #[must_use]
    pub fn units(&self) -> u64 {
        self.units
    }

    /// The sampling rate that draws `expected_batch` units on average. The sum of a step is divided by that number, never by how many
    /// were drawn, which is private.
    ///
    /// # Errors
    /// A batch that is not above 0 or has more than all units.
    pub fn sampling_rate(&self, expected_batch: f64) -> Result<f64, PrivacyError> {
        let within = expected_batch > 0.0 && expected_batch <= self.units as f64;
        in_range("batch_size", "above 0 and at most the number of units", expected_batch, within)?;
        Ok(expected_batch / self.units as f64)
    }

    /// The delta of a request that names none: 1 / units^1.1, a little below the chance to publish one unit picked at random.
    #[must_use]
    pub fn default_delta(&self) -> f64 {
        (self.units as f64).powf(-1.1).clamp(1e-15, 0.1)
    }

    /// Refuses a delta above 1 / units: a mechanism that publishes one unit whole would meet it.
    ///
    /// # Errors
    /// Above 1 / units, or out of range.
    pub fn check_delta(&self, delta: f64) -> Result<f64, PrivacyError> {
        let within = checked_delta(delta)? <= 1.0 / self.units as f64;
        in_range("delta", "at most 1 divided by the number of units", delta, within)
    }

    /// What a guarantee for one unit says about `size` units together: epsilon times the size, delta times (e^(size epsilon) - 1) /
    /// (e^epsilon - 1). `None` where that delta is 1 or more and so says nothing.
    #[must_use]
    pub fn group(guarantee: &Budget, size: u32) -> Option<(f64, f64)> {
        let (epsilon, size) = (guarantee.epsilon(), f64::from(size));
        let delta = guarantee.delta() * (size * epsilon).exp_m1() / epsilon.exp_m1();
        (size >= 1.0 && delta < 1.0).then_some((size * epsilon, delta))
    }
}

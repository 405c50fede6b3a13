//! The exponential moving average of a stream of adapters.

use serde::{Deserialize, Serialize};

use crate::error::{ContinualError, within};

/// `mean <- decay * mean + (1 - decay) * theta`, begun at the first theta. It forgets with age, where the average of Polyak and Juditsky
/// ("Acceleration of Stochastic Approximation by Averaging", 1992) weighs all alike.
///
/// Of a low-rank adapter the update is B A, and the mean of factors is not the factor of the mean: where the updates are to be averaged,
/// take [`Ema::coefficients`] as the weights of a [`super::Concatenation`].
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Fields")]
pub struct Ema {
    decay: f64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Fields {
    decay: f64,
}

impl TryFrom<Fields> for Ema {
    type Error = ContinualError;

    fn try_from(fields: Fields) -> Result<Self, ContinualError> {
        Self::new(fields.decay)
    }
}

impl Ema {
    /// The most adapters whose coefficients are asked for at once.
    pub const MAX_COUNT: usize = 1_000_000;

    /// 0 keeps nothing of what was before; 0.99 to 0.999 is usual for a step, less for a stage.
    ///
    /// # Errors
    /// A decay below 0, or one at which nothing new comes in: 1 or above.
    pub fn new(decay: f64) -> Result<Self, ContinualError> {
        within("decay", "at least 0 and below 1", decay, (0.0..1.0).contains(&decay))?;
        Ok(Self { decay })
    }

    /// What the mean before and the new adapter are multiplied by. They add up to 1.
    #[must_use]
    pub fn step(&self) -> (f64, f64) {
        (self.decay, 1.0 - self.decay)
    }

    /// The weight of each of `count` adapters in the mean after the last: `decay^(count-1)` for the first,
    /// `(1 - decay) * decay^(count-i)` for the i-th from 2. They add up to 1.
    ///
    /// # Errors
    /// A count of 0 or above [`Ema::MAX_COUNT`].
    pub fn coefficients(&self, count: usize) -> Result<Vec<f64>, ContinualError> {
        let allowed = (1..=Self::MAX_COUNT).contains(&count);
        within("count", format_args!("between 1 and {}", Self::MAX_COUNT), count, allowed)?;
        let (kept, added) = self.step();
        let mut weights = Vec::with_capacity(count);
        // From the last adapter to the first: each is older by one step.
        let mut age = 1.0;
        for _ in 1..count {
            weights.push(added * age);
            age *= kept;
        }
        weights.push(age);
        weights.reverse();
        Ok(weights)
    }
}

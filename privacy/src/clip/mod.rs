//! How much one unit may move a step: the clipping modes of a request, with what they ask of the trainer and what they mean for the
//! noise. Norms are L2 norms of a unit's gradient.

mod adaptive;

use serde::{Deserialize, Serialize};

pub use adaptive::{Adaptive, ClipState};

use crate::error::{PrivacyError, in_range};

/// Added to a norm before dividing by it, as Opacus does: a gradient of 0 stays 0, and one at the limit comes out just below it.
const NORM_MARGIN: f64 = 1e-6;

/// The clipping mode of a private run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case", deny_unknown_fields)]
pub enum Clipping {
    /// One limit for the whole gradient.
    Flat {
        /// The largest norm of a unit's gradient.
        max_norm: f64,
    },
    /// A limit for each layer.
    PerLayer {
        /// The largest norm of each layer's part of a unit's gradient, in the order of the layers.
        max_norms: Vec<f64>,
    },
    /// Every gradient is brought close to norm 1; the learning rate takes the place of the limit. Bu et al., "Automatic Clipping",
    /// 2022.
    Automatic {
        /// Added to the norm, so that small gradients stay smaller than large ones; 0.01 in the paper.
        #[serde(default = "default_stability")]
        stability: f64,
    },
    /// The limit follows a quantile of the norms.
    Adaptive(Adaptive),
}

fn default_stability() -> f64 {
    0.01
}

impl Clipping {
    /// The most layers of [`Clipping::PerLayer`].
    pub const MAX_LAYERS: usize = 100_000;

    /// Checks every number.
    ///
    /// # Errors
    /// The first field outside its range.
    pub fn check(&self) -> Result<(), PrivacyError> {
        let norm = |field, value: f64| {
            let within = (1e-9..=1e9).contains(&value);
            in_range(field, "between 1e-9 and 1e9", value, within).map(|_| ())
        };
        match self {
            Self::Flat { max_norm } => norm("max_norm", *max_norm),
            Self::PerLayer { max_norms } => {
                let count = max_norms.len();
                let within = (1..=Self::MAX_LAYERS).contains(&count);
                in_range("max_norms", "between 1 and 100000 layers", count as f64, within)?;
                max_norms.iter().try_for_each(|value| norm("max_norms", *value))
            }
            Self::Automatic { stability } => {
                let within = (1e-6..=1.0).contains(stability);
                in_range("stability", "between 1e-6 and 1", *stability, within).map(|_| ())
            }
            Self::Adaptive(adaptive) => adaptive.check(),
        }
    }

    /// The most by which adding or removing a unit moves the sum of clipped gradients: what the noise multiplier is a multiple of. `None`
    /// where it changes from step to step, see [`ClipState`].
    #[must_use]
    pub fn sensitivity(&self) -> Option<f64> {
        match self {
            Self::Flat { max_norm } => Some(*max_norm),
            Self::PerLayer { max_norms } => {
                Some(max_norms.iter().map(|norm| norm * norm).sum::<f64>().sqrt())
            }
            Self::Automatic { .. } => Some(1.0),
            Self::Adaptive(_) => None,
        }
    }
}

/// What a gradient (or a layer's part of one) of this norm is multiplied by to be at most `max_norm` long. 0 for a norm that is not a
/// finite number: such a unit must be left out whole, as 0 times infinity is not 0.
#[must_use]
pub fn flat_factor(norm: f64, max_norm: f64) -> f64 {
    if norm.is_finite() { (max_norm / (norm + NORM_MARGIN)).min(1.0) } else { 0.0 }
}

/// What a gradient of this norm is multiplied by under automatic clipping; the result is shorter than 1. 0 for a norm that is not a
/// finite number, as in [`flat_factor`].
#[must_use]
pub fn automatic_factor(norm: f64, stability: f64) -> f64 {
    if norm.is_finite() { 1.0 / (norm + stability) } else { 0.0 }
}

//! How much of a unit's gradient goes into the sum, and how much noise that asks for.

use std::ops::Range;

use trainyard_openapi::extension;
use trainyard_plan::PrivacyPlan;
use trainyard_privacy::PrivacyError;
use trainyard_privacy::clip::{Adaptive, ClipState, Clipping, automatic_factor, flat_factor};
use trainyard_privacy::random::SecureRandom;

/// Added to norms by automatic clipping: the paper's value.
const STABILITY: f64 = 0.01;

/// The limit on gradients, over the parts that it is set for.
#[derive(Debug, Clone)]
pub struct Clip {
    clipping: Clipping,
    parts: Vec<Range<i64>>,
}

/// Whether a unit's gradient stayed below the limit, and what its parts are multiplied by.
#[derive(Debug, Clone, PartialEq)]
pub struct Clipped {
    /// One for each part.
    pub factors: Vec<f64>,
    /// Its norm was within the limit.
    pub below: bool,
    /// Its norm is a number; else all factors are 0 and it must be left out whole.
    pub finite: bool,
}

impl Clip {
    /// What `plan` asks for, for a model with these adapted layers.
    ///
    /// # Errors
    /// A number outside its range.
    pub fn new(plan: &PrivacyPlan, layers: Vec<Range<i64>>) -> Result<Self, PrivacyError> {
        let whole = layers.first().map_or(0, |layer| layer.start)
            ..layers.last().map_or(0, |layer| layer.end);
        let clipping = match plan.clipping {
            extension::Clipping::Flat => Clipping::Flat { max_norm: plan.clip_norm },
            extension::Clipping::PerLayer => {
                let each = plan.clip_norm / (layers.len().max(1) as f64).sqrt();
                Clipping::PerLayer { max_norms: vec![each; layers.len()] }
            }
            extension::Clipping::Automatic => Clipping::Automatic { stability: STABILITY },
            extension::Clipping::Adaptive => Clipping::Adaptive(Adaptive {
                initial_norm: plan.clip_norm,
                quantile: 0.5,
                learning_rate: 0.2,
                count_noise: plan.count_noise.unwrap_or_default(),
                min_norm: 1e-4_f64.min(plan.clip_norm / 2.0),
                max_norm: 1e4_f64.max(plan.clip_norm * 2.0),
            }),
        };
        clipping.check()?;
        let parts = match clipping {
            Clipping::PerLayer { .. } => layers,
            _ => vec![whole],
        };
        Ok(Self { clipping, parts })
    }

    /// The parts that have a norm each.
    pub fn parts(&self) -> &[Range<i64>] {
        &self.parts
    }

    /// The limit of the first step.
    pub fn start(&self) -> ClipState {
        match &self.clipping {
            Clipping::Adaptive(adaptive) => adaptive.start(),
            other => ClipState { norm: other.sensitivity().unwrap_or_default() },
        }
    }

    /// What becomes of a unit whose parts have these norms.
    pub fn cut(&self, norms: &[f64], state: ClipState) -> Clipped {
        let factors: Vec<f64> = match &self.clipping {
            Clipping::Flat { max_norm } => {
                norms.iter().map(|norm| flat_factor(*norm, *max_norm)).collect()
            }
            Clipping::PerLayer { max_norms } => {
                norms.iter().zip(max_norms).map(|(norm, max)| flat_factor(*norm, *max)).collect()
            }
            Clipping::Automatic { stability } => {
                norms.iter().map(|norm| automatic_factor(*norm, *stability)).collect()
            }
            Clipping::Adaptive(_) => {
                norms.iter().map(|norm| flat_factor(*norm, state.norm)).collect()
            }
        };
        let finite = norms.iter().all(|norm| norm.is_finite());
        let whole = norms.iter().map(|norm| norm * norm).sum::<f64>().sqrt();
        let below = finite && whole <= state.norm;
        let factors = if finite { factors } else { vec![0.0; factors.len()] };
        Clipped { factors, below, finite }
    }

    /// The standard deviation of the noise on the sum, for the noise multiplier that is accounted.
    ///
    /// # Errors
    /// Adaptive clipping's count has too little noise for that multiplier.
    pub fn deviation(&self, noise_multiplier: f64, state: ClipState) -> Result<f64, PrivacyError> {
        let of_gradients = match &self.clipping {
            Clipping::Adaptive(adaptive) => adaptive.gradient_noise_multiplier(noise_multiplier)?,
            _ => noise_multiplier,
        };
        Ok(of_gradients * state.norm)
    }

    /// The limit of the next step, after `below` of `drawn` units stayed below this one's.
    ///
    /// # Errors
    /// As for noise.
    pub fn next(
        &self,
        state: ClipState,
        (below, drawn): (usize, usize),
        expected_batch: f64,
        random: &mut SecureRandom,
    ) -> Result<ClipState, PrivacyError> {
        match &self.clipping {
            Clipping::Adaptive(adaptive) => {
                let noise = random.noise(adaptive.count_noise)?;
                Ok(adaptive.next(state, below, drawn, expected_batch, noise))
            }
            _ => Ok(state),
        }
    }
}

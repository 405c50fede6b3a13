//! The smallest noise that keeps a run within its budget, and what a plan will have cost.

use crate::accountant::{Accountant, Accounting};
use crate::error::PrivacyError;
use crate::phase::{Budget, Phase};

/// The outcome of a search for noise.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Calibration {
    /// The smallest noise multiplier that holds, to a part in ten thousand.
    pub noise_multiplier: f64,
    /// Epsilon with it, of the run and all that was spent before; at most the target.
    pub epsilon: f64,
}

/// How closely the noise multiplier is found, relative to itself.
const TOLERANCE: f64 = 1e-4;

impl Accountant {
    /// The smallest noise multiplier with which `steps` steps at `sampling_rate`, on top of what was `spent`, keep to `target`.
    ///
    /// # Errors
    /// The rate is out of range, or not even the largest noise multiplier reaches the target: too much was spent before.
    pub fn noise_multiplier(
        &mut self,
        accounting: Accounting,
        target: &Budget,
        spent: &[Phase],
        sampling_rate: f64,
        steps: u64,
    ) -> Result<Calibration, PrivacyError> {
        let start = match accounting {
            Accounting::Rdp => 1.0,
            // The cheap bound leads close to the costly one's answer.
            Accounting::Prv => {
                self.noise_multiplier(Accounting::Rdp, target, spent, sampling_rate, steps)?
                    .noise_multiplier
            }
        };
        smallest(target.epsilon(), start, |noise| {
            let mut phases = spent.to_vec();
            phases.push(Phase::new(noise, sampling_rate, steps)?);
            self.epsilon(accounting, &phases, target.delta())
        })
    }

    /// Epsilon once `planned` has run on top of what was `spent`: at each of `points` equal parts of the plan's steps, the last being
    /// its end. By Rényi orders: a curve that a running job will follow.
    ///
    /// # Errors
    /// `delta` is out of range.
    pub fn forecast(
        &mut self,
        spent: &[Phase],
        planned: &Phase,
        delta: f64,
        points: u32,
    ) -> Result<Vec<Forecast>, PrivacyError> {
        let mut phases = spent.to_vec();
        (1..=u64::from(points))
            .map(|point| {
                let share = u128::from(planned.steps()) * u128::from(point) / u128::from(points);
                let steps = u64::try_from(share).unwrap_or(u64::MAX);
                phases.truncate(spent.len());
                phases.push(planned.with_steps(steps));
                let epsilon = self.epsilon(Accounting::Rdp, &phases, delta)?;
                Ok(Forecast { steps, epsilon })
            })
            .collect()
    }
}

/// A point of a forecast.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Forecast {
    /// Steps of the plan done by then.
    pub steps: u64,
    /// Epsilon of everything up to there.
    pub epsilon: f64,
}

/// The smallest noise at which the falling `epsilon` is at most `target`.
fn smallest(
    target: f64,
    start: f64,
    mut epsilon: impl FnMut(f64) -> Result<f64, PrivacyError>,
) -> Result<Calibration, PrivacyError> {
    let (least, most) = Phase::NOISE_MULTIPLIER;
    // A bracket: `low` too little noise, `high` enough. The stride doubles in the log of the noise.
    let first = epsilon(start)?;
    let (mut low, mut high) = (None, None);
    *(if first <= target { &mut high } else { &mut low }) = Some((start, first));
    let (mut at, mut stride) = (start, 0.05_f64);
    let ((mut low, mut low_epsilon), (mut high, mut high_epsilon)) = loop {
        if let (Some(low), Some(high)) = (low, high) {
            break (low, high);
        }
        let upward = high.is_none();
        at = (at * if upward { stride.exp() } else { (-stride).exp() }).clamp(least, most);
        stride *= 2.0;
        let found = epsilon(at)?;
        if found <= target {
            high = Some((at, found));
            if at == least {
                return Ok(Calibration { noise_multiplier: at, epsilon: found });
            }
        } else {
            low = Some((at, found));
            if at == most {
                return Err(PrivacyError::Unreachable {
                    target,
                    noise_multiplier: at,
                    epsilon: found,
                });
            }
        }
    };
    // Between them epsilon is close to a power of the noise: a line through the logs. Every third cut halves, so that it always ends.
    let mut cuts = 0;
    while high / low > 1.0 + TOLERANCE {
        cuts += 1;
        let (log_low, log_high) = (low.ln(), high.ln());
        let line = (low_epsilon / target).ln() / (low_epsilon / high_epsilon).ln();
        let part = if cuts % 3 == 0 || !line.is_finite() { 0.5 } else { line };
        // Keep off both ends by half the tolerance: the next cut then closes in from the other side.
        let margin = (TOLERANCE / 2.0).min((log_high - log_low) / 4.0);
        let noise =
            (log_low + part * (log_high - log_low)).clamp(log_low + margin, log_high - margin);
        let noise = noise.exp();
        let found = epsilon(noise)?;
        if found <= target {
            (high, high_epsilon) = (noise, found);
        } else {
            (low, low_epsilon) = (noise, found);
        }
    }
    Ok(Calibration { noise_multiplier: high, epsilon: high_epsilon })
}

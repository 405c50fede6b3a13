//! The distribution of the summed privacy loss, and the epsilon that its upper tail gives.

use rustfft::FftPlanner;
use rustfft::num_complex::Complex64;

use super::grid::Grid;
use super::loss::Loss;
use crate::error::PrivacyError;
use crate::phase::Phase;

/// The points from 0 upward of the summed loss.
pub(super) struct Tail {
    masses: Vec<f64>,
    /// How far the first mass may be off by rounding; it falls by `e^-tilt` per unit of loss.
    noise: f64,
    tilt: f64,
    mesh: f64,
    /// What the means of rounded and true losses differ by, over all steps: every point stands this far to the right.
    shift: f64,
}

/// Rounds the loss of each phase to the grid, tilted by `tilt`, and adds up all steps.
pub(super) fn compose(phases: &[Phase], grid: &Grid, tilt: f64) -> Result<Tail, PrivacyError> {
    let mut planner = FftPlanner::new();
    let forward = planner.plan_fft_forward(grid.points);
    let mut scratch = vec![Complex64::default(); forward.get_inplace_scratch_len()];
    let mut product: Option<Vec<Complex64>> = None;
    let (mut log_weight, mut shift) = (0.0, 0.0);
    for phase in phases {
        let rounded = Rounded::new(phase, grid, tilt)?;
        log_weight += rounded.log_weight * phase.steps() as f64;
        shift += rounded.shift * phase.steps() as f64;
        let mut values = rounded.values;
        forward.process_with_scratch(&mut values, &mut scratch);
        raise(&mut values, phase.steps());
        match &mut product {
            None => product = Some(values),
            Some(product) => {
                product.iter_mut().zip(&values).for_each(|(all, this)| *all *= this);
            }
        }
    }
    // The way back is the same transform, read backwards: one plan does for both.
    let mut values = product.unwrap_or_default();
    forward.process_with_scratch(&mut values, &mut scratch);

    // What is needed has an epsilon of at least 0, so the shifted points from 0 on.
    let from = ((-shift / grid.mesh).floor() as i64 - 1).max(-grid.half());
    let log_untilt = |number: i64| log_weight - tilt * number as f64 * grid.mesh;
    let masses = (from..grid.half()).map(|number| {
        let tilted = values[grid.place(-number)].re / grid.points as f64;
        // Rounding may leave a point slightly below 0: 0 errs on the safe side.
        if tilted > 0.0 { (tilted.ln() + log_untilt(number)).exp() } else { 0.0 }
    });
    let masses = masses.collect();
    // True masses are real and not below 0, and most of them are 0: what is below shows how large rounding is.
    let noise = values.iter().map(|value| value.im.abs().max(-value.re)).fold(0.0, f64::max);
    let noise = noise / grid.points as f64 * log_untilt(from).exp();
    let shift = shift + from as f64 * grid.mesh;
    Ok(Tail { masses, noise, tilt, mesh: grid.mesh, shift })
}

/// One step's loss on the grid.
struct Rounded {
    /// Tilted masses, in the circular order of the transform; they add up to 1.
    values: Vec<Complex64>,
    /// The log of what the tilted masses were divided by.
    log_weight: f64,
    /// The true mean less the mean of the rounded loss.
    shift: f64,
}

impl Rounded {
    fn new(phase: &Phase, grid: &Grid, tilt: f64) -> Result<Self, PrivacyError> {
        let loss = Loss::new(phase);
        let (mut total, mut mean, mut largest) = (0.0, 0.0, f64::NEG_INFINITY);
        let mut logs = Vec::new();
        loss.masses(grid, |number, mass| {
            let value = number as f64 * grid.mesh;
            total += mass;
            mean += mass * value;
            let log = mass.ln() + tilt * value;
            largest = largest.max(log);
            logs.push((number, log));
        });
        let shift = loss.mean() - mean / total;
        if shift.is_nan() || shift.abs() > grid.mesh / 2.0 {
            return Err(PrivacyError::Precision("the rounded loss has another mean"));
        }
        let mut values = vec![Complex64::default(); grid.points];
        let mut weight = 0.0;
        for (number, log) in logs {
            let tilted = (log - largest).exp();
            weight += tilted;
            values[grid.place(number)] = Complex64::new(tilted, 0.0);
        }
        values.iter_mut().for_each(|value| value.re /= weight);
        // The masses are those of the loss given that it lies on the grid: divided by their total.
        Ok(Self { values, log_weight: largest + f64::ln(weight) - f64::ln(total), shift })
    }
}

/// Raises each value of a real signal's transform to a whole power: its second half mirrors the first.
fn raise(values: &mut [Complex64], exponent: u64) {
    let count = values.len();
    for place in 0..=count / 2 {
        let raised = power(values[place], exponent);
        values[place] = raised;
        if place > 0 {
            values[count - place] = raised.conj();
        }
    }
}

/// `base` to a whole power, by squaring. 0 where the result is below 1e-25, far below the transform's own rounding.
fn power(base: Complex64, mut exponent: u64) -> Complex64 {
    if exponent as f64 * base.norm_sqr().ln() < -115.0 {
        return Complex64::default();
    }
    let (mut result, mut square) = (Complex64::new(1.0, 0.0), base);
    loop {
        if exponent & 1 == 1 {
            result *= square;
        }
        exponent >>= 1;
        if exponent == 0 {
            return result;
        }
        square *= square;
    }
}

impl Tail {
    /// The smallest epsilon, at least 0, at which the hockey-stick divergence is at most `delta`.
    ///
    /// # Errors
    /// The masses above it may be off by more than `allowed` together.
    pub(super) fn epsilon(&self, delta: f64, allowed: f64) -> Result<f64, PrivacyError> {
        // From the top down: `mass` is the probability at or above a point, `divergence` the hockey stick at that point. Moving
        // down by x turns the latter into e^-x divergence + (1 - e^-x) mass, all of it positive: nothing cancels.
        let (mut mass, mut divergence) = (0.0, 0.0);
        let (decay, growth) = ((-self.mesh).exp(), -(-self.mesh).exp_m1());
        for (number, here) in self.masses.iter().enumerate().rev() {
            let next = decay * divergence + growth * mass;
            if next > delta {
                let above = self.shift + (number + 1) as f64 * self.mesh;
                let down = ((mass - delta) / (mass - divergence)).ln();
                return self.precise(number + 1, allowed).map(|()| (above + down).max(0.0));
            }
            divergence = next;
            mass += here;
        }
        self.precise(0, allowed).map(|()| 0.0)
    }

    /// Refuses where rounding of the masses from `number` up may add up to more than `allowed`.
    fn precise(&self, number: usize, allowed: f64) -> Result<(), PrivacyError> {
        let fall = self.tilt * self.mesh;
        let first = self.noise * (-fall * number as f64).exp();
        let count = (self.masses.len() - number) as f64;
        let sum = if fall > 0.0 {
            first * (-fall * count).exp_m1() / (-fall).exp_m1()
        } else {
            first * count
        };
        if sum <= allowed {
            Ok(())
        } else {
            Err(PrivacyError::Precision(
                "rounding of the transform is no longer small beside delta",
            ))
        }
    }
}

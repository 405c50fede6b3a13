//! The privacy loss of one step of the sampled Gaussian as a random variable: what lies between two points, and its mean.
//!
//! With x drawn from P = (1 - q) N(0, s^2) + q N(1, s^2), the loss is ln(P(x) / N(0, s^2)(x)) = ln(1 - q + q e^((2x - 1) / (2 s^2))). It rises with
//! x, so its distribution is that of P at the x that it comes from. This is the direction that removes a unit, the worse of the two.

use std::f64::consts::{PI, SQRT_2};

use super::grid::Grid;
use crate::phase::Phase;

/// The loss of a step.
pub(super) struct Loss {
    noise: f64,
    rate: f64,
    /// ln(1 - rate): no loss is smaller. Minus infinity at rate 1.
    floor: f64,
}

/// The upper (or, where `z` is below 0, lower) tail of one of the two normals at an edge between points.
#[derive(Clone, Copy)]
struct Edge {
    z: f64,
    tail: f64,
}

impl Edge {
    fn new(z: f64) -> Self {
        Self { z, tail: 0.5 * libm::erfc(z.abs()) }
    }

    /// The probability between two edges, from the tails that do not cancel.
    fn to(self, right: Self) -> f64 {
        match (self.z > 0.0, right.z > 0.0) {
            (true, _) => self.tail - right.tail,
            (false, false) => right.tail - self.tail,
            (false, true) => 1.0 - self.tail - right.tail,
        }
    }
}

impl Loss {
    pub(super) fn new(phase: &Phase) -> Self {
        let rate = phase.sampling_rate();
        Self { noise: phase.noise_multiplier(), rate, floor: (-rate).ln_1p() }
    }

    /// The x (in the normals' units: 1 is the sensitivity) at which the loss is `loss`.
    fn position(&self, loss: f64) -> f64 {
        if loss <= self.floor {
            return f64::NEG_INFINITY;
        }
        let exponent = loss + (-(self.floor - loss).exp_m1()).ln() - self.rate.ln();
        self.noise * self.noise * exponent + 0.5
    }

    /// Calls `visit(number, probability)` for each point with any probability: what lies within half a mesh of it.
    pub(super) fn masses(&self, grid: &Grid, mut visit: impl FnMut(i64, f64)) {
        let half = grid.half();
        // Nothing lies below the floor.
        let first = if self.floor.is_finite() {
            ((self.floor / grid.mesh).floor() as i64 - 1).max(-half)
        } else {
            -half
        };
        let scale = SQRT_2 * self.noise;
        let edges = |number: i64| {
            let x = self.position((number as f64 - 0.5) * grid.mesh);
            (Edge::new(x / scale), Edge::new((x - 1.0) / scale))
        };
        let (mut out, mut drawn) = edges(first);
        for number in first..half {
            let (out_right, drawn_right) = edges(number + 1);
            let mass = (1.0 - self.rate) * out.to(out_right) + self.rate * drawn.to(drawn_right);
            if mass > 0.0 {
                visit(number, mass);
            } else if drawn.z > 0.0 {
                return;
            }
            (out, drawn) = (out_right, drawn_right);
        }
    }

    /// The expected loss, by the trapezoid rule over x, which for a smooth integrand with such tails is exact to rounding once
    /// the step is an eighth of the noise and a quarter of its square (the nearest singularity lies pi times the square away
    /// from the axis).
    pub(super) fn mean(&self) -> f64 {
        let (noise, rate) = (self.noise, self.rate);
        let step = (noise / 8.0).min(noise * noise / 4.0);
        let reach = 13.0 * noise;
        let count = ((2.0 * reach + 1.0) / step).ceil() as u64;
        let density = |x: f64| (-0.5 * (x / noise).powi(2)).exp() / (noise * (2.0 * PI).sqrt());
        let mut sum = 0.0;
        for number in 0..=count {
            let x = -reach + number as f64 * step;
            let exponent = (x - 0.5) / (noise * noise);
            let loss = if exponent < 30.0 {
                (rate * exponent.exp_m1()).ln_1p()
            } else {
                exponent + (rate + (1.0 - rate) * (-exponent).exp()).ln()
            };
            // At rate 1 and a far negative exponent the first form is ln(e^exponent) with rounding; take it exactly.
            let loss = if rate >= 1.0 { exponent } else { loss };
            sum += loss * ((1.0 - rate) * density(x) + rate * density(x - 1.0));
        }
        sum * step
    }
}

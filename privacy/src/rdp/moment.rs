//! Rényi divergence of one step of the sampled Gaussian. Mironov, Talwar, Zhang, "Rényi Differential Privacy of the Sampled Gaussian
//! Mechanism", 2019, section 3.3.

use std::f64::consts::SQRT_2;

use crate::special::{log_add, log_half_erfc, log_sub};

/// Divergence (nats) at `order` above 1, for a rate in (0, 1] and noise above 0. Infinite where the alternating sum loses its
/// precision, which is sound: that order then gives no bound.
pub(super) fn rdp(rate: f64, noise: f64, order: f64) -> f64 {
    if rate >= 1.0 {
        return order / (2.0 * noise * noise);
    }
    let log_moment = if order.fract() == 0.0 {
        log_moment_integer(rate, noise, order)
    } else {
        match log_moment_fractional(rate, noise, order) {
            Some(log_moment) => log_moment,
            None => return f64::INFINITY,
        }
    };
    // The divergence is never below 0; rounding of a sum close to 1 may be.
    (log_moment / (order - 1.0)).max(0.0)
}

/// The binomial sum over how many of `order` draws take the unit.
fn log_moment_integer(rate: f64, noise: f64, order: f64) -> f64 {
    let (log_rate, log_rest) = (rate.ln(), (-rate).ln_1p());
    let half_precision = 0.5 / (noise * noise);
    let mut log_binomial = 0.0;
    let mut sum = f64::NEG_INFINITY;
    let mut i = 0.0;
    while i <= order {
        let term =
            log_binomial + i * log_rate + (order - i) * log_rest + (i * i - i) * half_precision;
        sum = log_add(sum, term);
        log_binomial += ((order - i) / (i + 1.0)).ln();
        i += 1.0;
    }
    sum
}

/// Terms of the fractional series: its terms fall like a power of their number, slowest at orders near 1.
const MAX_TERMS: u32 = 2_000_000;

/// Two series, for the integrals below and above the point where both terms of the mixture are equal.
fn log_moment_fractional(rate: f64, noise: f64, order: f64) -> Option<f64> {
    let (log_rate, log_rest) = (rate.ln(), (-rate).ln_1p());
    let variance = noise * noise;
    let half_precision = 0.5 / variance;
    let middle = variance * (log_rest - log_rate) + 0.5;
    let scale = SQRT_2 * noise;

    let (mut below, mut above) = (f64::NEG_INFINITY, f64::NEG_INFINITY);
    let (mut log_binomial, mut positive) = (0.0_f64, true);
    for number in 0..MAX_TERMS {
        let i = f64::from(number);
        let j = order - i;
        let first = log_binomial
            + i * log_rate
            + j * log_rest
            + (i * i - i) * half_precision
            + log_half_erfc((i - middle) / scale);
        let second = log_binomial
            + j * log_rate
            + i * log_rest
            + (j * j - j) * half_precision
            + log_half_erfc((middle - j) / scale);
        if positive {
            below = log_add(below, first);
            above = log_add(above, second);
        } else {
            below = log_sub(below, first)?;
            above = log_sub(above, second)?;
        }
        if first.max(second) < -30.0 {
            return Some(log_add(below, above));
        }
        let ratio = (order - i) / (i + 1.0);
        log_binomial += ratio.abs().ln();
        positive ^= ratio < 0.0;
    }
    None
}

//! What a ledger's entries cost, by another way than the accountants': sums by hand and integrals in place of series and transforms.
//!
//! It is what an auditor runs on a copy of the entries. It agrees with `RdpAccountant` over Opacus' orders to 1e-6 and shares with it
//! nothing but the list of orders and the conversion to epsilon.

use std::collections::BTreeMap;
use std::f64::consts::PI;

use super::{Entry, State};
use crate::rdp::{Orders, RdpEpsilon};

/// The sums of a ledger's entries.
#[derive(Debug, Clone, PartialEq)]
pub struct Recomputed {
    /// Steps charged by noise multiplier and sampling rate, rising.
    pub charged: Vec<(f64, f64, u128)>,
    /// Steps that checkpoints may carry, over all entries.
    pub committed: u128,
    /// Steps charged that no checkpoint carries.
    pub uncommitted: u128,
    /// Epsilon by Rényi orders at the delta asked for.
    pub epsilon: RdpEpsilon,
}

/// Adds up the entries and bounds their epsilon at `delta`.
#[must_use]
pub fn recompute(entries: &[Entry], delta: f64) -> Recomputed {
    // Positive numbers compare as their bits do.
    let mut charged: BTreeMap<(u64, u64), u128> = BTreeMap::new();
    let (mut committed, mut total) = (0_u128, 0_u128);
    for entry in entries {
        let steps = match entry.state {
            State::Settled { ran } => u128::from(ran),
            State::Open | State::Crashed => u128::from(entry.reserved.steps()),
        };
        let noise = entry.reserved.noise_multiplier().to_bits();
        let rate = entry.reserved.sampling_rate().to_bits();
        *charged.entry((noise, rate)).or_default() += steps;
        committed += u128::from(entry.committed);
        total += steps;
    }
    let charged: Vec<_> = charged
        .into_iter()
        .filter(|(_, steps)| *steps > 0)
        .map(|((noise, rate), steps)| (f64::from_bits(noise), f64::from_bits(rate), steps))
        .collect();
    let orders = Orders::opacus();
    let divergence = |order: f64| -> f64 {
        charged.iter().map(|(noise, rate, steps)| *steps as f64 * renyi(*noise, *rate, order)).sum()
    };
    let divergences: Vec<f64> = orders.iter().map(divergence).collect();
    let epsilon = orders.convert(&divergences, delta);
    Recomputed { charged, committed, uncommitted: total.saturating_sub(committed), epsilon }
}

/// Rényi divergence of a step: ln E[(1 - q + q e^((2x - 1) / (2 s^2)))^order] / (order - 1) with x from N(0, s^2), by the trapezoid rule in
/// logs. The integrand has its mass between 0 and the order, each with the normal's width.
fn renyi(noise: f64, rate: f64, order: f64) -> f64 {
    let step = (noise / 8.0).min(noise * noise / 4.0);
    let (from, to) = (-12.0 * noise, order + 12.0 * noise);
    let count = ((to - from) / step).ceil() as u64;
    let log_integrand = |number: u64| {
        let x = from + number as f64 * step;
        let exponent = (x - 0.5) / (noise * noise);
        let ratio = if rate >= 1.0 {
            exponent
        } else if exponent > 30.0 {
            exponent + (rate + (1.0 - rate) * (-exponent).exp()).ln()
        } else {
            (rate * exponent.exp_m1()).ln_1p()
        };
        order * ratio - 0.5 * (x / noise).powi(2)
    };
    let largest = (0..=count).map(log_integrand).fold(f64::NEG_INFINITY, f64::max);
    let sum: f64 = (0..=count).map(|number| (log_integrand(number) - largest).exp()).sum();
    let log_moment = largest + (sum * step / (noise * (2.0 * PI).sqrt())).ln();
    log_moment.max(0.0) / (order - 1.0)
}

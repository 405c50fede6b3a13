//! The orders at which Rényi divergence is looked at, and what a divergence at an order says about epsilon.

use super::RdpEpsilon;

/// A list of orders, each above 1, rising.
#[derive(Debug, Clone, PartialEq)]
pub struct Orders(Vec<f64>);

impl Orders {
    /// The list that Opacus looks at: 1.1 to 10.9 by tenths, then 12 to 63.
    #[must_use]
    pub fn opacus() -> Self {
        let tenths = (1..100).map(|tenth| 1.0 + f64::from(tenth) / 10.0);
        Self(tenths.chain((12..64).map(f64::from)).collect())
    }

    /// Opacus' list, 1.01 to 1.08 before it and a few orders up to 8192 behind it: much noise and little sampling have their
    /// best order far out, many steps of little noise close to 1.
    #[must_use]
    pub fn extended() -> Self {
        let near = [1.01, 1.02, 1.04, 1.06, 1.08];
        let far = [
            64.0, 72.0, 80.0, 96.0, 128.0, 192.0, 256.0, 384.0, 512.0, 1024.0, 2048.0, 4096.0,
            8192.0,
        ];
        Self(near.into_iter().chain(Self::opacus().0).chain(far).collect())
    }

    /// The orders, rising.
    pub fn iter(&self) -> impl Iterator<Item = f64> {
        self.0.iter().copied()
    }

    /// The smallest epsilon that these divergences, one per order, give at `delta`.
    pub(crate) fn convert(&self, divergences: &[f64], delta: f64) -> RdpEpsilon {
        if divergences.iter().all(|divergence| *divergence == 0.0) {
            let order = self.0.last().copied().unwrap_or(f64::INFINITY);
            return RdpEpsilon { epsilon: 0.0, order, at_edge: false };
        }
        let mut best = RdpEpsilon { epsilon: f64::INFINITY, order: f64::NAN, at_edge: true };
        for (place, (order, divergence)) in self.0.iter().zip(divergences).enumerate() {
            let epsilon = to_epsilon(*order, *divergence, delta);
            if epsilon < best.epsilon {
                let at_edge = place == 0 || place + 1 == self.0.len();
                best = RdpEpsilon { epsilon, order: *order, at_edge };
            }
        }
        best.epsilon = best.epsilon.max(0.0);
        best
    }
}

/// Epsilon at `delta` of a mechanism with this divergence at this order; may be below 0. Balle et al., "Hypothesis Testing
/// Interpretations and Renyi Differential Privacy", 2020, theorem 21.
pub(super) fn to_epsilon(order: f64, divergence: f64, delta: f64) -> f64 {
    divergence + (-1.0 / order).ln_1p() - (delta.ln() + order.ln()) / (order - 1.0)
}

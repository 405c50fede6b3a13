//! The accountant by numerical composition of privacy loss: tight, for reports and to choose the noise.
//!
//! The privacy loss of one step is a random variable; that of many steps is their sum, whose distribution a Fourier transform
//! gives on a grid. Gopi, Lee, Wutschitz, "Numerical Composition of Differential Privacy", 2021. Two things differ from the
//! paper's own program: all phases are multiplied in the frequency domain, with one transform back, and the distributions are tilted
//! by `e^(lambda t)` first, lambda up to the best Rényi order less 1, so that rounding is relative to delta and not to 1. Deltas far below 1e-9
//! then keep their precision.

mod compose;
mod grid;
mod loss;

use crate::error::{PrivacyError, in_range};
use crate::phase::{Phase, checked_delta, merge};
use crate::rdp::RdpAccountant;

/// Epsilon by numerical composition, with the errors that its bounds carry.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PrvEpsilon {
    /// No smaller epsilon can hold.
    pub lower: f64,
    /// The value without allowance for errors. To be shown, never to be relied on.
    pub estimate: f64,
    /// The guarantee: epsilon at `delta - delta_error` plus `epsilon_error`.
    pub upper: f64,
    /// Bound on the error by the grid's mesh. The one asked for, unless the grid would have passed
    /// [`PrvAccountant::MAX_POINTS`].
    pub epsilon_error: f64,
    /// Bound on the error by cutting the tails and by the chance that rounding errors add up beyond `epsilon_error`.
    pub delta_error: f64,
    /// Points of the grid.
    pub points: usize,
}

/// Computes epsilon by composition of privacy loss.
#[derive(Debug, Clone)]
pub struct PrvAccountant {
    epsilon_error: f64,
    rdp: RdpAccountant,
}

impl Default for PrvAccountant {
    fn default() -> Self {
        Self { epsilon_error: 0.01, rdp: RdpAccountant::default() }
    }
}

impl PrvAccountant {
    /// The largest grid: 64 MiB a copy and about a second. Beyond it the mesh widens and the reported error with it.
    pub const MAX_POINTS: usize = 1 << 22;
    /// `delta_error` as a part of delta.
    const DELTA_SHARE: f64 = 1e-3;

    /// An accountant whose bounds stand `epsilon_error` from the estimate (0.01 unless told). The time goes with its inverse.
    ///
    /// # Errors
    /// Outside 1e-4 to 1.
    pub fn new(epsilon_error: f64) -> Result<Self, PrivacyError> {
        let within = (1e-4..=1.0).contains(&epsilon_error);
        in_range("epsilon_error", "between 0.0001 and 1", epsilon_error, within)?;
        Ok(Self { epsilon_error, ..Self::default() })
    }

    /// An accountant whose bounds stand ten times as far from the estimate as the default's.
    pub(crate) fn rough() -> Self {
        Self { epsilon_error: 0.1, ..Self::default() }
    }

    /// Epsilon of all phases at `delta`. Nothing spent gives 0.
    ///
    /// # Errors
    /// `delta` is out of range, or the grid cannot carry the precision (then [`RdpAccountant`] still answers).
    pub fn epsilon(&mut self, phases: &[Phase], delta: f64) -> Result<PrvEpsilon, PrivacyError> {
        let delta = checked_delta(delta)?;
        let phases = merge(phases);
        if phases.is_empty() {
            return Ok(PrvEpsilon {
                lower: 0.0,
                estimate: 0.0,
                upper: 0.0,
                epsilon_error: 0.0,
                delta_error: 0.0,
                points: 0,
            });
        }
        let delta_error = delta * Self::DELTA_SHARE;
        let grid = self.grid(&phases, delta_error)?;
        let tilt = self.tilt(&phases, &grid, delta)?;
        let tail = compose::compose(&phases, &grid, tilt)?;
        let at = |delta: f64| tail.epsilon(delta, delta_error);
        Ok(PrvEpsilon {
            lower: (at(delta + delta_error)? - grid.epsilon_error).max(0.0),
            estimate: at(delta)?,
            upper: at(delta - delta_error)? + grid.epsilon_error,
            epsilon_error: grid.epsilon_error,
            delta_error,
            points: grid.points,
        })
    }

    /// The grid on which both errors are kept: remark 5.6 and theorem 5.5 of the paper, with the program's allowance of 3.
    fn grid(&mut self, phases: &[Phase], delta_error: f64) -> Result<grid::Grid, PrivacyError> {
        let steps: f64 = phases.iter().map(|phase| phase.steps() as f64).sum();
        // Deltas below what a request may name are fine here.
        let tail = |rdp: &mut RdpAccountant, phases: &[Phase], delta: f64| {
            let total = rdp.total(phases);
            rdp.orders().convert(&total, delta).epsilon
        };
        let mut reach = tail(&mut self.rdp, phases, delta_error / 4.0).max(self.epsilon_error);
        for phase in phases {
            let one = [phase.with_steps(1)];
            reach = reach.max(tail(&mut self.rdp, &one, delta_error / (8.0 * steps)));
        }
        if !reach.is_finite() {
            return Err(PrivacyError::Precision("no Rényi order bounds the tails"));
        }
        let deviation = (steps * (12.0 / delta_error).ln() / 2.0).sqrt();
        Ok(grid::Grid::new(reach + 3.0, self.epsilon_error, deviation))
    }

    /// How much to tilt. The best order brings the tail that decides to the middle of the tilted distribution. But what lies beyond
    /// the grid comes round to its other end, and undoing the tilt there counts it too high; so no more than keeps that far below
    /// `delta_error`. By Chernoff's bound at any order `a`, what lies `w` widths of the grid beyond epsilon 0 weighs at most
    /// `e^((a - 1) (divergence(a) - w width) + lambda w width)`.
    fn tilt(
        &mut self,
        phases: &[Phase],
        grid: &grid::Grid,
        delta: f64,
    ) -> Result<f64, PrivacyError> {
        let best = self.rdp.epsilon(phases, delta)?.order - 1.0;
        let width = grid.points as f64 * grid.mesh;
        let total = self.rdp.total(phases);
        let allowed = (delta * Self::DELTA_SHARE * 1e-2).ln();
        let harmless = |tilt: f64| {
            self.rdp.orders().iter().zip(&total).any(|(order, divergence)| {
                let order = order - 1.0;
                order - tilt > 1.0 / width
                    && order * divergence - (order - tilt) * width + 1.0 < allowed
            })
        };
        let mut tilts = std::iter::successors(Some(best), |tilt| Some(tilt * 0.8)).take(20);
        Ok(tilts.find(|tilt| harmless(*tilt)).unwrap_or(0.0))
    }
}

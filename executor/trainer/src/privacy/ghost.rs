//! Gradients of units that are never written down.
//!
//! A unit's gradient of a weight is `left^T x` over its positions, so its norm follows from what positions have in common: the sum of
//! `(left left^T) * (x x^T)`, number by number (Goodfellow, 2015, arXiv 1510.01799; Li et al., 2022, arXiv 2110.05679). Once the norms are known, the cut
//! gradients are products that go straight into their sum (Bu et al., 2023, arXiv 2210.00038). An embedding's `left` is which entry each position
//! chose, so heads that are the embedding too are a sum like any other.
//!
//! Written down, the gradients of some units are the same products, and then passes over memory that take no account of how short the units
//! are. Inner products grow with the square of their positions: [`Written`] weighs them.

use std::collections::BTreeMap;

use tch::{Kind, Tensor};

use crate::error::Result;
use crate::nn::compute::wide;

/// Operations of inner products that take as long as the passes over memory that a number of a written gradient costs.
const OF_A_NUMBER: i64 = 60;

/// The same for what the inner products of a parameter cost however short they are.
const OF_A_PARAMETER: i64 = 4_000_000;

/// How far inner products, and sums of them, may lie below their true values, in parts of the largest that they could be: 2^-19, beside 2^-24 for
/// one rounding in fp32. A norm must not come out too small.
const ROUNDING: f64 = 1.0 / 524_288.0;

/// Which gradients of weights are written down.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Written {
    /// All, number by number.
    Always,
    /// Those that this costs less for, of units of so many positions.
    WhereCheaper(i64),
    /// None but those of norms, biases and whatever else has no `left`.
    Never,
}

impl Written {
    /// Whether a gradient of shape (o, i) is kept as what it is made of.
    pub(super) fn leaves_out(self, (o, i): (i64, i64)) -> bool {
        match self {
            Self::Always => false,
            Self::WhereCheaper(positions) => {
                positions * positions * (o + i) + OF_A_PARAMETER <= OF_A_NUMBER * o * i
            }
            Self::Never => true,
        }
    }
}

/// What a unit's gradients are made of, by the place of the parameter.
#[derive(Debug, Default)]
pub(super) struct Ghosts(BTreeMap<i64, Vec<Term>>);

/// `scale * left^T x`, a part of a unit's gradient.
#[derive(Debug)]
pub(super) struct Term {
    pub(super) unit: i64,
    pub(super) left: Left,
    /// (n, i).
    pub(super) x_ni: Tensor,
    pub(super) scale: f64,
}

/// What the rows of `x` are multiplied by.
#[derive(Debug)]
pub(super) enum Left {
    /// Gradients of outputs, (n, o).
    Dense(Tensor),
    /// The one entry of an embedding that each position chose, (n) in int64.
    Chosen(Tensor),
}

impl Ghosts {
    /// Forgets all.
    pub(super) fn clear(&mut self) {
        self.0.clear();
    }

    /// Keeps a part of a gradient. Its tensors must be nobody else's to change.
    pub(super) fn keep(&mut self, start: i64, term: Term) {
        self.0.entry(start).or_default().push(term);
    }

    /// Forgets a unit.
    pub(super) fn leave_out(&mut self, unit: i64) {
        self.0.values_mut().for_each(|terms| terms.retain(|term| term.unit != unit));
    }

    /// The square of the norm of a unit's gradient of the parameter at `start`: never below that of what [`Ghosts::add_to`] adds.
    pub(super) fn squares(&self, start: i64, unit: i64) -> Result<f64> {
        let of_parameter = self.0.get(&start).map_or(&[][..], Vec::as_slice);
        let terms: Vec<&Term> = of_parameter.iter().filter(|term| term.unit == unit).collect();
        let (mut sum, mut largest) = (0.0, 0.0);
        for (number, one) in terms.iter().enumerate() {
            let (alike, most) = one.with_itself()?;
            sum += one.scale * one.scale * alike;
            largest += one.scale.abs() * most;
            for other in &terms[number + 1..] {
                sum += 2.0 * one.scale * other.scale * one.with(other)?;
            }
        }
        // What is not a number must not pass for nothing.
        Ok(if sum.is_finite() { sum.max(0.0) + ROUNDING * largest * largest } else { sum })
    }

    /// Adds the gradients of the parameter at `start` to `sum_p`, each times its unit's factor. In fp32 also where less is computed in: of what the
    /// norms are told of.
    pub(super) fn add_to(&self, sum_p: &Tensor, start: i64, factors: &[f64]) -> Result<()> {
        let Some(terms) = self.0.get(&start) else { return Ok(()) };
        let (mut left, mut right) = (Vec::new(), Vec::new());
        for Term { unit, left: of_term, x_ni, scale } in terms {
            let x_ni = wide(x_ni)?.f_mul_scalar(scale * factors[*unit as usize])?;
            match of_term {
                Left::Dense(dy_no) => {
                    left.push(wide(dy_no)?);
                    right.push(x_ni);
                }
                Left::Chosen(ids) => {
                    let _ = sum_p.f_view([-1, x_ni.size()[1]])?.f_index_add_(0, ids, &x_ni)?;
                }
            }
        }
        if !left.is_empty() {
            let (dy_no, x_ni) = (Tensor::f_cat(&left, 0)?, Tensor::f_cat(&right, 0)?);
            let mut sum_oi = sum_p.f_view([dy_no.size()[1], x_ni.size()[1]])?;
            let _ = sum_oi.f_addmm_(&dy_no.f_transpose(0, 1)?, &x_ni)?;
        }
        Ok(())
    }
}

impl Term {
    /// The square of the norm of `left^T x`, and what the norm would be at most, were all positions alike.
    fn with_itself(&self) -> Result<(f64, f64)> {
        let (left_nn, x_nn) = (self.left.inner(&self.left)?, inner(&self.x_ni, &self.x_ni)?);
        let sizes = |inner: &Tensor| inner.f_diagonal(0, 0, 1)?.f_clamp_min(0.0)?.f_sqrt();
        let most = sizes(&left_nn)?.f_mul(&sizes(&x_nn)?)?.f_sum(Kind::Double)?;
        Ok((dot(left_nn, &x_nn)?, most.f_double_value(&[])?))
    }

    /// The inner product of the two gradients.
    fn with(&self, other: &Self) -> Result<f64> {
        dot(self.left.inner(&other.left)?, &inner(&self.x_ni, &other.x_ni)?)
    }
}

impl Left {
    /// The inner products of each row of the one with each of the other, (n, m) in fp32.
    fn inner(&self, other: &Self) -> Result<Tensor> {
        Ok(match (self, other) {
            (Self::Dense(one), Self::Dense(other)) => inner(one, other)?,
            (Self::Chosen(one), Self::Dense(other_mo)) => {
                wide(&other_mo.f_index_select(1, one)?)?.f_transpose(0, 1)?
            }
            (Self::Dense(one_no), Self::Chosen(other)) => wide(&one_no.f_index_select(1, other)?)?,
            (Self::Chosen(one), Self::Chosen(other)) => {
                wide(&one.f_unsqueeze(1)?.f_eq_tensor(&other.f_unsqueeze(0)?)?)?
            }
        })
    }
}

fn inner(one_nd: &Tensor, other_md: &Tensor) -> Result<Tensor> {
    Ok(wide(one_nd)?.f_mm(&wide(other_md)?.f_transpose(0, 1)?)?)
}

/// The sum of the products of two matrices, number by number.
fn dot(mut one: Tensor, other: &Tensor) -> Result<f64> {
    Ok(one.f_mul_(other)?.f_sum(Kind::Double)?.f_double_value(&[])?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_units_of_large_weights_are_not_written() {
        let leaves = |shape, positions| Written::WhereCheaper(positions).leaves_out(shape);
        // A layer of SmolLM2-135M, its head, a layer of a model of 8B parameters.
        for (shape, longest) in [((576, 576), 110), ((49152, 576), 180), ((4096, 14336), 430)] {
            assert!(leaves(shape, longest), "{shape:?}");
            assert!(!leaves(shape, longest + 100), "{shape:?}");
        }
        assert!(!leaves((16, 576), 1), "an adapter");
        assert!(!Written::Always.leaves_out((576, 576)) && Written::Never.leaves_out((2, 2)));
    }
}

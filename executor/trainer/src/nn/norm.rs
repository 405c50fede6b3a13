//! Root-mean-square norm: `y = w * (x / sqrt(mean(x^2) + eps))`, the quotient in fp32 and rounded before the product, as
//! the Llama implementation in transformers does it.

use tch::{Kind, Tensor};

use crate::error::Result;

/// A norm over the last dimension.
#[derive(Debug)]
pub struct RmsNorm {
    weight: Tensor,
    eps: f64,
}

impl RmsNorm {
    /// `weight` has the width of the last dimension, in the compute format.
    pub fn new(weight: Tensor, eps: f64) -> Self {
        Self { weight, eps }
    }

    /// `x` of any shape with the weight's width last; the result has its shape and format.
    ///
    /// # Errors
    /// As libtorch reports.
    pub fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let kind = x.kind();
        let x32 = x.f_to_kind(Kind::Float)?;
        let mean = x32.f_square()?.f_mean_dim(&[-1][..], true, Kind::Float)?;
        let normed = x32.f_mul(&mean.f_add_scalar(self.eps)?.f_rsqrt()?)?;
        Ok(normed.f_to_kind(kind)?.f_mul(&self.weight)?)
    }
}

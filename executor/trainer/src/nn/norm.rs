//! Root-mean-square norm: `y = w * (x / sqrt(mean(x^2) + eps))`, the quotient in fp32 and rounded before the product, as
//! the Llama implementation in transformers does it.

use tch::{Kind, Tensor};

use crate::error::Result;
use crate::kernels;
use crate::nn::compute::Kernels;
use crate::optim::parameters::Parameter;
use crate::peft::full::Places;
use crate::peft::lora::Pass;

/// A norm over the last dimension.
#[derive(Debug)]
pub struct RmsNorm {
    weight: Tensor,
    eps: f64,
    /// The weight as a parameter, where it is trained.
    parameter: Option<Parameter>,
}

impl RmsNorm {
    /// `weight` has the width of the last dimension, in the compute format.
    pub fn new(weight: Tensor, eps: f64) -> Self {
        Self { weight, eps, parameter: None }
    }

    /// The weight.
    pub fn weight(&self) -> &Tensor {
        &self.weight
    }

    /// Trains the weight, which moves to the next of `places`.
    ///
    /// # Errors
    /// As libtorch reports.
    pub fn train(&mut self, places: &mut Places<'_>) -> Result<()> {
        let (weight, parameter) = places.take(&self.weight.size())?;
        (self.weight, self.parameter) = (weight, Some(parameter));
        Ok(())
    }

    /// Adds the weight's gradient at `x_nd` for `dy_nd`, `sum dy x rstd`, to its own, where it is trained.
    ///
    /// # Errors
    /// As libtorch reports.
    pub fn add_gradient(
        &self,
        dy_nd: &Tensor,
        x_nd: &Tensor,
        rstd_n: &Tensor,
        by: Kernels,
        pass: &Pass,
    ) -> Result<()> {
        let Some(parameter) = &self.parameter else { return Ok(()) };
        let size = pass.rows_of_a_gradient(rstd_n.numel() as i64);
        let gradients = match by {
            Kernels::Processor => kernels::rms_norm_weight(dy_nd, x_nd, rstd_n, size)?,
            Kernels::Plain | Kernels::Cuda => {
                let normed = x_nd.f_to_kind(Kind::Float)?.f_mul(&rstd_n.f_unsqueeze(1)?)?;
                let normed = normed.f_to_kind(x_nd.kind())?.f_to_kind(Kind::Float)?;
                let each = dy_nd.f_to_kind(Kind::Float)?.f_mul(&normed)?;
                let grouped = each.f_view([-1, size, x_nd.size()[1]])?;
                grouped.f_sum_dim_intlist(&[1_i64][..], false, Kind::Float)?
            }
        };
        pass.add_each(parameter, &gradients)
    }

    /// Rows `x_nd` normed, in their format, and the reciprocal root of each, (n) in fp32.
    ///
    /// # Errors
    /// As libtorch reports.
    pub fn forward(&self, x_nd: &Tensor, by: Kernels) -> Result<(Tensor, Tensor)> {
        match by {
            Kernels::Processor => return kernels::rms_norm(x_nd, &self.weight, self.eps),
            Kernels::Cuda => {
                // Without a rounding between quotient and product.
                let (width, eps) = (self.weight.size(), self.eps);
                let (y, rstd) = x_nd.f_internal_fused_rms_norm(width, Some(&self.weight), eps)?;
                return Ok((y, rstd.f_view([-1])?));
            }
            Kernels::Plain => {}
        }
        let x32 = x_nd.f_to_kind(Kind::Float)?;
        let mean = x32.f_square()?.f_mean_dim(&[-1][..], true, Kind::Float)?;
        let rstd = mean.f_add_scalar(self.eps)?.f_rsqrt()?;
        let normed = x32.f_mul(&rstd)?;
        Ok((normed.f_to_kind(x_nd.kind())?.f_mul(&self.weight)?, rstd.f_view([-1])?))
    }

    /// Adds to `dx_nd` the gradient at `x_nd` for `dy_nd`:
    /// `rstd (w dy) - rstd^3 x mean(w dy x)`.
    ///
    /// # Errors
    /// As libtorch reports.
    pub fn backward(
        &self,
        dy_nd: &Tensor,
        x_nd: &Tensor,
        rstd_n: &Tensor,
        dx_nd: &mut Tensor,
        by: Kernels,
    ) -> Result<()> {
        match by {
            Kernels::Processor => {
                return kernels::rms_norm_backward(dy_nd, x_nd, &self.weight, rstd_n, dx_nd);
            }
            Kernels::Cuda => {
                let rstd = rstd_n.f_unsqueeze(1)?;
                let dx = kernels::fused_rms_norm_backward(dy_nd, x_nd, &self.weight, &rstd)?;
                let _ = dx_nd.f_add_(&dx)?;
                return Ok(());
            }
            Kernels::Plain => {}
        }
        let (x32, rstd) = (x_nd.f_to_kind(Kind::Float)?, rstd_n.f_unsqueeze(1)?);
        let weighted = dy_nd.f_to_kind(Kind::Float)?.f_mul(&self.weight.f_to_kind(Kind::Float)?)?;
        let along = weighted.f_mul(&x32)?.f_mean_dim(&[-1][..], true, Kind::Float)?;
        let back = x32.f_mul(&along.f_mul(&rstd.f_pow_tensor_scalar(3)?)?)?;
        let dx = weighted.f_mul(&rstd)?.f_sub(&back)?;
        let _ = dx_nd.f_add_(&dx.f_to_kind(dx_nd.kind())?)?;
        Ok(())
    }
}

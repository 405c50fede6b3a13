//! Clipping by the global L2 norm, as `torch.nn.utils.clip_grad_norm_`: all gradients are scaled by
//! `min(1, max / (norm + 1e-6))`.

use tch::{Device, Kind, Tensor};

use crate::error::Result;
use crate::kernels;

/// The norm of all gradients, which lie in one flat tensor: a number in fp64 on their device.
///
/// # Errors
/// As libtorch reports.
pub fn global_norm(gradients: &Tensor) -> Result<Tensor> {
    // The sum is in fp64: millions of squares in fp32 would lose digits.
    if gradients.device() == Device::Cpu {
        return Ok(Tensor::f_from_slice(&[kernels::squares(gradients)?.sqrt()])?.f_squeeze()?);
    }
    Ok(gradients.f_linalg_norm(2, None::<&[i64]>, false, Kind::Double)?)
}

/// What clipping to `max_norm` multiplies gradients of this norm by. That is left to the update, which reads them anyway.
pub fn clip_scale(norm: f64, max_norm: Option<f64>) -> f64 {
    max_norm.map_or(1.0, |max_norm| (max_norm / (norm + 1e-6)).min(1.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `torch.nn.utils.clip_grad_norm_` of torch 2.11.0 on gradients [3, 4] and [12]: norm 13, scaled to 1 by 1 / 13.000001.
    #[test]
    fn matches_torch() {
        let gradients = Tensor::from_slice(&[3.0_f32, 4.0, 12.0]);
        let norm = global_norm(&gradients).unwrap().double_value(&[]);
        assert_eq!(norm, 13.0);
        let scale = clip_scale(norm, Some(1.0));
        for (seen, expected) in [3.0, 4.0, 12.0].into_iter().zip([0.230_769, 0.307_692, 0.923_077])
        {
            assert!((scale * seen - expected).abs() < 1e-6, "{scale} {expected}");
        }
        for max_norm in [None, Some(14.0)] {
            assert_eq!(clip_scale(norm, max_norm), 1.0);
        }
    }
}

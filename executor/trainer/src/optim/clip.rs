//! Clipping by the global L2 norm, as `torch.nn.utils.clip_grad_norm_`: all gradients are scaled by
//! `min(1, max / (norm + 1e-6))`.

use tch::Tensor;

use crate::error::Result;
use crate::kernels;

/// The norm of all gradients, which lie in one flat tensor, and what clipping to `max_norm` multiplies them by. That is left to the update,
/// which reads them anyway.
///
/// # Errors
/// As libtorch reports.
pub fn clip_global_norm(gradients: &Tensor, max_norm: Option<f64>) -> Result<(f64, f64)> {
    // The sum is in fp64: millions of squares in fp32 would lose digits.
    let norm = kernels::squares(gradients)?.sqrt();
    let scale = max_norm.map_or(1.0, |max_norm| (max_norm / (norm + 1e-6)).min(1.0));
    Ok((norm, scale))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `torch.nn.utils.clip_grad_norm_` of torch 2.11.0 on gradients [3, 4] and [12]: norm 13, scaled to 1 by 1 / 13.000001.
    #[test]
    fn matches_torch() {
        let gradients = Tensor::from_slice(&[3.0_f32, 4.0, 12.0]);
        let (norm, scale) = clip_global_norm(&gradients, Some(1.0)).unwrap();
        assert_eq!(norm, 13.0);
        for (seen, expected) in [3.0, 4.0, 12.0].into_iter().zip([0.230_769, 0.307_692, 0.923_077])
        {
            assert!((scale * seen - expected).abs() < 1e-6, "{scale} {expected}");
        }
        for max_norm in [None, Some(14.0)] {
            assert_eq!(clip_global_norm(&gradients, max_norm).unwrap(), (13.0, 1.0));
        }
    }
}

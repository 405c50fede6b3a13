//! Clipping by the global L2 norm, as `torch.nn.utils.clip_grad_norm_`: all gradients are scaled by
//! `min(1, max / (norm + 1e-6))`.

use tch::{Kind, Tensor};

use crate::error::Result;

/// The norm of all gradients, which lie in one flat tensor: a number in fp64 on their device.
///
/// # Errors
/// As libtorch reports.
pub fn global_norm(gradients: &Tensor) -> Result<Tensor> {
    // The sum is in fp64: millions of squares in fp32 would lose digits.
    Ok(gradients.f_square()?.f_sum(Kind::Double)?.f_sqrt()?)
}

/// Scales gradients of this norm in place to `max_norm`.
///
/// # Errors
/// As libtorch reports.
pub fn clip(gradients: &mut Tensor, norm: f64, max_norm: Option<f64>) -> Result<()> {
    if let Some(max_norm) = max_norm {
        let scale = max_norm / (norm + 1e-6);
        if scale < 1.0 {
            let _ = gradients.f_mul_scalar_(scale)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `torch.nn.utils.clip_grad_norm_` of torch 2.11.0 on gradients [3, 4] and [12]: norm 13, scaled to 1 by 1 / 13.000001.
    #[test]
    fn matches_torch() {
        let gradients = || Tensor::from_slice(&[3.0_f32, 4.0, 12.0]);
        let values =
            |flat: &Tensor| -> Vec<f64> { (0..3).map(|i| flat.double_value(&[i])).collect() };
        let mut clipped = gradients();
        assert_eq!(global_norm(&clipped).unwrap().double_value(&[]), 13.0);
        clip(&mut clipped, 13.0, Some(1.0)).unwrap();
        for (seen, expected) in values(&clipped).into_iter().zip([0.230_769, 0.307_692, 0.923_077])
        {
            assert!((seen - expected).abs() < 1e-6, "{seen} {expected}");
        }
        for max_norm in [None, Some(14.0)] {
            let mut kept = gradients();
            clip(&mut kept, 13.0, max_norm).unwrap();
            assert_eq!(values(&kept), [3.0, 4.0, 12.0]);
        }
    }
}

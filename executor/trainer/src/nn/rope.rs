//! Rotary position embedding (arXiv 2104.09864) in the rotate-half form, with the scalings of long-context models.
//!
//! Angles are computed in fp32 whatever the compute format, then cast. Scalings as in transformers'
//! `modeling_rope_utils`: linear, dynamic NTK, Llama 3, `YaRN` (arXiv 2309.00071).

use std::f64::consts::TAU;

use tch::{Kind, Tensor};

use crate::device;
use crate::error::Result;
use crate::kernels;
use crate::nn::compute::Kernels;

/// The rotation of a model.
#[derive(Debug, Clone, PartialEq)]
pub struct RopeConfig {
    /// Width of a head; all of it is rotated.
    pub head_dim: i64,
    /// Base of the frequencies.
    pub theta: f64,
    /// The longest sequence that the model was made for.
    pub max_position: i64,
    /// How frequencies are stretched.
    pub scaling: RopeScaling,
}

/// How frequencies are stretched for longer contexts.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum RopeScaling {
    /// Not at all.
    None,
    /// All by the same factor.
    Linear {
        /// The factor.
        factor: f64,
    },
    /// The base grows with the sequence beyond `max_position`.
    Dynamic {
        /// The factor.
        factor: f64,
    },
    /// Low frequencies by the factor, high ones not, smooth between.
    Llama3 {
        /// The factor.
        factor: f64,
        /// Turns in the original context below which a frequency is low.
        low: f64,
        /// Turns in the original context above which a frequency is high.
        high: f64,
        /// The original context in tokens.
        original: f64,
    },
    /// A ramp between interpolated and original frequencies, and a factor on cosine and sine.
    Yarn {
        /// The factor.
        factor: f64,
        /// The original context in tokens.
        original: f64,
        /// Turns above which a frequency is kept.
        beta_fast: f64,
        /// Turns below which a frequency is interpolated.
        beta_slow: f64,
        /// Factor on cosine and sine; computed where absent.
        attention_factor: Option<f64>,
        /// Numerator of the computed factor.
        mscale: Option<f64>,
        /// Denominator of the computed factor.
        mscale_all_dim: Option<f64>,
        /// Whether the ramp's ends are rounded to whole dimensions.
        truncate: bool,
    },
}

impl RopeConfig {
    /// Inverse frequencies, `head_dim / 2` of them, for sequences of `length` tokens.
    pub fn inverse_frequencies(&self, length: i64) -> Vec<f64> {
        let dim = self.head_dim as f64;
        let plain =
            |theta: f64| (0..self.head_dim / 2).map(move |i| theta.powf(-2.0 * i as f64 / dim));
        match self.scaling {
            RopeScaling::None => plain(self.theta).collect(),
            RopeScaling::Linear { factor } => plain(self.theta).map(|f| f / factor).collect(),
            RopeScaling::Dynamic { factor } => {
                let max = self.max_position as f64;
                let length = (length as f64).max(max);
                let grown = (factor * length / max - (factor - 1.0)).powf(dim / (dim - 2.0));
                plain(self.theta * grown).collect()
            }
            RopeScaling::Llama3 { factor, low, high, original } => plain(self.theta)
                .map(|f| {
                    let wavelength = TAU / f;
                    if wavelength < original / high {
                        f
                    } else if wavelength > original / low {
                        f / factor
                    } else {
                        let smooth = (original / wavelength - low) / (high - low);
                        (1.0 - smooth) * f / factor + smooth * f
                    }
                })
                .collect(),
            RopeScaling::Yarn { factor, original, beta_fast, beta_slow, truncate, .. } => {
                let turn_dim =
                    |turns: f64| dim * (original / (turns * TAU)).ln() / (2.0 * self.theta.ln());
                let (mut low, mut high) = (turn_dim(beta_fast), turn_dim(beta_slow));
                if truncate {
                    (low, high) = (low.floor(), high.ceil());
                }
                let low = low.max(0.0);
                // A ramp of no width would divide by zero.
                let high =
                    if high.min(dim - 1.0) > low { high.min(dim - 1.0) } else { low + 0.001 };
                plain(self.theta)
                    .enumerate()
                    .map(|(i, f)| {
                        let interpolated = ((i as f64 - low) / (high - low)).clamp(0.0, 1.0);
                        f / factor * interpolated + f * (1.0 - interpolated)
                    })
                    .collect()
            }
        }
    }

    /// Factor on cosine and sine.
    pub fn attention_factor(&self) -> f64 {
        let RopeScaling::Yarn { factor, attention_factor, mscale, mscale_all_dim, .. } =
            self.scaling
        else {
            return 1.0;
        };
        let scale = |m: f64| if factor <= 1.0 { 1.0 } else { 0.1 * m * factor.ln() + 1.0 };
        attention_factor.unwrap_or_else(|| match (mscale, mscale_all_dim) {
            (Some(m), Some(all)) if m != 0.0 && all != 0.0 => scale(m) / scale(all),
            _ => scale(1.0),
        })
    }

    /// Cosine and sine for `positions_bt`, of which `count` are told apart, rounded to `kind`. Equal rows may be given once (b = 1).
    ///
    /// # Errors
    /// As libtorch reports.
    pub fn tables(&self, positions_bt: &Tensor, count: i64, kind: Kind) -> Result<Rotation> {
        let frequencies: Vec<f32> =
            self.inverse_frequencies(count).iter().map(|&f| f as f32).collect();
        let frequencies =
            device::send(&Tensor::f_from_slice(&frequencies)?, positions_bt.device())?;
        let positions = positions_bt.f_reshape([-1, 1])?.f_to_kind(Kind::Float)?;
        let angles = positions.f_mul(&frequencies)?;
        let factor = self.attention_factor();
        let table = |t: Tensor| -> Result<Tensor> {
            Ok(t.f_mul_scalar(factor)?.f_to_kind(kind)?.f_to_kind(Kind::Float)?.f_contiguous()?)
        };
        Ok(Rotation { cos: table(angles.f_cos()?)?, sin: table(angles.f_sin()?)? })
    }
}

/// Cosine and sine of one batch, each (b t, k / 2) or, where all rows are alike, (t, k / 2), in fp32.
#[derive(Debug)]
pub struct Rotation {
    cos: Tensor,
    sin: Tensor,
}

impl Rotation {
    /// Turns the first `heads` heads of each row of `x_nc` in place, or back where `inverse`.
    ///
    /// # Errors
    /// As libtorch reports.
    pub fn turn(
        &self,
        x_nc: &mut Tensor,
        heads: i64,
        width: i64,
        inverse: bool,
        by: Kernels,
    ) -> Result<()> {
        if by == Kernels::Processor {
            return kernels::rope(x_nc, (&self.cos, &self.sin), heads, width, inverse);
        }
        let (half, rows) = (width / 2, self.cos.size()[0]);
        let table = |t: &Tensor| -> Result<Tensor> {
            Ok(t.f_view([1, rows, 1, half])?.f_to_kind(x_nc.kind())?)
        };
        let (cos, sin) = (table(&self.cos)?, table(&self.sin)?);
        let back = sin.f_neg()?;
        let (sin, back) = if inverse { (back, sin) } else { (sin, back) };
        let turned = x_nc.f_narrow(1, 0, heads * width)?.f_view([-1, rows, heads, width])?;
        let (mut low, mut high) = (turned.f_narrow(3, 0, half)?, turned.f_narrow(3, half, half)?);
        let new_low = low.f_mul(&cos)?.f_addcmul_(&high, &back)?;
        let new_high = high.f_mul(&cos)?.f_addcmul_(&low, &sin)?;
        low.f_copy_(&new_low)?;
        high.f_copy_(&new_high)?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Values of transformers' `_compute_llama3_parameters` for Llama 3.1, which computes in fp32: hence 2e-6.
    #[test]
    fn llama3_frequencies_match_transformers() {
        let scaling = RopeScaling::Llama3 { factor: 8.0, low: 1.0, high: 4.0, original: 8192.0 };
        let rope = RopeConfig { head_dim: 128, theta: 5e5, max_position: 131_072, scaling };
        let f = rope.inverse_frequencies(10);
        for (i, expected) in [
            (0, 1.0),
            (16, 0.037_606_03),
            (28, 0.003_211_446),
            (29, 0.002_166_570_6),
            (30, 0.001_371_893_7),
            (32, 0.000_524_846_02),
            (34, 0.000_178_507_79),
            (35, 9.556_212_2e-5),
            (36, 7.784_665_5e-5),
            (63, 3.068_925_9e-7),
        ] {
            assert!((f[i] / expected - 1.0).abs() < 2e-6, "{i}: {} {expected}", f[i]);
        }
    }
}

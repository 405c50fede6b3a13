//! An adapter as a value: settings and flat parameters; and how several are laid into one of higher rank.

use serde::{Deserialize, Serialize};
use tch::Tensor;

use crate::error::Result;
use crate::optim::parameters::Parameters;
use crate::peft::lora::LoraSettings;
use crate::rng::Rng;

/// An adapter on the layers that the model's own is on.
#[derive(Debug)]
pub struct Adapter {
    /// Its settings.
    pub settings: LoraSettings,
    /// Its parameters, laid out as those of a model with these settings.
    pub values: Tensor,
}

/// The part of an adapter's settings that changes while a run goes on.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Shape {
    /// Rank.
    pub rank: i64,
    /// Scale before division by the rank.
    pub alpha: f64,
    /// Divide by the root of the rank.
    pub rslora: bool,
}

impl Shape {
    /// That of `settings`.
    pub fn of(settings: &LoraSettings) -> Self {
        let LoraSettings { rank, alpha, rslora, .. } = *settings;
        Self { rank, alpha, rslora }
    }

    /// `settings` with this shape.
    pub fn put_on(self, settings: &LoraSettings) -> LoraSettings {
        let Self { rank, alpha, rslora } = self;
        LoraSettings { rank, alpha, rslora, ..settings.clone() }
    }
}

/// Zeros laid out as `parameters` are, for another rank.
///
/// # Errors
/// As libtorch reports.
pub fn layout(parameters: &Parameters, rank: i64) -> Result<Parameters> {
    let shapes = parameters.named()?.into_iter().map(|(name, tensor)| {
        let size = tensor.size();
        let shape = if is_a(&name) { vec![rank, size[1]] } else { vec![size[0], rank] };
        (name, shape)
    });
    Parameters::zeros(shapes.collect(), parameters.values.device())
}

/// Lays `part` into `whole` from rank `offset` on: A as it is, B times `factor`.
///
/// # Errors
/// As libtorch reports.
pub fn lay(whole: &Parameters, part: &Parameters, offset: i64, factor: f64) -> Result<()> {
    let _no_grad = tch::no_grad_guard();
    for ((name, into), (_, from)) in whole.named()?.into_iter().zip(part.named()?) {
        if is_a(&name) {
            into.f_narrow(0, offset, from.size()[0])?.f_copy_(&from)?;
        } else {
            into.f_narrow(1, offset, from.size()[1])?.f_copy_(&from.f_mul_scalar(factor)?)?;
        }
    }
    Ok(())
}

/// The flat `values` of an adapter of `rank`, laid out as `parameters` are.
///
/// # Errors
/// As libtorch reports.
pub fn laid_out(parameters: &Parameters, rank: i64, values: &Tensor) -> Result<Parameters> {
    let whole = layout(parameters, rank)?;
    let _no_grad = tch::no_grad_guard();
    whole.values.shallow_clone().f_copy_(values)?;
    Ok(whole)
}

/// Whether a parameter is an A, (r, in); else it is a B, (out, r).
pub fn is_a(name: &str) -> bool {
    name.contains(".lora_A.")
}

/// A fresh adapter of `rank`: A uniform in +-1/sqrt(in), B zero, as [`crate::peft::lora::Lora::new`] makes it.
///
/// # Errors
/// As libtorch reports.
pub fn fresh(parameters: &Parameters, rank: i64, rng: &mut Rng) -> Result<Parameters> {
    let fresh = layout(parameters, rank)?;
    let _no_grad = tch::no_grad_guard();
    for (name, mut tensor) in fresh.named()? {
        if is_a(&name) {
            let mut values = vec![0_f32; tensor.numel()];
            let bound = 1.0 / (tensor.size()[1] as f32).sqrt();
            rng.fill_uniform(&mut values, -bound, bound);
            tensor.f_copy_(&Tensor::f_from_slice(&values)?.f_view_as(&tensor)?)?;
        }
    }
    Ok(fresh)
}

//! `AdamW` (arXiv 1711.05101), as `torch.optim.AdamW(fused=True)` computes it:
//!
//! `p -= lr wd p; m = b1 m + (1 - b1) g; v = b2 v + (1 - b2) g^2; p -= lr / (1 - b1^t) m / (sqrt(v / (1 - b2^t)) + eps)`.
//!
//! Moments are explicit fp32 tensors: libtorch's own optimizer classes can neither be saved nor restored.

use tch::Tensor;

use crate::error::Result;
use crate::kernels::{self, AdamWStep};
use crate::optim::parameters::Parameters;

/// Constants of the update.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct AdamWSettings {
    /// Decay rates of the moments.
    pub betas: [f64; 2],
    /// Added to the root of the second moment.
    pub eps: f64,
    /// Decoupled weight decay.
    pub weight_decay: f64,
}

/// The optimizer with its state.
#[derive(Debug)]
pub struct AdamW {
    settings: AdamWSettings,
    parameters: Parameters,
    first: Tensor,
    second: Tensor,
    /// Updates made.
    pub step: u64,
}

impl AdamW {
    /// An optimizer of `parameters`, with moments at zero.
    ///
    /// # Errors
    /// As libtorch reports.
    pub fn new(parameters: Parameters, settings: AdamWSettings) -> Result<Self> {
        let zeros = || parameters.values.f_zeros_like();
        let (first, second) = (zeros()?, zeros()?);
        Ok(Self { settings, parameters, first, second, step: 0 })
    }

    /// The parameters with their names.
    ///
    /// # Errors
    /// As libtorch reports.
    pub fn parameters(&self) -> Result<Vec<(String, Tensor)>> {
        self.parameters.named()
    }

    /// The moments as they are saved: named `first.` and `second.` and the parameter's name.
    ///
    /// # Errors
    /// As libtorch reports.
    pub fn moments(&self) -> Result<Vec<(String, Tensor)>> {
        let names: Vec<String> = self.parameters()?.into_iter().map(|(name, _)| name).collect();
        let mut all = Vec::with_capacity(2 * names.len());
        for (kind, flat) in [("first", &self.first), ("second", &self.second)] {
            let named = names.iter().map(|name| format!("{kind}.{name}"));
            all.extend(named.zip(self.parameters.views(flat)?));
        }
        Ok(all)
    }

    /// The parameters as they are computed with, under their names.
    ///
    /// # Errors
    /// As libtorch reports.
    pub fn computed(&self) -> Result<Vec<(String, Tensor)>> {
        self.parameters.named_in(self.parameters.computed())
    }

    /// The gradients that have come in, all in one.
    pub fn gradients(&self) -> Tensor {
        self.parameters.gradients.shallow_clone()
    }

    /// Clears the gradients without an update.
    ///
    /// # Errors
    /// As libtorch reports.
    pub fn discard_gradients(&mut self) -> Result<()> {
        self.parameters.clear_gradients()
    }

    /// Updates the parameters with the gradients times `scale`, and clears the gradients.
    ///
    /// # Errors
    /// As libtorch reports.
    pub fn update(&mut self, learning_rate: f64, scale: f64) -> Result<()> {
        let AdamWSettings { betas, eps, weight_decay } = self.settings;
        self.step += 1;
        let (mut values, mut gradients) =
            (self.parameters.values.shallow_clone(), self.parameters.gradients.shallow_clone());
        kernels::adamw(
            &mut values,
            &mut gradients,
            (&mut self.first, &mut self.second),
            self.parameters.copy_mut(),
            AdamWStep { step: self.step, rate: learning_rate, betas, weight_decay, eps, scale },
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `torch.optim.AdamW(lr=.1, weight_decay=.01)` of torch 2.11.0 on p = [1, -2] with g = [.5, -1], then [.1, .2].
    #[test]
    fn matches_torch() {
        let shapes = vec![("p".to_string(), vec![2])];
        let mut parameters = Parameters::zeros(shapes, tch::Device::Cpu).unwrap();
        parameters.values.copy_(&Tensor::from_slice(&[1.0_f32, -2.0]));
        let settings = AdamWSettings { betas: [0.9, 0.999], eps: 1e-8, weight_decay: 0.01 };
        let mut adam = AdamW::new(parameters.share(), settings).unwrap();
        for (gradient, expected) in
            [([0.5_f32, -1.0], [0.899, -1.898]), ([0.1, 0.2], [0.817_796_95, -1.844_999_43])]
        {
            parameters.gradients.copy_(&Tensor::from_slice(&gradient));
            adam.update(0.1, 1.0).unwrap();
            for (i, value) in expected.iter().enumerate() {
                let seen = parameters.values.double_value(&[i as i64]);
                assert!((seen - value).abs() < 1e-6, "{seen} {value}");
            }
            assert_eq!(parameters.gradients.abs().max().double_value(&[]), 0.0);
        }
    }
}

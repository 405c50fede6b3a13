//! `AdamW` (arXiv 1711.05101), in the order of operations of `torch.optim.AdamW`:
//!
//! `p -= lr wd p; m = b1 m + (1 - b1) g; v = b2 v + (1 - b2) g^2; p -= lr / (1 - b1^t) m / (sqrt(v / (1 - b2^t)) + eps)`.
//!
//! Moments are explicit fp32 tensors: libtorch's own optimizers can neither be saved nor restored. All updates are in
//! place.

use tch::Tensor;

use crate::error::Result;

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
    parameters: Vec<(String, Tensor)>,
    /// First moments, in the order of the parameters.
    pub first: Vec<Tensor>,
    /// Second moments, in the order of the parameters.
    pub second: Vec<Tensor>,
    /// Updates made.
    pub step: u64,
}

impl AdamW {
    /// An optimizer for fp32 leaves, with moments at zero.
    ///
    /// # Errors
    /// As libtorch reports.
    pub fn new(parameters: Vec<(String, Tensor)>, settings: AdamWSettings) -> Result<Self> {
        let zeros = || -> Result<Vec<Tensor>> {
            parameters.iter().map(|(_, p)| Ok(p.f_zeros_like()?.f_detach()?)).collect()
        };
        let (first, second) = (zeros()?, zeros()?);
        Ok(Self { settings, parameters, first, second, step: 0 })
    }

    /// The parameters with their names.
    pub fn parameters(&self) -> &[(String, Tensor)] {
        &self.parameters
    }

    /// The gradients that have come in, in the order of the parameters.
    pub fn gradients(&self) -> Vec<Tensor> {
        self.parameters.iter().map(|(_, p)| p.grad()).filter(Tensor::defined).collect()
    }

    /// Clears the gradients without an update.
    ///
    /// # Errors
    /// As libtorch reports.
    pub fn discard_gradients(&mut self) -> Result<()> {
        let _no_grad = tch::no_grad_guard();
        for mut gradient in self.gradients() {
            let _ = gradient.f_zero_()?;
        }
        Ok(())
    }

    /// Updates every parameter that has a gradient, and clears the gradients.
    ///
    /// # Errors
    /// As libtorch reports.
    pub fn update(&mut self, learning_rate: f64) -> Result<()> {
        let _no_grad = tch::no_grad_guard();
        let AdamWSettings { betas: [b1, b2], eps, weight_decay } = self.settings;
        self.step += 1;
        let power = i32::try_from(self.step).unwrap_or(i32::MAX);
        let correction1 = 1.0 - b1.powi(power);
        let correction2 = (1.0 - b2.powi(power)).sqrt();
        for (index, (_, parameter)) in self.parameters.iter().enumerate() {
            let mut gradient = parameter.grad();
            if !gradient.defined() {
                continue;
            }
            let mut p = parameter.shallow_clone();
            if weight_decay != 0.0 {
                p = p.f_mul_scalar_(1.0 - learning_rate * weight_decay)?;
            }
            let (m, v) = (&mut self.first[index], &mut self.second[index]);
            let _ = m.f_lerp_(&gradient, 1.0 - b1)?;
            let _ =
                v.f_mul_scalar_(b2)?.f_addcmul_(&gradient, &gradient.f_mul_scalar(1.0 - b2)?)?;
            let denominator = v.f_sqrt()?.f_div_scalar_(correction2)?.f_add_scalar_(eps)?;
            let _ = p.f_addcdiv_(&m.f_mul_scalar(-learning_rate / correction1)?, &denominator)?;
            let _ = gradient.f_zero_()?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `torch.optim.AdamW(lr=.1, weight_decay=.01)` of torch 2.11.0 on p = [1, -2] with g = [.5, -1], then [.1, .2].
    #[test]
    fn matches_torch() {
        let parameter = Tensor::from_slice(&[1.0_f32, -2.0]).set_requires_grad(true);
        let settings = AdamWSettings { betas: [0.9, 0.999], eps: 1e-8, weight_decay: 0.01 };
        let mut adam = AdamW::new(vec![("p".into(), parameter.shallow_clone())], settings).unwrap();
        for (gradient, expected) in
            [([0.5_f32, -1.0], [0.899, -1.898]), ([0.1, 0.2], [0.817_796_95, -1.844_999_43])]
        {
            (&parameter * Tensor::from_slice(&gradient)).sum(tch::Kind::Float).backward();
            adam.update(0.1).unwrap();
            for (i, value) in expected.iter().enumerate() {
                let seen = parameter.double_value(&[i as i64]);
                assert!((seen - value).abs() < 1e-6, "{seen} {value}");
            }
        }
    }
}

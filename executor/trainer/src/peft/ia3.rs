//! IA3 (arXiv 2205.05638): learned factors. `y = l (W x + b)`, or of a feedforward layer `y = W (l x) + b`.
//!
//! The factors are fp32 and begin at one, as in PEFT; products with them are rounded to the compute format. [`crate::nn::linear`] holds the
//! layers that they are in.

use tch::{Kind, Tensor};
use trainyard_openapi::extension::TargetModules;

use crate::arch::CausalLm;
use crate::error::Result;
use crate::optim::parameters::{Parameter, Parameters};
use crate::peft::lora::{Pass, check_targets, ends_in};

/// Settings of the method.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ia3Settings {
    /// The layers, by PEFT's rule for names.
    pub target_modules: Vec<String>,
    /// Of them, those whose input is rescaled.
    pub feedforward_modules: Vec<String>,
}

impl Ia3Settings {
    fn targets(&self, path: &str) -> bool {
        self.target_modules.iter().any(|name| ends_in(path, name))
    }

    /// PEFT asks here for the ending alone, dot or not.
    fn is_feedforward(&self, path: &str) -> bool {
        self.feedforward_modules.iter().any(|name| path.ends_with(name))
    }
}

/// The factors of one projection.
#[derive(Debug)]
pub struct Ia3 {
    /// (out, 1), or (1, in) of a feedforward layer.
    factors: Parameter,
    /// Whether they are of the input.
    pub feedforward: bool,
}

impl Ia3 {
    /// Rows `x_nc` times the factors.
    ///
    /// # Errors
    /// As libtorch reports.
    pub fn scaled(&self, x_nc: &Tensor) -> Result<Tensor> {
        Ok(x_nc.f_mul(&self.factors.value.f_view([1, -1])?)?.f_to_kind(x_nc.kind())?)
    }

    /// Adds the factors' gradient where `dy_nc` is that of what [`Ia3::scaled`] gave for `x_nc`: the sum over rows of `dy x`.
    ///
    /// # Errors
    /// As libtorch reports.
    pub fn add_gradient(&self, dy_nc: &Tensor, x_nc: &Tensor, pass: &Pass) -> Result<()> {
        let each_nc = dy_nc.f_to_kind(Kind::Float)?.f_mul(x_nc)?;
        let (groups, width) = (pass.groups(), x_nc.size()[1]);
        let of_groups = each_nc.f_view([groups, -1, width])?;
        let sums = of_groups.f_sum_dim_intlist(&[1_i64][..], true, Kind::Float)?;
        pass.add_columns(&self.factors, (0, width), &sums)
    }
}

impl CausalLm {
    /// Puts factors of one on the layers that `settings` names.
    ///
    /// # Errors
    /// A user error where a name matches nothing.
    pub(crate) fn attach_ia3(&mut self, settings: &Ia3Settings) -> Result<()> {
        let paths: Vec<&str> =
            self.projections().map(|(_, projection)| projection.name.as_str()).collect();
        check_targets(&TargetModules::Names(settings.target_modules.clone()), &paths)?;
        let shapes = self
            .projections()
            .filter(|(_, projection)| settings.targets(&projection.name))
            .map(|(inputs, projection)| {
                let shape = match settings.is_feedforward(&projection.name) {
                    true => vec![1, inputs],
                    false => vec![projection.out, 1],
                };
                (format!("base_model.model.{}.ia3_l", projection.name), shape)
            })
            .collect();
        let parameters = Parameters::zeros(shapes, self.device())?;
        let _ = parameters.values.shallow_clone().f_fill_(1.0)?;
        let mut each = parameters.each()?.into_iter();
        for projection in self.projections_mut() {
            let feedforward = settings.is_feedforward(&projection.name);
            projection.ia3 = match settings.targets(&projection.name) {
                true => each.next().map(|factors| Ia3 { factors, feedforward }),
                false => None,
            };
        }
        self.set_parameters(parameters);
        Ok(())
    }
}

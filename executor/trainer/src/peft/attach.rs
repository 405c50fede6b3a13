//! How a method's parameters come into a model: fresh ones, or those of a file.

use crate::arch::CausalLm;
use crate::error::{Result, TrainerError};
use crate::nn::linear::Projection;
use crate::peft::AdapterSettings;
use crate::rng::Rng;
use crate::weights::WeightSource;

impl CausalLm {
    /// Makes the parameters of a method, as fresh ones begin.
    ///
    /// # Errors
    /// A user error where the settings do not fit the model.
    pub fn attach(&mut self, settings: &AdapterSettings, rng: &mut Rng) -> Result<()> {
        match settings {
            AdapterSettings::Lora(settings) => self.attach_lora(settings, rng),
            AdapterSettings::Full => self.attach_full(),
            AdapterSettings::Ia3(settings) => self.attach_ia3(settings),
            AdapterSettings::Prompt { tokens } => self.attach_prompt(*tokens, rng),
            AdapterSettings::Prefix { tokens } => self.attach_prefix(*tokens, rng),
            AdapterSettings::Head => self.attach_head(),
        }
    }

    /// The projections, to attach adapters.
    pub(crate) fn projections_mut(&mut self) -> impl Iterator<Item = &mut Projection> {
        let linears = self.body.blocks.iter_mut().flat_map(|block| block.linears_mut());
        linears.flat_map(|linear| &mut linear.projections)
    }

    /// The projections with their inputs, in PEFT's order.
    pub(crate) fn projections(&self) -> impl Iterator<Item = (i64, &Projection)> {
        let linears = self.body.blocks.iter().flat_map(|block| block.linears());
        linears.flat_map(|linear| {
            linear.projections.iter().map(|projection| (linear.inputs(), projection))
        })
    }

    /// The last parts of the paths of the adapted layers, sorted: PEFT's `target_modules`.
    pub fn target_suffixes(&self) -> Vec<String> {
        let adapted = self
            .projections()
            .filter(|(_, projection)| projection.lora.is_some() || projection.ia3.is_some());
        let mut names: Vec<String> = adapted
            .filter_map(|(_, projection)| projection.name.rsplit('.').next())
            .map(ToString::to_string)
            .collect();
        names.sort_unstable();
        names.dedup();
        names
    }

    /// Copies an adapter's values in; the names must be just those of [`CausalLm::parameters`].
    ///
    /// # Errors
    /// A checkpoint error naming what is missing, unknown or of another shape.
    pub fn load_adapter(&mut self, source: &dyn WeightSource) -> Result<()> {
        let parameters = self.parameters().named()?;
        for (name, mut parameter) in
            parameters.iter().map(|(name, tensor)| (name, tensor.shallow_clone()))
        {
            let value = source.tensor(name)?.ok_or_else(|| {
                TrainerError::Checkpoint(format!("the adapter has no tensor '{name}'"))
            })?;
            if value.size() != parameter.size() {
                let (seen, want) = (value.size(), parameter.size());
                return Err(TrainerError::Checkpoint(format!(
                    "tensor '{name}' has shape {seen:?}, not {want:?}"
                )));
            }
            parameter.f_copy_(&value.f_to_device(self.compute.device)?)?;
        }
        self.parameters().refresh()?;
        match source
            .names()
            .into_iter()
            .find(|name| !parameters.iter().any(|(known, _)| known == name))
        {
            Some(name) => {
                Err(TrainerError::Checkpoint(format!("the adapter has an unknown tensor '{name}'")))
            }
            None => Ok(()),
        }
    }
}

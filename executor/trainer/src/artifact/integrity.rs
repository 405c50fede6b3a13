//! A run checks its own result before it is handed back: one that learned nothing, is not finite, or does not load again as
//! it was is no result.

use std::path::Path;

use tch::{Kind, Tensor};

use crate::arch::config::ModelConfig;
use crate::arch::{CausalLm, ModelBatch};
use crate::artifact::description::AdapterDescription;
use crate::artifact::model;
use crate::error::{Result, TrainerError};
use crate::nn::compute::copied;
use crate::peft::AdapterSettings;
use crate::rng::Rng;
use crate::run::INIT_STREAM;
use crate::weights::safetensors::SafetensorsSource;
use crate::weights::{WeightSource, require};

/// Checks that every parameter is finite and that training changed something.
///
/// # Errors
/// `integrity_check_failed` naming the tensor.
pub fn check_parameters(
    adapter: &AdapterDescription,
    parameters: &[(String, Tensor)],
) -> Result<()> {
    for (name, parameter) in parameters {
        if parameter.f_isfinite()?.f_all()?.f_int64_value(&[])? == 0 {
            return Err(TrainerError::Integrity(format!(
                "'{name}' holds values that are not finite"
            )));
        }
    }
    match adapter.settings {
        AdapterSettings::Lora(_) => check_moved(parameters),
        AdapterSettings::Full => {
            check_differs(parameters, &SafetensorsSource::open_dir(&adapter.base_dir)?)
        }
        // Where these start depends on the model: the reload tells.
        AdapterSettings::Ia3(_)
        | AdapterSettings::Prompt { .. }
        | AdapterSettings::Prefix { .. }
        | AdapterSettings::Head => Ok(()),
    }
}

/// A weight that moved less than its format can hold is still that of the base.
fn check_differs(parameters: &[(String, Tensor)], base: &dyn WeightSource) -> Result<()> {
    for (name, parameter) in parameters {
        let mut before = parameter.f_empty_like()?;
        require(base, name, &mut before)?;
        if !parameter.f_equal(&before)? {
            return Ok(());
        }
    }
    Err(TrainerError::Integrity("training changed nothing: every weight is the base's".into()))
}

/// B starts at zero, so an adapter whose every B is zero is still its base model.
fn check_moved(parameters: &[(String, Tensor)]) -> Result<()> {
    for (_, parameter) in parameters.iter().filter(|(name, _)| name.contains(".lora_B.")) {
        if parameter.f_count_nonzero(None)?.f_int64_value(&[])? > 0 {
            return Ok(());
        }
    }
    Err(TrainerError::Integrity("training changed nothing: every lora_B is still zero".into()))
}

/// Loads what was written into `directory`, an adapter on the same base or a whole model, and compares logits on `batch`. An adapter goes into a
/// fresh one, as the run of `seed` began, and is in the model afterwards.
///
/// # Errors
/// `integrity_check_failed` with the difference, or where the written adapter is the fresh one.
pub fn check_reload(
    model: &mut CausalLm,
    (adapter, seed): (&AdapterDescription, u64),
    directory: &Path,
    batch: &ModelBatch,
) -> Result<()> {
    let before = model.logits(batch)?;
    let after = match &adapter.settings {
        AdapterSettings::Full => {
            let config = ModelConfig::read(&directory.join(model::CONFIG))?;
            let weights = SafetensorsSource::open_dir(directory)?;
            CausalLm::load(&weights, &config, model.device(), model.kind())?.logits(batch)?
        }
        settings => {
            model.attach(settings, &mut Rng::new(seed, INIT_STREAM))?;
            let fresh = copied(&model.parameters().values)?;
            let weights = directory.join(adapter.weights());
            model.load_adapter(&SafetensorsSource::open_file(&weights)?)?;
            if model.parameters().values.f_equal(&fresh)? {
                let message = "training changed nothing: the adapter is as it began";
                return Err(TrainerError::Integrity(message.into()));
            }
            model.logits(batch)?
        }
    };
    let difference =
        before.f_sub(&after)?.f_abs()?.f_max()?.f_to_kind(Kind::Double)?.f_double_value(&[])?;
    if difference == 0.0 {
        return Ok(());
    }
    Err(TrainerError::Integrity(format!(
        "what was written gives other logits when loaded (by {difference})"
    )))
}

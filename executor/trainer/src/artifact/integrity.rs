//! A run checks its own result before it is handed back: an adapter that learned nothing, is not finite, or does not load again as
//! it was is no result.

use std::path::Path;

use tch::{Kind, Tensor};

use crate::arch::{CausalLm, ModelBatch};
use crate::error::{Result, TrainerError};
use crate::nn::compute::copied;
use crate::peft::AdapterSettings;
use crate::rng::Rng;
use crate::run::INIT_STREAM;
use crate::weights::safetensors::SafetensorsSource;

/// Checks that every parameter is finite and that training changed something.
///
/// # Errors
/// `integrity_check_failed` naming the tensor.
pub fn check_parameters(settings: &AdapterSettings, parameters: &[(String, Tensor)]) -> Result<()> {
    for (name, parameter) in parameters {
        if parameter.f_isfinite()?.f_all()?.f_int64_value(&[])? == 0 {
            return Err(TrainerError::Integrity(format!(
                "'{name}' holds values that are not finite"
            )));
        }
    }
    match settings {
        AdapterSettings::Lora(_) => check_moved(parameters),
        // Where these start depends on the model: the reload tells.
        AdapterSettings::Ia3(_)
        | AdapterSettings::Prompt { .. }
        | AdapterSettings::Prefix { .. }
        | AdapterSettings::Head
        | AdapterSettings::Full => Ok(()),
    }
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

/// Loads the written adapter into a fresh one on the same base, as the run of `seed` began, and compares logits on `batch`. The model holds the
/// reloaded adapter afterwards.
///
/// # Errors
/// `integrity_check_failed` with the difference, or where the written adapter is the fresh one.
pub fn check_reload(
    model: &mut CausalLm,
    (settings, seed): (&AdapterSettings, u64),
    weights: &Path,
    batch: &ModelBatch,
) -> Result<()> {
    let before = model.logits(batch)?;
    model.attach(settings, &mut Rng::new(seed, INIT_STREAM))?;
    let fresh = copied(&model.parameters().values)?;
    model.load_adapter(&SafetensorsSource::open_file(weights)?)?;
    if model.parameters().values.f_equal(&fresh)? {
        let message = "training changed nothing: the adapter is as it began";
        return Err(TrainerError::Integrity(message.into()));
    }
    let after = model.logits(batch)?;
    let difference =
        before.f_sub(&after)?.f_abs()?.f_max()?.f_to_kind(Kind::Double)?.f_double_value(&[])?;
    if difference == 0.0 {
        return Ok(());
    }
    Err(TrainerError::Integrity(format!(
        "the written adapter gives other logits when loaded (by {difference})"
    )))
}

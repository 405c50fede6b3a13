//! PEFT's on-disk form: `adapter_config.json` and `adapter_model.safetensors`.
//!
//! The configuration has the keys that have been stable for long; PEFT, vLLM and llama.cpp read them all.

use std::path::Path;

use serde_json::{Value, json};
use tch::Tensor;

use crate::artifact::description::AdapterDescription;
use crate::error::{Result, TrainerError};
use crate::peft::lora::LoraSettings;
use crate::weights::writer;

/// The weights' file name.
pub const WEIGHTS: &str = "adapter_model.safetensors";

/// Writes both files into `directory`, durably.
///
/// # Errors
/// Where the system refuses.
pub fn write_adapter(
    directory: &Path,
    parameters: &[(String, Tensor)],
    adapter: &AdapterDescription,
    settings: &LoraSettings,
) -> Result<()> {
    let AdapterDescription { base_model, target_suffixes, .. } = adapter;
    // PEFT holds alpha as it is given; a whole number stays one, for readers that want an integer.
    let alpha = if settings.alpha.fract() == 0.0 {
        json!(settings.alpha as i64)
    } else {
        json!(settings.alpha)
    };
    let target_modules = match &settings.target_modules {
        trainyard_openapi::extension::TargetModules::AllLinear => target_suffixes,
        // Names may be whole paths, which narrow the choice to single layers: they are kept as given.
        trainyard_openapi::extension::TargetModules::Names(names) => names,
    };
    let config = json!({
        "alpha_pattern": {},
        "auto_mapping": null,
        "base_model_name_or_path": base_model,
        "bias": "none",
        "fan_in_fan_out": false,
        "inference_mode": true,
        "init_lora_weights": true,
        "layers_pattern": null,
        "layers_to_transform": null,
        "lora_alpha": alpha,
        "lora_dropout": settings.dropout,
        "modules_to_save": null,
        "peft_type": "LORA",
        "r": settings.rank,
        "rank_pattern": {},
        "revision": null,
        "target_modules": target_modules,
        "task_type": "CAUSAL_LM",
        "use_dora": false,
        "use_rslora": settings.rslora,
    });
    write(directory, parameters, &config)
}

/// Writes weights and `config` into `directory`, durably.
///
/// # Errors
/// Where the system refuses.
pub fn write(directory: &Path, parameters: &[(String, Tensor)], config: &Value) -> Result<()> {
    let json = serde_json::to_vec_pretty(config)
        .map_err(|error| TrainerError::Checkpoint(error.to_string()))?;
    writer::write_durably(&directory.join("adapter_config.json"), &json)?;
    writer::write(&directory.join(WEIGHTS), parameters)
}

//! A whole model on disk, as transformers writes one: `config.json` and `model.safetensors`.

use std::fs;
use std::path::Path;

use serde_json::{Map, Value, json};
use tch::{Kind, Tensor};

use crate::error::{Result, TrainerError};
use crate::weights::writer;

/// The weights' file name.
pub const WEIGHTS: &str = "model.safetensors";
/// The configuration's.
pub const CONFIG: &str = "config.json";

/// Writes both files into `directory`, durably: the configuration is that of the model in `base`, but for the number format.
///
/// # Errors
/// Where the base's configuration cannot be read; where the system refuses.
pub fn write_model(directory: &Path, parameters: &[(String, Tensor)], base: &Path) -> Result<()> {
    let path = base.join(CONFIG);
    let text = fs::read(&path).map_err(TrainerError::io(&path))?;
    let damaged =
        |error: serde_json::Error| TrainerError::Checkpoint(format!("{}: {error}", path.display()));
    let mut config: Map<String, Value> = serde_json::from_slice(&text).map_err(damaged)?;
    // transformers 5 calls it "dtype" and reads both.
    let key = if config.contains_key("dtype") { "dtype" } else { "torch_dtype" };
    config.insert(key.to_string(), json!(format_of(parameters)));
    config.remove("_name_or_path");
    let json = serde_json::to_vec_pretty(&config).map_err(damaged)?;
    writer::write_durably(&directory.join(CONFIG), &json)?;
    writer::write(&directory.join(WEIGHTS), parameters)
}

/// The number format of `parameters`, as transformers names it.
pub fn format_of(parameters: &[(String, Tensor)]) -> &'static str {
    match parameters.first().map(|(_, tensor)| tensor.kind()) {
        Some(Kind::BFloat16) => "bfloat16",
        Some(Kind::Half) => "float16",
        _ => "float32",
    }
}

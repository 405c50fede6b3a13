//! How a result or checkpoint describes itself: what was trained, on what, and the files that say so.

use std::path::{Path, PathBuf};

use tch::Tensor;

use crate::arch::config::ModelConfig;
use crate::artifact::{model, peft, peft_config};
use crate::error::Result;
use crate::peft::AdapterSettings;
use crate::weights::writer;

/// What was trained, on what.
#[derive(Debug, Clone)]
pub struct AdapterDescription {
    /// The base model, as the user names it.
    pub base_model: String,
    /// The directory that it was read from.
    pub base_dir: PathBuf,
    /// The method.
    pub settings: AdapterSettings,
    /// The base model's shape.
    pub model: ModelConfig,
    /// The last parts of the adapted layers' paths.
    pub target_suffixes: Vec<String>,
}

impl AdapterDescription {
    /// The name of the file with the weights.
    pub const fn weights(&self) -> &'static str {
        match self.settings {
            AdapterSettings::Lora(_)
            | AdapterSettings::Ia3(_)
            | AdapterSettings::Prompt { .. }
            | AdapterSettings::Prefix { .. } => peft::WEIGHTS,
            AdapterSettings::Head => "head.safetensors",
            AdapterSettings::Full => model::WEIGHTS,
        }
    }

    /// Writes the weights and the configuration that loads them into `directory`, durably.
    ///
    /// # Errors
    /// Where the system refuses.
    pub fn write(&self, directory: &Path, parameters: &[(String, Tensor)]) -> Result<()> {
        let base = &self.base_model;
        let config = match &self.settings {
            AdapterSettings::Lora(settings) => {
                return peft::write_adapter(directory, parameters, self, settings);
            }
            AdapterSettings::Ia3(settings) => peft_config::ia3(base, settings),
            AdapterSettings::Prompt { tokens } => peft_config::prompt(base, &self.model, *tokens),
            AdapterSettings::Prefix { tokens } => peft_config::prefix(base, &self.model, *tokens),
            AdapterSettings::Head => {
                return writer::write(&directory.join(self.weights()), parameters);
            }
            AdapterSettings::Full => {
                return model::write_model(directory, parameters, &self.base_dir);
            }
        };
        peft::write(directory, parameters, &config)
    }
}

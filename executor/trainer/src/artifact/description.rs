//! How a result or checkpoint describes itself: what was trained, on what, and the files that say so.

use std::path::{Path, PathBuf};

use tch::Tensor;

use crate::artifact::{model, peft};
use crate::error::Result;
use crate::peft::AdapterSettings;

/// What was trained, on what.
#[derive(Debug, Clone)]
pub struct AdapterDescription {
    /// The base model, as the user names it.
    pub base_model: String,
    /// The directory that it was read from.
    pub base_dir: PathBuf,
    /// The method.
    pub settings: AdapterSettings,
    /// The last parts of the adapted layers' paths.
    pub target_suffixes: Vec<String>,
}

impl AdapterDescription {
    /// The name of the file with the weights.
    pub const fn weights(&self) -> &'static str {
        match self.settings {
            AdapterSettings::Lora(_) => peft::WEIGHTS,
            AdapterSettings::Full => model::WEIGHTS,
        }
    }

    /// Writes the weights and the configuration that loads them into `directory`, durably.
    ///
    /// # Errors
    /// Where the system refuses.
    pub fn write(&self, directory: &Path, parameters: &[(String, Tensor)]) -> Result<()> {
        match &self.settings {
            AdapterSettings::Lora(settings) => {
                peft::write_adapter(directory, parameters, self, settings)
            }
            AdapterSettings::Full => model::write_model(directory, parameters, &self.base_dir),
        }
    }
}

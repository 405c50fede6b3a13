//! What is trained. A method is one file here, one variant of [`AdapterSettings`] and one of `trainyard_plan::AdapterPlan`.

mod attach;
pub mod full;
pub mod head;
pub mod ia3;
pub mod lora;
pub mod prefix;
pub mod prompt;

use trainyard_openapi::error::ErrorCode;
use trainyard_plan::AdapterPlan;

use crate::error::{Result, TrainerError};
use crate::peft::ia3::Ia3Settings;
use crate::peft::lora::LoraSettings;

/// A method with its settings.
#[derive(Debug, Clone, PartialEq)]
pub enum AdapterSettings {
    /// Low-rank adaptation.
    Lora(LoraSettings),
    /// All weights of the model.
    Full,
    /// Learned factors.
    Ia3(Ia3Settings),
    /// Learned embeddings before the sequence.
    Prompt {
        /// How many.
        tokens: i64,
    },
    /// Learned keys and values before the sequence.
    Prefix {
        /// Of how many positions.
        tokens: i64,
    },
    /// A new output head alone.
    Head,
}

impl AdapterSettings {
    /// Those of a plan.
    pub fn of(plan: &AdapterPlan) -> Self {
        match plan {
            AdapterPlan::Lora(plan) => Self::Lora(LoraSettings {
                rank: i64::from(plan.rank),
                alpha: plan.alpha,
                dropout: plan.dropout,
                target_modules: plan.target_modules.clone(),
                rslora: plan.rslora,
            }),
            AdapterPlan::Full(_) => Self::Full,
            AdapterPlan::Ia3(plan) => Self::Ia3(Ia3Settings {
                target_modules: plan.target_modules.clone(),
                feedforward_modules: plan.feedforward_modules.clone(),
            }),
            AdapterPlan::Prompt(_) => Self::Prompt { tokens: i64::from(plan.virtual_tokens()) },
            AdapterPlan::Prefix(_) => Self::Prefix { tokens: i64::from(plan.virtual_tokens()) },
            AdapterPlan::Head(_) => Self::Head,
        }
    }

    /// The settings of low-rank adaptation, for what no other method can do.
    ///
    /// # Errors
    /// A refusal where the method is another one.
    pub fn lora(&self) -> Result<&LoraSettings> {
        match self {
            Self::Lora(settings) => Ok(settings),
            Self::Full | Self::Ia3(_) | Self::Prompt { .. } | Self::Prefix { .. } | Self::Head => {
                let param = "trainyard.adapter.type".to_string();
                let message = "trainyard.adapter.type: stages are trained with 'lora' alone";
                Err(TrainerError::request(ErrorCode::NotAvailable, Some(param), message))
            }
        }
    }
}

impl From<LoraSettings> for AdapterSettings {
    fn from(settings: LoraSettings) -> Self {
        Self::Lora(settings)
    }
}

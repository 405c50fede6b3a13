//! What is trained. A method is one file here, one variant of [`AdapterSettings`] and one of `trainyard_plan::AdapterPlan`.

pub mod full;
pub mod lora;

use trainyard_openapi::error::ErrorCode;
use trainyard_plan::AdapterPlan;

use crate::error::{Result, TrainerError};
use crate::peft::lora::LoraSettings;

/// A method with its settings.
#[derive(Debug, Clone, PartialEq)]
pub enum AdapterSettings {
    /// Low-rank adaptation.
    Lora(LoraSettings),
    /// All weights of the model.
    Full,
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
        }
    }

    /// The settings of low-rank adaptation, for what no other method can do.
    ///
    /// # Errors
    /// A refusal where the method is another one.
    pub fn lora(&self) -> Result<&LoraSettings> {
        match self {
            Self::Lora(settings) => Ok(settings),
            Self::Full => {
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

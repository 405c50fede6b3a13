//! IA3 (arXiv 2205.05638): a learned factor for each output of some layers, and for each input of those that lead out of the MLP.
//!
//! Defaults are those of PEFT 0.21 (`utils/constants.py`).

use serde::{Deserialize, Serialize};
use trainyard_openapi::error::ApiError;
use trainyard_openapi::extension::{Adapter, AdapterKind, TargetModules};
use trainyard_openapi::preflight::Compatibility;

use super::{PATH, check_names, consumer};
use crate::check::invalid;
use crate::facts::ModelFacts;

/// Peak rate where the client names none: the paper's.
pub(super) const LEARNING_RATE: f64 = 3e-3;
/// Bytes of a factor: itself, its gradient and two moments, all in fp32.
const PARAMETER_BYTES: u64 = 16;
/// The layer that leads out of the MLP, in every architecture that is trained here.
const FEEDFORWARD: &str = "down_proj";

/// Learned rescaling of activations.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ia3Plan {
    /// The layers.
    pub target_modules: Vec<String>,
    /// Of them, those whose input is rescaled and not their output.
    pub feedforward_modules: Vec<String>,
}

pub(super) fn resolve(adapter: Adapter, model: &ModelFacts) -> Result<Ia3Plan, ApiError> {
    let Adapter { target_modules, feedforward_modules, .. } = adapter;
    let target_modules = match target_modules {
        TargetModules::Names(names) => {
            check_names("target_modules", &names)?;
            names
        }
        TargetModules::AllLinear => defaults(model)?,
    };
    let feedforward_modules = match feedforward_modules {
        Some(names) => {
            // None at all is a choice too.
            if !names.is_empty() {
                check_names("feedforward_modules", &names)?;
            }
            names
        }
        None => target_modules.iter().filter(|name| name.ends_with(FEEDFORWARD)).cloned().collect(),
    };
    if let Some(name) = feedforward_modules.iter().find(|name| !target_modules.contains(name)) {
        let targets = target_modules.join(", ");
        let text = format!("'{name}' must be one of 'target_modules' ({targets})");
        return Err(invalid(&format!("{PATH}.feedforward_modules"), text));
    }
    Ok(Ia3Plan { target_modules, feedforward_modules })
}

fn defaults(model: &ModelFacts) -> Result<Vec<String>, ApiError> {
    let attention = match model.model_type.as_str() {
        "llama" | "mistral" => ["k_proj", "v_proj"],
        "qwen2" | "qwen3" => ["q_proj", "v_proj"],
        other => {
            let text = format!("must name layers: there is no usual choice for '{other}' models");
            return Err(invalid(&format!("{PATH}.target_modules"), text));
        }
    };
    Ok(attention.into_iter().chain([FEEDFORWARD]).map(ToString::to_string).collect())
}

impl Ia3Plan {
    pub(super) fn shown(&self) -> Adapter {
        Adapter {
            kind: AdapterKind::Ia3,
            target_modules: TargetModules::Names(self.target_modules.clone()),
            feedforward_modules: Some(self.feedforward_modules.clone()),
            ..Adapter::default()
        }
    }

    pub(super) fn bytes(&self, model: &ModelFacts) -> u64 {
        self.parameters(model) * PARAMETER_BYTES
    }

    /// From above: each name is a layer of every block, as wide as the widest.
    pub(super) fn parameters(&self, model: &ModelFacts) -> u64 {
        let widest = model.hidden_size.max(model.intermediate_size);
        self.target_modules.len() as u64 * widest * model.layers
    }
}

/// From the sources of PEFT 0.21, vLLM 0.33 and llama.cpp.
pub(super) fn compatibility() -> Vec<Compatibility> {
    let merge = "merge it into the model with PEFT's merge_and_unload and use that";
    let refusal = |who: &str| vec![format!("{who} loads LoRA adapters alone: {merge}")];
    vec![
        consumer("peft", Vec::new(), Vec::new()),
        consumer("vllm", Vec::new(), refusal("vLLM")),
        consumer("llama.cpp", Vec::new(), refusal("the converter")),
    ]
}

//! A new output head alone, from the model's own: the rest stays as it is, and a head that is the embedding becomes one of its own.

use serde::{Deserialize, Serialize};
use trainyard_openapi::extension::Precision;
use trainyard_openapi::preflight::Compatibility;

use super::consumer;
use crate::facts::ModelFacts;

/// Peak rate where the client names none: between those of full fine-tuning and of `LoRA`, as one layer moves less than all of them do and a
/// step of it is as large as the rate in every weight.
pub(super) const LEARNING_RATE: f64 = 1e-4;
/// Bytes of a parameter: its master, its gradient and two moments, all in fp32.
const PARAMETER_BYTES: u64 = 16;

/// The head has no settings of its own.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct HeadPlan {}

/// With its copy in the compute format, which fp32 has no need of.
pub(super) fn bytes(model: &ModelFacts, precision: Precision) -> u64 {
    let copy = match precision {
        Precision::Fp32 => 0,
        Precision::Bf16 | Precision::Fp16 => 2,
    };
    parameters(model) * (PARAMETER_BYTES + copy)
}

/// The head's weights.
pub(super) fn parameters(model: &ModelFacts) -> u64 {
    model.vocab_size * model.hidden_size
}

/// From the sources of PEFT 0.21, vLLM 0.33 and llama.cpp.
pub(super) fn compatibility() -> Vec<Compatibility> {
    let refusal = || {
        vec![
            "the result is the output head's weight: put it into the model as the card says, save that, and use the whole model"
                .to_string(),
        ]
    };
    ["peft", "vllm", "llama.cpp"].map(|name| consumer(name, Vec::new(), refusal())).into()
}

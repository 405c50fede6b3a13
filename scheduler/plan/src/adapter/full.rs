//! Full fine-tuning: every weight of the model is trained.

use serde::{Deserialize, Serialize};
use trainyard_openapi::extension::Precision;
use trainyard_openapi::preflight::Compatibility;

use super::consumer;
use crate::facts::ModelFacts;

/// Peak rate where the client names none: a tenth of what `LoRA` takes ("LoRA Without Regret", Thinking Machines, 2025), and what recipes for
/// supervised fine-tuning of small models use (Alpaca, Tulu 3, alignment-handbook: 5e-6 to 2e-5).
pub(super) const LEARNING_RATE: f64 = 2e-5;
/// Bytes of a parameter: its master, its gradient and two moments, all in fp32.
const PARAMETER_BYTES: u64 = 16;
/// Bytes of its copy that is computed with, which fp32 has no need of.
const COPY_BYTES: u64 = 2;

/// Full fine-tuning has no settings of its own.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct FullPlan {}

pub(super) fn bytes(model: &ModelFacts, precision: Precision) -> u64 {
    let copy = match precision {
        Precision::Fp32 => 0,
        Precision::Bf16 | Precision::Fp16 => COPY_BYTES,
    };
    model.parameters_estimate() * (PARAMETER_BYTES + copy)
}

/// Bytes of the gradient of one unit of a private job: in the format of the products that give it.
pub(super) fn unit_bytes(model: &ModelFacts, precision: Precision) -> u64 {
    let number = match precision {
        Precision::Fp32 => 4,
        Precision::Bf16 | Precision::Fp16 => 2,
    };
    model.parameters_estimate() * number
}

/// From the sources of PEFT 0.21, vLLM 0.33 and llama.cpp.
pub(super) fn compatibility() -> Vec<Compatibility> {
    let note = |text: &str| vec![text.to_string()];
    vec![
        consumer(
            "peft",
            Vec::new(),
            note(
                "the result is a whole model, not an adapter: load it with AutoModelForCausalLM.from_pretrained",
            ),
        ),
        consumer(
            "vllm",
            note("serve the directory as a model: vllm serve path/to/directory"),
            Vec::new(),
        ),
        consumer("llama.cpp", note("convert it with convert_hf_to_gguf.py"), Vec::new()),
    ]
}

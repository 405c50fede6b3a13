//! What a job needs of memory, from above: by the figures of plan and model alone.

use std::collections::BTreeMap;

use trainyard_openapi::extension::Precision;
use trainyard_openapi::preflight::MemoryFit;

use crate::facts::{HostFacts, ModelFacts};
use crate::plan::Plan;

/// What libtorch, tokenizer and the process take before anything is loaded: measured, rounded up.
const ENGINE_BYTES: u64 = 400 << 20;
/// Rows of logits that the chunked loss holds at once.
const LOSS_ROWS: u64 = 512;

/// Compares what `plan` needs with what the host has.
pub fn memory_fit(plan: &Plan, model: &ModelFacts, host: HostFacts) -> MemoryFit {
    let parts = parts(plan, model, plan.batching.micro_batch_size);
    let estimated_bytes = parts.values().sum();
    let total = |micro: u32| self::parts(plan, model, micro).values().sum::<u64>();
    let largest = (1..=plan.batch_size).rev().find(|micro| total(*micro) <= host.memory_bytes);
    MemoryFit {
        fits: estimated_bytes <= host.memory_bytes,
        estimated_bytes,
        limit_bytes: host.memory_bytes,
        parts,
        largest_micro_batch_size: largest,
    }
}

fn parts(plan: &Plan, model: &ModelFacts, micro: u32) -> BTreeMap<String, u64> {
    let width = bytes_of(plan.precision);
    let tokens = u64::from(micro) * u64::from(plan.sequence.max_length);
    let frozen = match plan.adapter.trains_base() {
        true => 0,
        false => model.parameters_estimate(),
    };
    let activations = match plan.batching.gradient_checkpointing {
        // One vector a block stays; one block is computed again at a time.
        true => {
            tokens * model.layers * model.hidden_size * width
                + activation_bytes(model, tokens, plan.precision) / model.layers
        }
        false => activation_bytes(model, tokens, plan.precision),
    };
    let side_by_side = match plan.privacy {
        Some(_) => u64::from(micro) * plan.adapter.unit_bytes(model),
        None => 0,
    };
    let parts = [
        ("weights", frozen * width),
        ("adapter", plan.adapter.bytes(model, plan.precision) + side_by_side),
        ("activations", activations),
        ("loss", LOSS_ROWS.min(tokens) * model.vocab_size * 4 * 2),
        ("engine", ENGINE_BYTES),
    ];
    parts.map(|(name, bytes)| (name.to_string(), bytes)).into()
}

/// Bytes of a number in the compute format.
const fn bytes_of(precision: Precision) -> u64 {
    match precision {
        Precision::Fp32 => 4,
        Precision::Bf16 | Precision::Fp16 => 2,
    }
}

/// Bytes of activations that a backward pass keeps for `tokens` tokens: about 16 vectors of the model's width and 4 of
/// the MLP's a block, measured on Llama-family `LoRA` steps and rounded up.
pub(crate) fn activation_bytes(model: &ModelFacts, tokens: u64, precision: Precision) -> u64 {
    let numbers = model.layers * (16 * model.hidden_size + 4 * model.intermediate_size);
    tokens.saturating_mul(numbers * bytes_of(precision))
}

//! Learned positions before each sequence: their embeddings (prompt tuning, arXiv 2104.08691), or their keys and values in every block (prefix
//! tuning, arXiv 2101.00190).

use serde::{Deserialize, Serialize};
use trainyard_openapi::error::ApiError;
use trainyard_openapi::extension::Adapter;
use trainyard_openapi::limits;
use trainyard_openapi::preflight::Compatibility;

use super::{PATH, consumer};
use crate::check::{invalid, within};
use crate::facts::ModelFacts;
use crate::plan::SequencePlan;

/// Peak rate where the client names none: that of PEFT's examples of prefix tuning; those of prompt tuning go up to three times it.
pub(super) const LEARNING_RATE: f64 = 1e-2;
/// Bytes of a parameter: itself, its gradient and two moments in fp32, and a copy in the compute format.
const PARAMETER_BYTES: u64 = 18;
/// The fewest tokens of an example that may be left.
const TOKENS_MIN: u32 = 8;

/// Learned embeddings before the sequence.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PromptPlan {
    /// How many.
    pub num_virtual_tokens: u32,
}

/// Learned keys and values before the sequence.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PrefixPlan {
    /// Of how many positions.
    pub num_virtual_tokens: u32,
}

/// How many there are, which has to leave room in a sequence.
pub(super) fn resolve(adapter: &Adapter, sequence: &SequencePlan) -> Result<u32, ApiError> {
    let (path, tokens) = (format!("{PATH}.num_virtual_tokens"), adapter.num_virtual_tokens);
    within(&path, tokens, 1..=limits::VIRTUAL_TOKENS_MAX)?;
    let length = sequence.max_length;
    if tokens.saturating_add(TOKENS_MIN) > length {
        let text = format!(
            "must leave {TOKENS_MIN} tokens of the {length} of 'trainyard.sequence.max_length' to an example, but is {tokens}"
        );
        return Err(invalid(&path, text));
    }
    Ok(tokens)
}

impl PromptPlan {
    pub(super) fn bytes(&self, model: &ModelFacts) -> u64 {
        self.parameters(model) * PARAMETER_BYTES
    }

    pub(super) fn parameters(&self, model: &ModelFacts) -> u64 {
        u64::from(self.num_virtual_tokens) * model.hidden_size
    }
}

impl PrefixPlan {
    pub(super) fn bytes(&self, model: &ModelFacts) -> u64 {
        self.parameters(model) * PARAMETER_BYTES
    }

    /// From above: keys and values count as wide as queries.
    pub(super) fn parameters(&self, model: &ModelFacts) -> u64 {
        u64::from(self.num_virtual_tokens) * 2 * model.layers * model.hidden_size
    }
}

/// From the sources of PEFT 0.21, vLLM 0.33 and llama.cpp.
pub(super) fn compatibility(learned: &str) -> Vec<Compatibility> {
    let refusal = |who: &str| vec![format!("{who} has no place for learned {learned}")];
    vec![
        consumer("peft", Vec::new(), Vec::new()),
        consumer("vllm", Vec::new(), refusal("vLLM")),
        consumer("llama.cpp", Vec::new(), refusal("llama.cpp")),
    ]
}

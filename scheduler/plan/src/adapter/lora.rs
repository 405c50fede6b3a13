//! Low-rank adaptation (arXiv 2106.09685): limits, defaults, size, and who can use the result.
//!
//! What consumers take is from the sources of PEFT 0.21, vLLM 0.33 (`lora/peft_helper.py`, `config/lora.py`) and llama.cpp's
//! `convert_lora_to_gguf.py`.

use serde::{Deserialize, Serialize};
use trainyard_openapi::error::ApiError;
use trainyard_openapi::extension::{Adapter, AdapterKind, TargetModules};
use trainyard_openapi::limits;
use trainyard_openapi::preflight::Compatibility;

use super::{PATH, check_names, consumer};
use crate::check::{invalid, positive, within};
use crate::continual::ContinualPlan;
use crate::facts::ModelFacts;
use crate::lineage::rank_of_result;

/// Peak rate where the client names none. Ten times what full fine-tuning takes, as "LoRA Without Regret" (Thinking Machines, 2025) found
/// best across ranks and model sizes.
pub(super) const LEARNING_RATE: f64 = 2e-4;
/// Bytes of an adapter parameter: itself, its gradient and two moments in fp32, and a copy in the compute format.
const PARAMETER_BYTES: u64 = 18;
/// The ranks that vLLM can be set to hold.
const VLLM_RANKS: [u32; 9] = [1, 8, 16, 32, 64, 128, 256, 320, 512];
/// What vLLM holds where nothing is set.
const VLLM_RANK_DEFAULT: u32 = 16;

/// Low-rank adaptation.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LoraPlan {
    /// Rank r.
    pub rank: u32,
    /// The update is scaled by alpha / r, or alpha / sqrt(r) with `rslora`.
    pub alpha: f64,
    /// Dropout on the adapter's input.
    pub dropout: f64,
    /// The layers.
    pub target_modules: TargetModules,
    /// Rank-stabilised scaling.
    pub rslora: bool,
}

pub(super) fn resolve(adapter: Adapter, model: &ModelFacts) -> Result<LoraPlan, ApiError> {
    let Adapter { rank, alpha, dropout, target_modules, rslora, .. } = adapter;
    let field = |name: &str| format!("{PATH}.{name}");
    within(&field("rank"), rank, 1..=limits::RANK_MAX)?;
    if u64::from(rank) > model.hidden_size {
        let width = model.hidden_size;
        let reason = format!("must not exceed the model's width of {width}, but is {rank}");
        return Err(invalid(&field("rank"), reason));
    }
    positive(&field("alpha"), alpha)?;
    if !(0.0..1.0).contains(&dropout) {
        let reason = format!("must be from 0 to below 1, not {dropout}");
        return Err(invalid(&field("dropout"), reason));
    }
    if let TargetModules::Names(names) = &target_modules {
        check_names("target_modules", names)?;
    }
    Ok(LoraPlan { rank, alpha, dropout, target_modules, rslora })
}

impl LoraPlan {
    pub(super) fn shown(&self) -> Adapter {
        let Self { rank, alpha, dropout, target_modules, rslora } = self.clone();
        let kind = AdapterKind::Lora;
        Adapter { kind, rank, alpha, dropout, target_modules, rslora, ..Adapter::default() }
    }

    pub(super) fn bytes(&self, model: &ModelFacts) -> u64 {
        self.parameters(model) * PARAMETER_BYTES
    }

    /// From above: keys and values count as wide as queries.
    pub(super) fn parameters(&self, model: &ModelFacts) -> u64 {
        let (narrow, wide) = (2 * model.hidden_size, model.hidden_size + model.intermediate_size);
        let kinds = [
            ("q_proj", narrow),
            ("k_proj", narrow),
            ("v_proj", narrow),
            ("o_proj", narrow),
            ("gate_proj", wide),
            ("up_proj", wide),
            ("down_proj", wide),
        ];
        let meant = |name: &str| match &self.target_modules {
            TargetModules::Names(names) => names.iter().any(|wanted| wanted.ends_with(name)),
            TargetModules::AllLinear => true,
        };
        let sides: u64 = kinds.iter().filter(|(name, _)| meant(name)).map(|(_, side)| side).sum();
        u64::from(self.rank) * sides * model.layers
    }

    pub(super) fn compatibility(&self, continual: Option<&ContinualPlan>) -> Vec<Compatibility> {
        let rank = rank_of_result(self.rank, continual);
        vec![consumer("peft", Vec::new(), Vec::new()), self.vllm(rank), self.llama_cpp()]
    }

    fn vllm(&self, rank_of_result: u64) -> Compatibility {
        let (mut notes, mut refusals) = (Vec::new(), Vec::new());
        match VLLM_RANKS.into_iter().find(|rank| u64::from(*rank) >= rank_of_result) {
            Some(_) if rank_of_result <= u64::from(VLLM_RANK_DEFAULT) => {}
            Some(rank) => notes.push(format!("start vLLM with --max-lora-rank {rank}")),
            None => refusals.push(format!("vLLM takes ranks up to 512, not {rank_of_result}")),
        }
        if self.names("lm_head") || self.names("embed_tokens") {
            refusals.push("vLLM takes no LoRA on 'lm_head' or 'embed_tokens'".to_string());
        }
        consumer("vllm", notes, refusals)
    }

    fn llama_cpp(&self) -> Compatibility {
        let (mut notes, mut refusals) = (Vec::new(), Vec::new());
        notes.push(
            "convert it with convert_lora_to_gguf.py and the base model's directory".to_string(),
        );
        if self.rslora {
            let alpha = self.alpha * f64::from(self.rank).sqrt();
            refusals.push(format!(
                "the converter ignores 'rslora' and scales by alpha/rank: train with \"rslora\": false and alpha {alpha:.3} for the same update"
            ));
        }
        if self.names("lm_head") || self.names("embed_tokens") {
            refusals.push("the converter ends at LoRA on 'lm_head' or 'embed_tokens'".to_string());
        }
        consumer("llama.cpp", notes, refusals)
    }

    fn names(&self, module: &str) -> bool {
        matches!(&self.target_modules, TargetModules::Names(names) if names.iter().any(|name| name.ends_with(module)))
    }
}

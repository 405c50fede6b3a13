//! What consumers make of the adapter that a plan leads to, so that nobody trains for hours what cannot be served.
//!
//! From the sources of PEFT 0.21, vLLM 0.33 (`lora/peft_helper.py`, `config/lora.py`) and llama.cpp's `convert_lora_to_gguf.py`.

use trainyard_openapi::extension::TargetModules;
use trainyard_openapi::preflight::Compatibility;

use crate::lineage::rank_of_result;
use crate::plan::{AdapterPlan, LoraPlan, Plan};

/// The ranks that vLLM can be set to hold.
const VLLM_RANKS: [u32; 9] = [1, 8, 16, 32, 64, 128, 256, 320, 512];
/// What vLLM holds where nothing is set.
const VLLM_RANK_DEFAULT: u32 = 16;

/// What PEFT, vLLM and llama.cpp would make of it.
pub fn compatibility(plan: &Plan) -> Vec<Compatibility> {
    let AdapterPlan::Lora(lora) = &plan.adapter;
    let rank = rank_of_result(lora.rank, plan.continual.as_ref());
    vec![consumer("peft", Vec::new(), Vec::new()), vllm(lora, rank), llama_cpp(lora)]
}

fn vllm(lora: &LoraPlan, rank_of_result: u64) -> Compatibility {
    let (mut notes, mut refusals) = (Vec::new(), Vec::new());
    match VLLM_RANKS.into_iter().find(|rank| u64::from(*rank) >= rank_of_result) {
        Some(_) if rank_of_result <= u64::from(VLLM_RANK_DEFAULT) => {}
        Some(rank) => notes.push(format!("start vLLM with --max-lora-rank {rank}")),
        None => refusals.push(format!("vLLM takes ranks up to 512, not {rank_of_result}")),
    }
    if names(lora, "lm_head") || names(lora, "embed_tokens") {
        refusals.push("vLLM takes no LoRA on 'lm_head' or 'embed_tokens'".to_string());
    }
    consumer("vllm", notes, refusals)
}

fn llama_cpp(lora: &LoraPlan) -> Compatibility {
    let (mut notes, mut refusals) = (Vec::new(), Vec::new());
    notes
        .push("convert it with convert_lora_to_gguf.py and the base model's directory".to_string());
    if lora.rslora {
        let alpha = lora.alpha * f64::from(lora.rank).sqrt();
        refusals.push(format!(
            "the converter ignores 'rslora' and scales by alpha/rank: train with \"rslora\": false and alpha {alpha:.3} for the same update"
        ));
    }
    if names(lora, "lm_head") || names(lora, "embed_tokens") {
        refusals.push("the converter ends at LoRA on 'lm_head' or 'embed_tokens'".to_string());
    }
    consumer("llama.cpp", notes, refusals)
}

fn names(lora: &LoraPlan, module: &str) -> bool {
    matches!(&lora.target_modules, TargetModules::Names(names) if names.iter().any(|name| name.ends_with(module)))
}

fn consumer(name: &str, mut notes: Vec<String>, refusals: Vec<String>) -> Compatibility {
    let accepted = refusals.is_empty();
    notes.extend(refusals);
    Compatibility { consumer: name.to_string(), accepted, notes }
}

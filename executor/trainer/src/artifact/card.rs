//! The model card: what was trained, on what, how, and what came out, for whoever finds the adapter later.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use trainyard_openapi::extension::Precision;
use trainyard_plan::trainer::RunSpec;

use crate::peft::lora::LoraSettings;
use crate::train::state::RunState;

/// Ranks that vLLM can be told to serve.
const VLLM_RANKS: [i64; 9] = [1, 8, 16, 32, 64, 128, 256, 320, 512];

/// The card as Markdown with the front matter that model hubs read.
pub fn render(
    spec: &RunSpec,
    settings: &LoraSettings,
    state: &RunState,
    reports: &[(&str, BTreeMap<String, u64>)],
    adapter_sha256: &str,
) -> String {
    let base = &spec.model_name;
    let figure = |value: Option<f64>| {
        value.map_or("not measured".to_string(), |value| format!("{value:.4}"))
    };
    let last = state.last_evaluation;
    let precision = match spec.plan.precision {
        Precision::Fp32 => "fp32",
        Precision::Bf16 => "bf16",
        Precision::Fp16 => "fp16",
    };
    let vllm_rank = VLLM_RANKS.iter().find(|&&rank| rank >= settings.rank).copied().unwrap_or(512);
    let mut card = format!(
        "---\nbase_model: {base:?}\nlibrary_name: peft\npipeline_tag: text-generation\ntags:\n- lora\n- trainyard\n---\n\n\
         # LoRA adapter of {base}\n\n\
         Trained by Trainyard {version} (libtorch {libtorch}): {steps} steps, {epochs} epochs, {tokens} tokens, {targets} of them learned, {seconds:.0} s.\n\n\
         | | |\n|---|---|\n\
         | Validation loss before | {initial} |\n| Validation loss after | {loss} |\n| Validation token accuracy after | {accuracy} |\n\
         | Training data (SHA-256) | `{data}` |\n| Base model (fingerprint) | `{model}` |\n| adapter_model.safetensors (SHA-256) | `{adapter_sha256}` |\n\
         | Number format of the base while training | {precision} |\n\n\
         The figures of every step stand in `metrics.csv`.\n\n",
        version = env!("CARGO_PKG_VERSION"),
        libtorch = option_env!("LIBTORCH_VERSION").unwrap_or("of unknown version"),
        steps = state.step,
        epochs = spec.plan.epochs,
        tokens = state.tokens,
        targets = state.target_tokens,
        seconds = state.training_seconds,
        initial = figure(state.initial_valid_loss),
        loss = figure(last.map(|measured| measured.loss)),
        accuracy = figure(last.map(|measured| measured.accuracy)),
        data = state.binding.training_data,
        model = state.binding.model,
    );
    card.push_str("## Data\n\n");
    for (file, report) in reports {
        let counts: Vec<String> =
            report.iter().map(|(name, count)| format!("{name} {count}")).collect();
        let _ = writeln!(card, "- `{file}`: {}", counts.join(", "));
    }
    let _ = write!(
        card,
        "\n## Load it\n\nWith PEFT, on the same base model:\n\n```python\n\
         from peft import PeftModel\nfrom transformers import AutoModelForCausalLM\n\n\
         base = AutoModelForCausalLM.from_pretrained(\"{base}\")\nmodel = PeftModel.from_pretrained(base, \"path/to/this/directory\")\n```\n\n\
         With vLLM: `--enable-lora --max-lora-rank {vllm_rank} --lora-modules name=path/to/this/directory`.\n\n"
    );
    if spec.model.is_file() {
        card.push_str(
            "The base model was a GGUF file; `trainyard-trainer import` writes it as the directory that PEFT and vLLM load.\n\n",
        );
    }
    if let Ok(plan) = serde_json::to_string_pretty(&spec.plan) {
        let _ = write!(
            card,
            "## Plan\n\nEvery setting of the run, resolved:\n\n```json\n{plan}\n```\n"
        );
    }
    card
}

//! What the model card says of a method: its name, its tags, and how its result is loaded.

use crate::peft::AdapterSettings;
use crate::peft::lora::LoraSettings;

/// Ranks that vLLM can be told to serve.
const VLLM_RANKS: [i64; 9] = [1, 8, 16, 32, 64, 128, 256, 320, 512];

/// The parts of the card that differ from method to method.
#[derive(Debug)]
pub struct Loading {
    /// The library that loads the result, by its name on model hubs.
    pub library: &'static str,
    /// The method's tag on model hubs.
    pub tag: &'static str,
    /// What the result is, as in "LoRA adapter of".
    pub what: &'static str,
    /// The section on loading, in Markdown.
    pub text: String,
}

impl Loading {
    /// Those of `settings` on `base`.
    pub fn of(settings: &AdapterSettings, base: &str) -> Self {
        match settings {
            AdapterSettings::Lora(settings) => lora(settings, base),
            AdapterSettings::Full => full(),
        }
    }
}

fn lora(settings: &LoraSettings, base: &str) -> Loading {
    let rank = VLLM_RANKS.iter().find(|&&rank| rank >= settings.rank).copied().unwrap_or(512);
    let text = format!(
        "With PEFT, on the same base model:\n\n```python\n\
         from peft import PeftModel\nfrom transformers import AutoModelForCausalLM\n\n\
         base = AutoModelForCausalLM.from_pretrained(\"{base}\")\nmodel = PeftModel.from_pretrained(base, \"path/to/this/directory\")\n```\n\n\
         With vLLM: `--enable-lora --max-lora-rank {rank} --lora-modules name=path/to/this/directory`.\n\n"
    );
    Loading { library: "peft", tag: "lora", what: "LoRA adapter", text }
}

fn full() -> Loading {
    let text = "With transformers, as any model:\n\n```python\n\
        from transformers import AutoModelForCausalLM, AutoTokenizer\n\n\
        model = AutoModelForCausalLM.from_pretrained(\"path/to/this/directory\")\n\
        tokenizer = AutoTokenizer.from_pretrained(\"path/to/this/directory\")\n```\n\n\
        With vLLM: `vllm serve path/to/this/directory`. For llama.cpp: `convert_hf_to_gguf.py path/to/this/directory`.\n\n";
    Loading {
        library: "transformers",
        tag: "full-fine-tuning",
        what: "Fine-tuned weights",
        text: text.to_string(),
    }
}

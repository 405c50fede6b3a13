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
            AdapterSettings::Ia3(_) => with_peft(base, "ia3", "IA3 adapter", MERGE),
            AdapterSettings::Prompt { .. } => {
                with_peft(base, "prompt-tuning", "Learned prompt", "")
            }
            AdapterSettings::Prefix { .. } => {
                with_peft(base, "prefix-tuning", "Learned prefix", "")
            }
            AdapterSettings::Head => head(base),
        }
    }
}

/// How those who load no such adapter can use it.
const MERGE: &str = "For vLLM or llama.cpp make it part of the model: `model.merge_and_unload().save_pretrained(\"merged\")`.\n\n";

fn in_peft(base: &str) -> String {
    format!(
        "With PEFT, on the same base model:\n\n```python\n\
         from peft import PeftModel\nfrom transformers import AutoModelForCausalLM\n\n\
         base = AutoModelForCausalLM.from_pretrained(\"{base}\")\nmodel = PeftModel.from_pretrained(base, \"path/to/this/directory\")\n```\n\n"
    )
}

fn with_peft(base: &str, tag: &'static str, what: &'static str, more: &str) -> Loading {
    Loading { library: "peft", tag, what, text: format!("{}{more}", in_peft(base)) }
}

fn head(base: &str) -> Loading {
    let text = format!(
        "`head.safetensors` holds `lm_head.weight`, which takes the place of the base model's, also where that was the embedding:\n\n\
         ```python\nfrom safetensors.torch import load_file\nfrom transformers import AutoModelForCausalLM\n\n\
         model = AutoModelForCausalLM.from_pretrained(\"{base}\", tie_word_embeddings=False)\n\
         head = load_file(\"path/to/this/directory/head.safetensors\")[\"lm_head.weight\"]\n\
         model.lm_head.weight.data = head.to(model.dtype)\n```\n\n\
         Saved with `model.save_pretrained(\"model\")` it is a model like any other, for vLLM and llama.cpp too.\n\n"
    );
    Loading { library: "transformers", tag: "head", what: "Output head", text }
}

fn lora(settings: &LoraSettings, base: &str) -> Loading {
    let rank = VLLM_RANKS.iter().find(|&&rank| rank >= settings.rank).copied().unwrap_or(512);
    let vllm = format!(
        "With vLLM: `--enable-lora --max-lora-rank {rank} --lora-modules name=path/to/this/directory`.\n\n"
    );
    with_peft(base, "lora", "LoRA adapter", &vllm)
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

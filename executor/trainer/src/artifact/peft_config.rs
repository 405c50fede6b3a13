//! `adapter_config.json` of the methods beside `LoRA`, with the keys that PEFT writes for them.

use serde_json::{Value, json};

use crate::arch::config::ModelConfig;
use crate::peft::ia3::Ia3Settings;

/// Of IA3.
pub fn ia3(base_model: &str, settings: &Ia3Settings) -> Value {
    json!({
        "auto_mapping": null,
        "base_model_name_or_path": base_model,
        "exclude_modules": null,
        "fan_in_fan_out": false,
        "feedforward_modules": settings.feedforward_modules,
        "inference_mode": true,
        "init_ia3_weights": true,
        "modules_to_save": null,
        "peft_type": "IA3",
        "revision": null,
        "target_modules": settings.target_modules,
        "task_type": "CAUSAL_LM",
    })
}

/// Of prompt tuning. How the embeddings began is of no use to a reader, and older ones know no name for it: `RANDOM` asks for nothing else.
pub fn prompt(base_model: &str, model: &ModelConfig, tokens: i64) -> Value {
    json!({
        "auto_mapping": null,
        "base_model_name_or_path": base_model,
        "inference_mode": true,
        "num_attention_heads": model.heads,
        "num_layers": model.layers,
        "num_transformer_submodules": 1,
        "num_virtual_tokens": tokens,
        "peft_type": "PROMPT_TUNING",
        "prompt_tuning_init": "RANDOM",
        "prompt_tuning_init_text": null,
        "revision": null,
        "task_type": "CAUSAL_LM",
        "token_dim": model.hidden_size,
        "tokenizer_kwargs": null,
        "tokenizer_name_or_path": null,
    })
}

/// Of prefix tuning. Its heads are those of keys, and its width is theirs together.
pub fn prefix(base_model: &str, model: &ModelConfig, tokens: i64) -> Value {
    let width = model.kv_heads * model.head_dim;
    json!({
        "auto_mapping": null,
        "base_model_name_or_path": base_model,
        "encoder_hidden_size": width,
        "inference_mode": true,
        "num_attention_heads": model.kv_heads,
        "num_layers": model.layers,
        "num_transformer_submodules": 1,
        "num_virtual_tokens": tokens,
        "peft_type": "PREFIX_TUNING",
        "prefix_projection": false,
        "revision": null,
        "task_type": "CAUSAL_LM",
        "token_dim": width,
    })
}

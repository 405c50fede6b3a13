//! The tokenizer inside a GGUF file as `tokenizer.json`: byte-level BPE with the split rule that `tokenizer.ggml.pre` names.
//!
//! A split rule is only taken where it is known exactly: a near one would give other tokens than the model was trained on.

use serde_json::{Map, Value, json};

use crate::error::Result;
use crate::import::gguf::{GgufFile, Metadata};
use crate::import::invalid;

/// Split rule of Llama 3: digits by threes.
const LLAMA3_SPLIT: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";
/// Split rule of Qwen 2: digits one by one.
const QWEN2_SPLIT: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";

/// Token types of ggml that are tokens of their own, never made by merging.
const CONTROL: u64 = 3;
const USER_DEFINED: u64 = 4;

/// What is written beside the weights.
#[derive(Debug)]
pub struct Tokens {
    /// `tokenizer.json`.
    pub tokenizer: Value,
    /// `tokenizer_config.json`.
    pub config: Value,
    /// `generation_config.json`.
    pub generation: Value,
    /// `chat_template.jinja`.
    pub chat_template: Option<String>,
    /// Entries of the vocabulary.
    pub vocab_size: usize,
}

/// Reads the tokenizer of `file`.
///
/// # Errors
/// A user error naming the key that is missing or the rule that is not supported.
pub fn read(file: &GgufFile) -> Result<Tokens> {
    let model = file.text("tokenizer.ggml.model")?;
    if model != "gpt2" {
        return Err(invalid(format!(
            "tokenizer model '{model}' is not supported (supported: gpt2, a byte-level BPE)"
        )));
    }
    let rule = split_rule(file.text("tokenizer.ggml.pre")?)?;
    let tokens = file.texts("tokenizer.ggml.tokens")?;
    let merges = file.texts("tokenizer.ggml.merges")?;
    let types = token_types(file, tokens.len())?;
    let mut vocab = Map::new();
    for (id, token) in tokens.iter().enumerate() {
        if vocab.insert((*token).to_string(), id.into()).is_some() {
            return Err(invalid(format!("tokenizer.ggml.tokens: '{token}' is given twice")));
        }
    }
    let mut pairs = Vec::with_capacity(merges.len());
    for (index, merge) in merges.iter().enumerate() {
        // The first character may be a space in no byte-level vocabulary: a space is written as another character there.
        let Some((left, right)) = merge.split_once(' ') else {
            return Err(invalid(format!("tokenizer.ggml.merges[{index}] '{merge}' is no pair")));
        };
        pairs.push(json!([left, right]));
    }
    let added: Vec<Value> = (0..tokens.len())
        .filter(|&id| matches!(types[id], CONTROL | USER_DEFINED))
        .map(|id| {
            json!({"id": id, "content": tokens[id], "single_word": false, "lstrip": false, "rstrip": false,
                   "normalized": false, "special": types[id] == CONTROL})
        })
        .collect();
    let special = |name: &str| -> Result<Option<(u64, String)>> {
        let key = format!("tokenizer.ggml.{name}_token_id");
        let Some(id) = file.unsigned(&key)? else { return Ok(None) };
        match tokens.get(id as usize) {
            Some(token) => Ok(Some((id, (*token).to_string()))),
            None => Err(invalid(format!(
                "metadata key '{key}': {id} is outside the {} tokens",
                tokens.len()
            ))),
        }
    };
    let bos = special("bos")?;
    let adds_bos = file.get("tokenizer.ggml.add_bos_token") == Some(&Metadata::Bool(true));
    let post_processor = match &bos {
        Some((id, token)) if adds_bos => begin_with(*id, token),
        _ => Value::Null,
    };
    let mut config = Map::new();
    let mut generation = Map::new();
    config.insert("tokenizer_class".into(), "PreTrainedTokenizerFast".into());
    for (name, found) in [
        ("bos", bos),
        ("eos", special("eos")?),
        ("pad", special("padding")?),
        ("unk", special("unknown")?),
    ] {
        if let Some((id, token)) = found {
            config.insert(format!("{name}_token"), token.into());
            if name != "unk" {
                generation.insert(format!("{name}_token_id"), id.into());
            }
        }
    }
    let chat_template = match file.get("tokenizer.chat_template") {
        Some(Metadata::Text(text)) => Some(text.clone()),
        _ => None,
    };
    Ok(Tokens {
        tokenizer: json!({
            "version": "1.0",
            "truncation": null,
            "padding": null,
            "added_tokens": added,
            "normalizer": rule.normalizer,
            "pre_tokenizer": rule.pre_tokenizer,
            "post_processor": post_processor,
            "decoder": {"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": true},
            "model": {"type": "BPE", "dropout": null, "unk_token": null, "continuing_subword_prefix": null,
                      "end_of_word_suffix": null, "fuse_unk": false, "byte_fallback": false,
                      "ignore_merges": rule.ignore_merges, "vocab": vocab, "merges": pairs},
        }),
        config: Value::Object(config),
        generation: Value::Object(generation),
        chat_template,
        vocab_size: tokens.len(),
    })
}

/// How text is cut before merging.
struct SplitRule {
    normalizer: Value,
    pre_tokenizer: Value,
    ignore_merges: bool,
}

fn split_rule(name: &str) -> Result<SplitRule> {
    let byte_level = |regex: bool| json!({"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": regex});
    let split = |pattern: &str| {
        let split = json!({"type": "Split", "pattern": {"Regex": pattern}, "behavior": "Isolated", "invert": false});
        json!({"type": "Sequence", "pretokenizers": [split, byte_level(false)]})
    };
    let plain =
        |pre_tokenizer| SplitRule { normalizer: Value::Null, pre_tokenizer, ignore_merges: false };
    Ok(match name {
        "gpt-2" => plain(byte_level(true)),
        "smollm" => {
            let digits = json!({"type": "Digits", "individual_digits": true});
            plain(json!({"type": "Sequence", "pretokenizers": [digits, byte_level(true)]}))
        }
        "llama-bpe" => SplitRule { ignore_merges: true, ..plain(split(LLAMA3_SPLIT)) },
        "qwen2" => SplitRule { normalizer: json!({"type": "NFC"}), ..plain(split(QWEN2_SPLIT)) },
        other => {
            return Err(invalid(format!(
                "tokenizer split rule '{other}' is not supported (supported: gpt-2, smollm, llama-bpe, qwen2)"
            )));
        }
    })
}

fn token_types(file: &GgufFile, count: usize) -> Result<Vec<u64>> {
    let Some(Metadata::List(list)) = file.get("tokenizer.ggml.token_type") else {
        return Err(invalid(
            "metadata key 'tokenizer.ggml.token_type' is missing (expected a list)",
        ));
    };
    if list.len() != count {
        return Err(invalid(format!(
            "tokenizer.ggml.token_type has {} entries for {count} tokens",
            list.len()
        )));
    }
    Ok(list
        .iter()
        .map(|kind| if let Metadata::Unsigned(kind) = kind { *kind } else { 0 })
        .collect())
}

/// A text begins with the token `id`.
fn begin_with(id: u64, token: &str) -> Value {
    let special = json!({"SpecialToken": {"id": token, "type_id": 0}});
    json!({
        "type": "TemplateProcessing",
        "single": [special, {"Sequence": {"id": "A", "type_id": 0}}],
        "pair": [special, {"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 1}}],
        "special_tokens": {token: {"id": token, "ids": [id], "tokens": [token]}},
    })
}

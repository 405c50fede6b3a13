//! GGUF's names and metadata of Llama-family models as Hugging Face has them.
//!
//! llama.cpp stores query and key rows of `llama` models permuted for its own rotation; that is undone here. `qwen2` and `qwen3` are stored
//! as they are.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};
use tch::{Kind, Tensor};

use crate::error::Result;
use crate::import::gguf::{GgufFile, Metadata};
use crate::import::invalid;
use crate::nn::rope::{RopeConfig, RopeScaling};
use crate::weights::WeightSource;

/// Context that Llama 3's frequencies were made for, and the turns between which they are stretched; GGUF has only their result.
const LLAMA3: (f64, f64, f64) = (8192.0, 1.0, 4.0);

/// Heads, and columns of one, at most: far above what any model has.
const SIZE_MAX: i64 = 1 << 20;

/// A GGUF file seen as a Hugging Face model.
#[derive(Debug)]
pub struct LlamaGguf {
    file: GgufFile,
    arch: String,
    /// Hugging Face name to GGUF name.
    names: BTreeMap<String, String>,
    heads: i64,
    kv_heads: i64,
}

impl LlamaGguf {
    /// Reads what the file says of its architecture.
    ///
    /// # Errors
    /// A user error naming the key or tensor.
    pub fn new(file: GgufFile) -> Result<Self> {
        let arch = file.text("general.architecture")?.to_string();
        if !["llama", "qwen2", "qwen3"].contains(&arch.as_str()) {
            return Err(invalid(format!(
                "{}: architecture '{arch}' is not supported (supported: llama, qwen2, qwen3)",
                file.path().display()
            )));
        }
        let heads = file.required(&format!("{arch}.attention.head_count"))?;
        let kv_heads = file.unsigned(&format!("{arch}.attention.head_count_kv"))?.unwrap_or(heads);
        let count = |heads: u64| i64::try_from(heads).ok().filter(|n| (1..=SIZE_MAX).contains(n));
        let (Some(heads), Some(kv_heads)) = (count(heads), count(kv_heads)) else {
            return Err(invalid(format!(
                "{}: {heads} heads and {kv_heads} key heads (must be 1 to {SIZE_MAX})",
                file.path().display()
            )));
        };
        let mut names = BTreeMap::new();
        for gguf in file.tensors().keys() {
            match hugging_face_name(gguf) {
                Some(name) => {
                    if let Some(other) = names.insert(name, gguf.clone()) {
                        let path = file.path().display();
                        return Err(invalid(format!(
                            "{path}: tensors '{other}' and '{gguf}' are the same"
                        )));
                    }
                }
                None if gguf == "rope_freqs.weight" => {}
                None => {
                    let path = file.path().display();
                    return Err(invalid(format!(
                        "{path}: tensor '{gguf}' belongs to no supported architecture"
                    )));
                }
            }
        }
        Ok(Self { file, arch, names, heads, kv_heads })
    }

    /// The file.
    pub fn file(&self) -> &GgufFile {
        &self.file
    }

    /// `model_type` of the configuration.
    pub fn model_type(&self) -> &str {
        &self.arch
    }

    /// `config.json` for weights written in `kind`.
    ///
    /// # Errors
    /// A user error naming the key that is missing or not supported.
    pub fn config(&self, kind: Kind) -> Result<Value> {
        let file = &self.file;
        let key = |name: &str| format!("{}.{name}", self.arch);
        let hidden = file.required(&key("embedding_length"))?;
        let head_dim =
            file.unsigned(&key("attention.key_length"))?.unwrap_or(hidden / self.heads as u64);
        if head_dim > SIZE_MAX as u64 {
            return Err(invalid(format!("heads have {head_dim} columns; the limit is {SIZE_MAX}")));
        }
        let embedding = file.tensors().get("token_embd.weight");
        let vocab = embedding
            .map(|info| info.shape[0])
            .ok_or_else(|| invalid("tensor 'token_embd.weight' is missing"))?;
        let eps = file.number(&key("attention.layer_norm_rms_epsilon"))?;
        let context = file.required(&key("context_length"))?;
        let mut config = json!({
            "architectures": [architecture(&self.arch)],
            "model_type": self.arch,
            "hidden_act": "silu",
            "hidden_size": hidden,
            "intermediate_size": file.required(&key("feed_forward_length"))?,
            "num_hidden_layers": file.required(&key("block_count"))?,
            "num_attention_heads": self.heads,
            "num_key_value_heads": self.kv_heads,
            "head_dim": head_dim,
            "vocab_size": vocab,
            "max_position_embeddings": context,
            // The file holds an fp32 number; its decimal form is what configurations have.
            "rms_norm_eps": round_fp32(eps.unwrap_or(1e-6)),
            "rope_theta": round_fp32(file.number(&key("rope.freq_base"))?.unwrap_or(10_000.0)),
            "rope_scaling": self.rope_scaling(head_dim as i64, context as i64)?,
            "tie_word_embeddings": !file.tensors().contains_key("output.weight"),
            "attention_bias": self.arch == "llama" && file.tensors().contains_key("blk.0.attn_q.bias"),
            "mlp_bias": file.tensors().contains_key("blk.0.ffn_gate.bias"),
            "torch_dtype": if kind == Kind::BFloat16 { "bfloat16" } else { "float32" },
        });
        if let Some(map) = config.as_object_mut() {
            self.token_ids(map)?;
        }
        Ok(config)
    }

    fn token_ids(&self, config: &mut Map<String, Value>) -> Result<()> {
        for (name, key) in
            [("bos_token_id", "bos"), ("eos_token_id", "eos"), ("pad_token_id", "padding")]
        {
            if let Some(id) = self.file.unsigned(&format!("tokenizer.ggml.{key}_token_id"))? {
                config.insert(name.to_string(), id.into());
            }
        }
        Ok(())
    }

    /// The scaling of the rotation, from metadata or, for Llama 3, from the divisors that the file holds.
    fn rope_scaling(&self, head_dim: i64, context: i64) -> Result<Value> {
        if let Some(divisors) = self.file.tensor("rope_freqs.weight")? {
            return self.llama3_scaling(&divisors, head_dim, context);
        }
        let key = |name: &str| format!("{}.rope.scaling.{name}", self.arch);
        let Some(Metadata::Text(kind)) = self.file.get(&key("type")) else {
            return Ok(Value::Null);
        };
        let factor = || -> Result<f64> {
            let factor = self.file.number(&key("factor"))?;
            factor.ok_or_else(|| invalid(format!("metadata key '{}' is missing", key("factor"))))
        };
        match kind.as_str() {
            "none" => Ok(Value::Null),
            "linear" => Ok(json!({"rope_type": "linear", "factor": factor()?})),
            "yarn" => {
                let original = self.file.required(&key("original_context_length"))?;
                Ok(
                    json!({"rope_type": "yarn", "factor": factor()?, "original_max_position_embeddings": original}),
                )
            }
            other => Err(invalid(format!(
                "rope scaling '{other}' is not supported (supported: none, linear, yarn)"
            ))),
        }
    }

    /// Finds the factor whose Llama 3 rule gives the file's divisors.
    fn llama3_scaling(&self, divisors: &Tensor, head_dim: i64, context: i64) -> Result<Value> {
        let theta = self.file.number(&format!("{}.rope.freq_base", self.arch))?.unwrap_or(10_000.0);
        let factor = divisors.f_max()?.f_double_value(&[])?;
        let (original, low, high) = LLAMA3;
        let plain =
            RopeConfig { head_dim, theta, max_position: context, scaling: RopeScaling::None };
        let scaling = RopeScaling::Llama3 { factor, low, high, original };
        let scaled = RopeConfig { scaling, ..plain.clone() };
        let expected = plain
            .inverse_frequencies(1)
            .into_iter()
            .zip(scaled.inverse_frequencies(1))
            .map(|(a, b)| a / b);
        for (index, expected) in expected.enumerate() {
            let seen = divisors.f_double_value(&[index as i64])?;
            if (seen / expected - 1.0).abs() > 1e-3 {
                return Err(invalid(format!(
                    "rope_freqs.weight[{index}] is {seen}, which no supported rule gives"
                )));
            }
        }
        Ok(json!({
            "rope_type": "llama3",
            "factor": factor,
            "low_freq_factor": low,
            "high_freq_factor": high,
            "original_max_position_embeddings": original as u64,
        }))
    }
}

impl WeightSource for LlamaGguf {
    fn names(&self) -> Vec<String> {
        self.names.keys().cloned().collect()
    }

    fn tensor(&self, name: &str) -> Result<Option<Tensor>> {
        let Some(gguf) = self.names.get(name) else { return Ok(None) };
        let Some(tensor) = self.file.tensor(gguf)? else { return Ok(None) };
        let heads = match gguf.split('.').nth(2) {
            Some("attn_q") => self.heads,
            Some("attn_k") => self.kv_heads,
            _ => return Ok(Some(tensor)),
        };
        if self.arch != "llama" {
            return Ok(Some(tensor));
        }
        let shape = tensor.size();
        if shape[0] % (2 * heads) != 0 {
            return Err(invalid(format!(
                "tensor '{gguf}' of shape {shape:?} does not divide into {heads} heads"
            )));
        }
        // (heads, half, 2, ...) back to (heads, 2, half, ...).
        let half = shape[0] / heads / 2;
        let turned = tensor.f_reshape([heads, half, 2, -1])?.f_transpose(1, 2)?;
        Ok(Some(turned.f_reshape(shape.as_slice())?))
    }
}

fn architecture(arch: &str) -> &'static str {
    match arch {
        "qwen2" => "Qwen2ForCausalLM",
        "qwen3" => "Qwen3ForCausalLM",
        _ => "LlamaForCausalLM",
    }
}

/// An fp32 number as the shortest decimal that means it.
fn round_fp32(value: f64) -> f64 {
    (value as f32).to_string().parse().unwrap_or(value)
}

fn hugging_face_name(gguf: &str) -> Option<String> {
    match gguf {
        "token_embd.weight" => return Some("model.embed_tokens.weight".into()),
        "output_norm.weight" => return Some("model.norm.weight".into()),
        "output.weight" => return Some("lm_head.weight".into()),
        _ => {}
    }
    let mut parts = gguf.splitn(4, '.');
    let (Some("blk"), Some(layer), Some(module), Some(kind)) =
        (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return None;
    };
    let layer: u32 = layer.parse().ok()?;
    let module = match module {
        "attn_norm" => "input_layernorm",
        "ffn_norm" => "post_attention_layernorm",
        "attn_q" => "self_attn.q_proj",
        "attn_k" => "self_attn.k_proj",
        "attn_v" => "self_attn.v_proj",
        "attn_output" => "self_attn.o_proj",
        "attn_q_norm" => "self_attn.q_norm",
        "attn_k_norm" => "self_attn.k_norm",
        "ffn_gate" => "mlp.gate_proj",
        "ffn_up" => "mlp.up_proj",
        "ffn_down" => "mlp.down_proj",
        _ => return None,
    };
    matches!(kind, "weight" | "bias").then(|| format!("model.layers.{layer}.{module}.{kind}"))
}

//! A Hugging Face `config.json`, with the defaults that an absent key means for each `model_type`.
//!
//! Both dialects are read: transformers 4 (`rope_theta`, `rope_scaling`, `torch_dtype`) and 5 (`rope_parameters`, `dtype`,
//! `layer_types`). Whatever would change the result and is not carried out is refused by name.

use std::path::Path;

use serde_json::{Map, Value};
use trainyard_openapi::job_error::JobErrorCode;

use crate::error::{Result, TrainerError};
use crate::nn::rope::{RopeConfig, RopeScaling};

/// The families of the Llama architecture that are carried out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ModelType {
    /// Llama 1 to 3, `SmolLM` and others of that shape.
    Llama,
    /// Mistral: sliding window.
    Mistral,
    /// Qwen 2 and 2.5: biases on query, key and value.
    Qwen2,
    /// Qwen 3: norms on query and key.
    Qwen3,
}

impl ModelType {
    /// The word in `config.json`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Llama => "llama",
            Self::Mistral => "mistral",
            Self::Qwen2 => "qwen2",
            Self::Qwen3 => "qwen3",
        }
    }
}

/// A model's shape and constants.
#[derive(Debug, Clone, PartialEq)]
pub struct ModelConfig {
    /// The family.
    pub model_type: ModelType,
    /// Entries of the vocabulary.
    pub vocab_size: i64,
    /// Width of the residual stream.
    pub hidden_size: i64,
    /// Width inside the MLP.
    pub intermediate_size: i64,
    /// Blocks.
    pub layers: usize,
    /// Query heads.
    pub heads: i64,
    /// Key and value heads.
    pub kv_heads: i64,
    /// Width of a head; times `heads` it need not be `hidden_size`.
    pub head_dim: i64,
    /// Added to the mean square in norms.
    pub rms_norm_eps: f64,
    /// Whether the output head is the embedding.
    pub tie_word_embeddings: bool,
    /// Biases on query, key and value.
    pub qkv_bias: bool,
    /// Bias on the attention's output.
    pub output_bias: bool,
    /// Biases in the MLP.
    pub mlp_bias: bool,
    /// Norms on query and key heads.
    pub qk_norm: bool,
    /// Tokens that a position sees including itself, per block; `None` sees all.
    pub windows: Vec<Option<i64>>,
    /// The longest sequence that the model was made for.
    pub max_position_embeddings: i64,
    /// Rotary embedding.
    pub rope: RopeConfig,
    /// Tokens that end a text; several for some chat models.
    pub eos_token_ids: Vec<u32>,
    /// The token that begins a text.
    pub bos_token_id: Option<u32>,
    /// The token for padding.
    pub pad_token_id: Option<u32>,
}

impl ModelConfig {
    /// Reads `config.json` of a model directory.
    ///
    /// # Errors
    /// `unsupported_model` or `invalid_model`, naming key and value.
    pub fn read(path: &Path) -> Result<Self> {
        let text = std::fs::read_to_string(path).map_err(TrainerError::io(path))?;
        let value: Value = serde_json::from_str(&text)
            .map_err(|error| invalid(format!("{}: {error}", path.display())))?;
        Self::parse(&value)
    }

    /// Reads a configuration.
    ///
    /// # Errors
    /// As [`ModelConfig::read`].
    pub fn parse(value: &Value) -> Result<Self> {
        let map = value.as_object().ok_or_else(|| invalid("config.json is no object"))?;
        let keys = Keys(map);
        let model_type = match keys.text("model_type")? {
            Some("llama") => ModelType::Llama,
            Some("mistral") => ModelType::Mistral,
            Some("qwen2") => ModelType::Qwen2,
            Some("qwen3") => ModelType::Qwen3,
            Some(other) => {
                return Err(unsupported(format!(
                    "model_type '{other}' is not supported (supported: llama, mistral, qwen2, qwen3)"
                )));
            }
            None => return Err(invalid("config.json has no 'model_type'")),
        };
        if let Some(act) = keys.text("hidden_act")?
            && act != "silu"
        {
            return Err(unsupported(format!(
                "hidden_act '{act}' is not supported (supported: silu)"
            )));
        }
        if map.get("quantization_config").is_some_and(|config| !config.is_null()) {
            return Err(unsupported(
                "'quantization_config': quantised safetensors are not supported; import GGUF instead",
            ));
        }
        let hidden_size = keys.positive("hidden_size")?;
        let heads = keys.positive("num_attention_heads")?;
        let layers = keys.positive("num_hidden_layers")? as usize;
        let default_kv_heads = match model_type {
            ModelType::Llama => heads,
            ModelType::Mistral => 8,
            ModelType::Qwen2 | ModelType::Qwen3 => 32,
        };
        let kv_heads = keys.integer("num_key_value_heads")?.unwrap_or(default_kv_heads);
        let default_head_dim =
            if model_type == ModelType::Qwen3 { 128 } else { hidden_size / heads };
        let head_dim = keys.integer("head_dim")?.unwrap_or(default_head_dim);
        if kv_heads < 1 || heads % kv_heads != 0 {
            return Err(invalid(format!(
                "num_attention_heads {heads} is no multiple of num_key_value_heads {kv_heads}"
            )));
        }
        if head_dim < 2 || head_dim % 2 != 0 {
            return Err(invalid(format!("head_dim {head_dim} is no even number above 0")));
        }
        let attention_bias = keys.flag("attention_bias")?.unwrap_or(false);
        let max_position_embeddings = keys.positive("max_position_embeddings")?;
        Ok(Self {
            model_type,
            vocab_size: keys.positive("vocab_size")?,
            hidden_size,
            intermediate_size: keys.positive("intermediate_size")?,
            layers,
            heads,
            kv_heads,
            head_dim,
            rms_norm_eps: keys.number("rms_norm_eps")?.unwrap_or(1e-6),
            tie_word_embeddings: keys.flag("tie_word_embeddings")?.unwrap_or(false),
            qkv_bias: model_type == ModelType::Qwen2 || attention_bias,
            output_bias: model_type != ModelType::Qwen2 && attention_bias,
            mlp_bias: model_type == ModelType::Llama && keys.flag("mlp_bias")?.unwrap_or(false),
            qk_norm: model_type == ModelType::Qwen3,
            windows: windows(&keys, model_type, layers)?,
            max_position_embeddings,
            rope: rope(&keys, head_dim, max_position_embeddings)?,
            eos_token_ids: keys.token_ids("eos_token_id")?,
            bos_token_id: keys.token_ids("bos_token_id")?.first().copied(),
            pad_token_id: keys.token_ids("pad_token_id")?.first().copied(),
        })
    }
}

/// The sliding window of each block.
fn windows(keys: &Keys<'_>, model_type: ModelType, layers: usize) -> Result<Vec<Option<i64>>> {
    let window = match (model_type, keys.0.get("sliding_window")) {
        (ModelType::Llama, _) => None,
        (ModelType::Mistral, None) => Some(4096),
        (_, None) => None,
        (_, Some(_)) => keys.integer("sliding_window")?,
    };
    let Some(window) = window else { return Ok(vec![None; layers]) };
    if window < 1 {
        return Err(invalid(format!("sliding_window {window} is not above 0")));
    }
    if let Some(types) = keys.0.get("layer_types").and_then(Value::as_array) {
        if types.len() != layers {
            return Err(invalid(format!(
                "layer_types has {} entries for {layers} layers",
                types.len()
            )));
        }
        return types
            .iter()
            .map(|kind| match kind.as_str() {
                Some("full_attention") => Ok(None),
                Some("sliding_attention") => Ok(Some(window)),
                _ => Err(unsupported(format!("layer_types entry {kind} is not supported"))),
            })
            .collect();
    }
    if model_type == ModelType::Mistral {
        return Ok(vec![Some(window); layers]);
    }
    if !keys.flag("use_sliding_window")?.unwrap_or(false) {
        return Ok(vec![None; layers]);
    }
    let first = keys.integer("max_window_layers")?.unwrap_or(28) as usize;
    Ok((0..layers).map(|layer| (layer >= first).then_some(window)).collect())
}

/// The rotary embedding, from either dialect.
fn rope(keys: &Keys<'_>, head_dim: i64, max_position: i64) -> Result<RopeConfig> {
    let object = |name: &str| keys.0.get(name).and_then(Value::as_object).map(Keys);
    let new = object("rope_parameters");
    let old = object("rope_scaling");
    let theta = match &new {
        Some(parameters) => parameters.number("rope_theta")?,
        None => None,
    };
    let theta = theta.or(keys.number("rope_theta")?).unwrap_or(10_000.0);
    let Some(scaling) = new.or(old) else {
        return Ok(RopeConfig { head_dim, theta, max_position, scaling: RopeScaling::None });
    };
    let kind = scaling.text("rope_type")?.or(scaling.text("type")?).unwrap_or("default");
    let need = |name: &str| -> Result<f64> {
        scaling
            .number(name)?
            .ok_or_else(|| invalid(format!("rope scaling '{kind}' has no '{name}'")))
    };
    let original =
        scaling.number("original_max_position_embeddings")?.unwrap_or(max_position as f64);
    if let Some(partial) = scaling.number("partial_rotary_factor")?
        && (partial - 1.0).abs() > f64::EPSILON
    {
        return Err(unsupported(format!("partial_rotary_factor {partial} is not supported")));
    }
    let scaling = match kind {
        "default" => RopeScaling::None,
        "linear" => RopeScaling::Linear { factor: need("factor")? },
        "dynamic" => RopeScaling::Dynamic { factor: need("factor")? },
        "llama3" => RopeScaling::Llama3 {
            factor: need("factor")?,
            low: need("low_freq_factor")?,
            high: need("high_freq_factor")?,
            original,
        },
        "yarn" => RopeScaling::Yarn {
            factor: need("factor")?,
            original,
            beta_fast: scaling.number("beta_fast")?.unwrap_or(32.0),
            beta_slow: scaling.number("beta_slow")?.unwrap_or(1.0),
            attention_factor: scaling.number("attention_factor")?,
            mscale: scaling.number("mscale")?,
            mscale_all_dim: scaling.number("mscale_all_dim")?,
            truncate: scaling.flag("truncate")?.unwrap_or(true),
        },
        other => {
            return Err(unsupported(format!(
                "rope scaling '{other}' is not supported (supported: default, linear, dynamic, llama3, yarn)"
            )));
        }
    };
    Ok(RopeConfig { head_dim, theta, max_position, scaling })
}

/// Typed access to a JSON object; null counts as absent.
struct Keys<'a>(&'a Map<String, Value>);

impl<'a> Keys<'a> {
    fn get(&self, name: &str) -> Option<&'a Value> {
        self.0.get(name).filter(|value| !value.is_null())
    }

    fn typed<T>(
        &self,
        name: &str,
        want: &str,
        read: impl Fn(&'a Value) -> Option<T>,
    ) -> Result<Option<T>> {
        let Some(value) = self.get(name) else { return Ok(None) };
        let wrong = || invalid(format!("config.json: '{name}' must be {want}, not {value}"));
        read(value).map(Some).ok_or_else(wrong)
    }

    fn text(&self, name: &str) -> Result<Option<&'a str>> {
        self.typed(name, "a string", Value::as_str)
    }

    fn flag(&self, name: &str) -> Result<Option<bool>> {
        self.typed(name, "true or false", Value::as_bool)
    }

    fn number(&self, name: &str) -> Result<Option<f64>> {
        self.typed(name, "a number", Value::as_f64)
    }

    fn integer(&self, name: &str) -> Result<Option<i64>> {
        self.typed(name, "an integer", Value::as_i64)
    }

    /// A required integer from 1 to 2^31, so that products of two stay in 64 bits.
    fn positive(&self, name: &str) -> Result<i64> {
        match self.integer(name)? {
            Some(value) if (1..=1 << 31).contains(&value) => Ok(value),
            Some(value) => {
                Err(invalid(format!("config.json: '{name}' must be 1 to 2147483648, not {value}")))
            }
            None => Err(invalid(format!("config.json has no '{name}'"))),
        }
    }

    /// A token id or a list of them.
    fn token_ids(&self, name: &str) -> Result<Vec<u32>> {
        let id = |value: &Value| value.as_u64().and_then(|id| u32::try_from(id).ok());
        let ids = self.typed(name, "a token id or a list of them", |value| match value {
            Value::Array(list) => list.iter().map(id).collect::<Option<Vec<u32>>>(),
            one => id(one).map(|id| vec![id]),
        })?;
        Ok(ids.unwrap_or_default())
    }
}

fn invalid(message: impl Into<String>) -> TrainerError {
    TrainerError::user(JobErrorCode::InvalidModel, Some("model".to_string()), message)
}

fn unsupported(message: impl Into<String>) -> TrainerError {
    TrainerError::user(JobErrorCode::UnsupportedModel, Some("model".to_string()), message)
}

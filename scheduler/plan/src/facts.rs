//! What a plan depends on beside the request: the data, the base model, the machine.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use trainyard_openapi::error::{ApiError, ErrorCode};

use crate::adapter::AdapterPlan;
use crate::processor::fast_bf16;

/// What is known of the training file before it is read line by line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct DataFacts {
    /// Lines that are not blank.
    pub examples: u64,
    /// Users whom the lines name; `None` where nobody looked, as only a job that protects users needs it.
    pub users: Option<u64>,
}

impl DataFacts {
    /// Of a file with so many lines whose users do not matter.
    pub fn of_examples(examples: u64) -> Self {
        Self { examples, users: None }
    }
}

/// What is known of a job's stages and of what it goes on from; nothing of a job that trains one file from a base model.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct StreamFacts {
    /// Lines that are not blank of each stage's training file, in the order of the request; empty where the request names no stages.
    pub stage_examples: Vec<u64>,
    /// The earlier result that the request names as its model.
    pub parent: Option<ParentFacts>,
}

/// What is known of an earlier result.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ParentFacts {
    /// Its name.
    pub model: String,
    /// SHA-256 of its manifest, in hexadecimal.
    pub manifest_sha256: String,
    /// The names of the stages that it went through, in the order of training: at least one.
    pub stages: Vec<String>,
    /// Its adapter: rank, alpha and `rslora` as its `adapter_config.json` has them, since some strategies add ranks up.
    pub adapter: AdapterPlan,
    /// Whether the data of any of those stages was protected by differential privacy.
    pub private: bool,
}

/// What is known of the base model: the parts of its `config.json` that a request is checked against.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ModelFacts {
    /// `model_type` of the configuration.
    pub model_type: String,
    /// Width of the residual stream.
    pub hidden_size: u64,
    /// Width inside the MLP.
    pub intermediate_size: u64,
    /// Blocks.
    pub layers: u64,
    /// Entries of the vocabulary.
    pub vocab_size: u64,
    /// The longest sequence that the model was made for, in tokens.
    pub context_length: u64,
}

impl ModelFacts {
    /// Reads a Hugging Face `config.json`.
    ///
    /// # Errors
    /// `invalid_value` naming the key that is missing or no positive integer.
    pub fn from_config(config: &Value) -> Result<Self, ApiError> {
        let number = |key: &str| {
            config.get(key).and_then(Value::as_u64).filter(|value| *value > 0).ok_or_else(|| {
                let seen = config.get(key).unwrap_or(&Value::Null);
                let message =
                    format!("config.json: '{key}' must be a positive integer, not {seen}");
                ApiError::field(ErrorCode::InvalidValue, "model", message)
            })
        };
        let model_type = config.get("model_type").and_then(Value::as_str).ok_or_else(|| {
            ApiError::field(
                ErrorCode::InvalidValue,
                "model",
                "config.json: 'model_type' is missing",
            )
        })?;
        Ok(Self {
            model_type: model_type.to_string(),
            hidden_size: number("hidden_size")?,
            intermediate_size: number("intermediate_size")?,
            layers: number("num_hidden_layers")?,
            vocab_size: number("vocab_size")?,
            context_length: number("max_position_embeddings")?,
        })
    }

    /// Parameters of the blocks and the embedding, to the nearest that these figures allow; for memory estimates.
    pub fn parameters_estimate(&self) -> u64 {
        let block =
            4 * self.hidden_size * self.hidden_size + 3 * self.hidden_size * self.intermediate_size;
        self.layers * block + self.vocab_size * self.hidden_size
    }
}

/// What is known of the machines of the job's pool.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostFacts {
    /// Whether a CUDA device does the work.
    pub cuda: bool,
    /// Whether bf16 matrix products are faster there than fp32 ones: on CUDA devices, and see [`fast_bf16`].
    pub fast_bf16: bool,
    /// Memory that a job may use, in bytes.
    pub memory_bytes: u64,
}

impl HostFacts {
    /// A machine whose processor Linux describes so (`/proc/cpuinfo`), with `memory_bytes` to use.
    pub fn of_processor(cpuinfo: &str, memory_bytes: u64) -> Self {
        Self { cuda: false, fast_bf16: fast_bf16(cpuinfo), memory_bytes }
    }
}

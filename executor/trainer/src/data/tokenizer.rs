//! A model's tokenizer with its chat template and special tokens, from a Hugging Face directory.

use std::path::{Path, PathBuf};

use serde_json::{Map, Value};
use tokenizers::Tokenizer;
use trainyard_openapi::job_error::JobErrorCode;

use crate::arch::config::ModelConfig;
use crate::data::chat_template::ChatTemplate;
use crate::error::{Result, TrainerError};

/// Files of a tokenizer that go along with an adapter.
pub const TOKENIZER_FILES: &[&str] = &[
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "chat_template.jinja",
    "generation_config.json",
];

/// A tokenizer that can write conversations.
#[derive(Debug)]
pub struct ChatTokenizer {
    /// The tokenizer.
    pub tokenizer: Tokenizer,
    /// The template, if the model has one.
    pub template: Option<ChatTemplate>,
    /// The token that ends a text, if the model has one.
    pub eos_token_id: Option<u32>,
    /// The token for padding; any will do, padding is never looked at.
    pub pad_token_id: u32,
    /// The directory it came from.
    pub dir: PathBuf,
}

impl ChatTokenizer {
    /// Reads `tokenizer.json` and what stands beside it in `dir`.
    ///
    /// # Errors
    /// A user error naming the file that is missing or damaged.
    pub fn load(dir: &Path, config: &ModelConfig) -> Result<Self> {
        let path = dir.join("tokenizer.json");
        if !path.is_file() {
            return Err(invalid(format!(
                "{} is missing: the model's directory needs a tokenizer",
                path.display()
            )));
        }
        let mut tokenizer = Tokenizer::from_file(&path)
            .map_err(|error| invalid(format!("{}: {error}", path.display())))?;
        // Padding and truncation of the file's own would change rows unseen.
        tokenizer.with_padding(None);
        tokenizer
            .with_truncation(None)
            .map_err(|error| invalid(format!("{}: {error}", path.display())))?;
        let settings = read_object(&dir.join("tokenizer_config.json"))?;
        let mut specials = Vec::new();
        for name in ["bos_token", "eos_token", "pad_token", "unk_token"] {
            if let Some(text) = token_text(settings.get(name)) {
                specials.push((name.to_string(), text));
            }
        }
        let named = |name: &str| {
            let text =
                specials.iter().find(|(key, _)| key == name).map(|(_, text)| text.as_str())?;
            tokenizer.token_to_id(text)
        };
        // The tokenizer's own end token comes first: chat models end a turn with it, while config.json may name the base's.
        let eos_token_id = named("eos_token").or(config.eos_token_ids.first().copied());
        let pad_token_id = named("pad_token").or(config.pad_token_id).or(eos_token_id).unwrap_or(0);
        let template = match template_source(dir, &settings)? {
            Some(source) => {
                Some(ChatTemplate::compile(&source, specials).map_err(|error| {
                    invalid(format!("{}: chat template: {error}", dir.display()))
                })?)
            }
            None => None,
        };
        Ok(Self { tokenizer, template, eos_token_id, pad_token_id, dir: dir.to_path_buf() })
    }
}

/// `chat_template.jinja` wins over the settings, as in transformers; of several named templates `default` is meant.
fn template_source(dir: &Path, settings: &Map<String, Value>) -> Result<Option<String>> {
    let path = dir.join("chat_template.jinja");
    if path.is_file() {
        return std::fs::read_to_string(&path).map(Some).map_err(TrainerError::io(&path));
    }
    match settings.get("chat_template") {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(source)) => Ok(Some(source.clone())),
        Some(Value::Array(named)) => {
            let default = named
                .iter()
                .find(|entry| entry["name"] == "default")
                .and_then(|entry| entry["template"].as_str());
            match default {
                Some(source) => Ok(Some(source.to_string())),
                None => Err(invalid("tokenizer_config.json: no chat template is named 'default'")),
            }
        }
        Some(other) => Err(invalid(format!(
            "tokenizer_config.json: 'chat_template' must be a string, not {other}"
        ))),
    }
}

/// A JSON object from a file that need not be there.
fn read_object(path: &Path) -> Result<Map<String, Value>> {
    if !path.is_file() {
        return Ok(Map::new());
    }
    let text = std::fs::read_to_string(path).map_err(TrainerError::io(path))?;
    serde_json::from_str(&text).map_err(|error| invalid(format!("{}: {error}", path.display())))
}

/// A token given as text or as an object with `content`.
fn token_text(value: Option<&Value>) -> Option<String> {
    let value = value?;
    value.as_str().or_else(|| value.get("content")?.as_str()).map(ToString::to_string)
}

fn invalid(message: impl Into<String>) -> TrainerError {
    TrainerError::user(JobErrorCode::InvalidModel, Some("model".to_string()), message)
}

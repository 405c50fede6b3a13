//! GGUF files to Hugging Face directories: weights, configuration, tokenizer and chat template.
//!
//! Quantised blocks are written out as plain numbers: the adapter is trained on, and belongs to, the base as it stands in the written
//! directory. To add a quantisation, add a variant to [`blocks::BlockType`].

pub mod blocks;
pub mod gguf;
pub mod llama;
pub mod tokenizer;

use std::fs;
use std::path::Path;

use serde_json::Value;
use tch::{Kind, Tensor};
use trainyard_openapi::job_error::JobErrorCode;

use crate::error::{Result, TrainerError};
use crate::weights::{WeightSource, writer};
use gguf::GgufFile;

/// How to import.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ImportOptions {
    /// The format of the weights that are written. bf16 by default: half the size of fp32, and its rounding is far below that of
    /// the quantisation.
    pub kind: Kind,
}

impl Default for ImportOptions {
    fn default() -> Self {
        Self { kind: Kind::BFloat16 }
    }
}

/// How far an import is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImportProgress {
    /// Tensors read.
    pub done: usize,
    /// Tensors in all.
    pub total: usize,
}

/// What was imported.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImportReport {
    /// `model_type` of the configuration.
    pub model_type: String,
    /// Tensors.
    pub tensors: usize,
    /// Parameters.
    pub parameters: u64,
    /// Entries of the vocabulary.
    pub vocab_size: usize,
    /// Whether a chat template came along.
    pub chat_template: bool,
}

/// Imports `gguf` into the new directory `out`, which appears whole or not at all.
///
/// # Errors
/// A user error naming key or tensor where the file is damaged or not supported.
pub fn import(
    gguf: &Path,
    out: &Path,
    options: ImportOptions,
    progress: &mut dyn FnMut(ImportProgress),
) -> Result<ImportReport> {
    if out.exists() {
        let message = format!("{} exists already; remove it or choose another", out.display());
        return Err(TrainerError::user(
            JobErrorCode::OutputExists,
            Some("--out".to_string()),
            message,
        ));
    }
    let file = GgufFile::open(gguf)?;
    let model = llama::LlamaGguf::new(file)?;
    let tokens = tokenizer::read(model.file())?;
    let partial = out.with_extension("partial");
    if partial.exists() {
        fs::remove_dir_all(&partial).map_err(TrainerError::io(&partial))?;
    }
    fs::create_dir_all(&partial).map_err(TrainerError::io(&partial))?;

    let names = model.names();
    let mut tensors: Vec<(String, Tensor)> = Vec::with_capacity(names.len());
    for (done, name) in names.iter().enumerate() {
        progress(ImportProgress { done, total: names.len() });
        if let Some(tensor) = model.tensor(name)? {
            tensors.push((name.clone(), tensor.f_to_kind(options.kind)?));
        }
    }
    writer::write(&partial.join("model.safetensors"), &tensors)?;
    write_json(&partial.join("config.json"), &model.config(options.kind)?)?;
    write_json(&partial.join("tokenizer.json"), &tokens.tokenizer)?;
    // Said now and not when a job starts.
    tokenizers::Tokenizer::from_file(partial.join("tokenizer.json"))
        .map_err(|error| invalid(format!("{}: tokenizer: {error}", gguf.display())))?;
    write_json(&partial.join("tokenizer_config.json"), &tokens.config)?;
    write_json(&partial.join("generation_config.json"), &tokens.generation)?;
    if let Some(template) = &tokens.chat_template {
        writer::write_durably(&partial.join("chat_template.jinja"), template.as_bytes())?;
    }
    fs::rename(&partial, out).map_err(TrainerError::io(out))?;
    writer::sync_parent(out)?;
    progress(ImportProgress { done: names.len(), total: names.len() });
    Ok(ImportReport {
        model_type: model.model_type().to_string(),
        tensors: tensors.len(),
        parameters: tensors.iter().map(|(_, tensor)| tensor.numel() as u64).sum(),
        vocab_size: tokens.vocab_size,
        chat_template: tokens.chat_template.is_some(),
    })
}

fn write_json(path: &Path, value: &Value) -> Result<()> {
    let json =
        serde_json::to_vec_pretty(value).map_err(|error| TrainerError::Torch(error.to_string()))?;
    writer::write_durably(path, &json)
}

/// Characters of an error at most: names in a GGUF file may have megabytes.
const SAID_CHARS_MAX: usize = 1_000;

/// An error in a GGUF file.
pub(crate) fn invalid(message: impl Into<String>) -> TrainerError {
    let mut message = message.into();
    if let Some((end, _)) = message.char_indices().nth(SAID_CHARS_MAX) {
        message.truncate(end);
        message.push('…');
    }
    TrainerError::user(JobErrorCode::InvalidGguf, Some("model".to_string()), message)
}

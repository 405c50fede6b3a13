//! The base model of a run: a Hugging Face directory, or a GGUF file that is imported into one first.

use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};
use trainyard_openapi::job_error::JobErrorCode;

use crate::arch::config::ModelConfig;
use crate::error::{Result, TrainerError};
use crate::import::{self, ImportOptions};
use crate::run::events::Events;
use crate::run::output::OutputDir;

/// The directory of a base model with its configuration.
#[derive(Debug)]
pub struct Base {
    /// The directory.
    pub dir: PathBuf,
    /// Its `config.json`.
    pub config: ModelConfig,
}

/// Opens `path`; a GGUF file is imported under `out` unless an earlier attempt did.
///
/// # Errors
/// A user error where there is no model or it is not supported.
pub fn open(path: &Path, out: &OutputDir, events: &Events) -> Result<Base> {
    let dir = if path.is_file() {
        let mut hash = Sha256::new();
        sample(path, &mut hash).map_err(TrainerError::io(path))?;
        let dir = out.base_model(&hex::encode(hash.finalize()));
        if !dir.is_dir() {
            events.log("info", format!("importing {}", path.display()))?;
            import::import(path, &dir, ImportOptions::default(), &mut |_| {})?;
        }
        dir
    } else {
        path.to_path_buf()
    };
    if !dir.join("config.json").is_file() {
        let message = format!(
            "{} is no model: neither a directory with config.json nor a GGUF file",
            path.display()
        );
        return Err(TrainerError::user(
            JobErrorCode::ModelNotFound,
            Some("model".to_string()),
            message,
        ));
    }
    let config = ModelConfig::read(&dir.join("config.json"))?;
    Ok(Base { dir, config })
}

/// SHA-256 over the configuration, the headers of the weight files, and samples of the weights all through them: tells two models
/// apart, a base from its fine-tune too, without reading all of a large one.
///
/// # Errors
/// Where the directory cannot be read.
pub fn fingerprint(dir: &Path) -> Result<String> {
    let mut paths = Vec::new();
    for entry in fs::read_dir(dir).map_err(TrainerError::io(dir))? {
        let path = entry.map_err(TrainerError::io(dir))?.path();
        if path.extension().is_some_and(|extension| extension == "safetensors")
            || path.ends_with("config.json")
        {
            paths.push(path);
        }
    }
    paths.sort();
    let mut hash = Sha256::new();
    for path in paths {
        hash.update(path.file_name().map(|name| name.as_encoded_bytes()).unwrap_or_default());
        sample(&path, &mut hash).map_err(TrainerError::io(&path))?;
    }
    Ok(hex::encode(hash.finalize()))
}

/// The size of a file, its first bytes, and blocks at even distances.
fn sample(path: &Path, hash: &mut Sha256) -> io::Result<()> {
    // The header of a model of a hundred blocks fits; so does all of a configuration.
    const HEAD_BYTES: u64 = 1 << 17;
    const BLOCK_BYTES: u64 = 1 << 12;
    const BLOCKS: u64 = 512;
    let mut file = File::open(path)?;
    let bytes = file.metadata()?.len();
    hash.update(bytes.to_le_bytes());
    let mut part = Vec::new();
    (&mut file).take(HEAD_BYTES).read_to_end(&mut part)?;
    hash.update(&part);
    let rest = bytes.saturating_sub(HEAD_BYTES);
    for block in 0..BLOCKS.min(rest.div_ceil(BLOCK_BYTES)) {
        file.seek(SeekFrom::Start(HEAD_BYTES + rest / BLOCKS * block))?;
        part.clear();
        (&mut file).take(BLOCK_BYTES).read_to_end(&mut part)?;
        hash.update(&part);
    }
    Ok(())
}

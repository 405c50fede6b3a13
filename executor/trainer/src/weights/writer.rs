//! Writes safetensors files that transformers, PEFT and vLLM load: sorted names, `__metadata__ {"format": "pt"}`.
//!
//! The same tensors give the same bytes. A file appears whole or not at all: it is written beside its place, fsynced,
//! renamed, and the directory is fsynced.

use std::cmp::Reverse;
use std::fs::{self, File};
use std::io::Write;
use std::path::Path;

use serde_json::{Map, Value, json};
use tch::{Kind, Tensor};

use crate::error::{Result, TrainerError};
use crate::weights::{bytes_of, element_size};

/// Writes `tensors` to `path`, one at a time: beside them no more than the largest stands in memory.
///
/// # Errors
/// Where a tensor has no safetensors format or the file cannot be written.
pub fn write(path: &Path, tensors: &[(String, Tensor)]) -> Result<()> {
    let mut sorted: Vec<&(String, Tensor)> = tensors.iter().collect();
    // Wide formats first, so that every tensor begins at a multiple of its element.
    sorted.sort_by_key(|(name, tensor)| (Reverse(element_size(tensor.kind()).unwrap_or(0)), name));
    let mut header = Map::from_iter([("__metadata__".to_string(), json!({"format": "pt"}))]);
    let mut end = 0;
    for (name, tensor) in &sorted {
        let start = end;
        end += tensor.numel() * element_size(tensor.kind())?;
        let entry = json!({
            "dtype": dtype_of(tensor.kind())?, "shape": tensor.size(), "data_offsets": [start, end],
        });
        header.insert(name.clone(), entry);
    }
    let mut header = Value::Object(header).to_string().into_bytes();
    header.resize(header.len().next_multiple_of(8), b' ');
    durably(path, |file| {
        file.write_all(&(header.len() as u64).to_le_bytes()).map_err(TrainerError::io(path))?;
        file.write_all(&header).map_err(TrainerError::io(path))?;
        for (_, tensor) in &sorted {
            file.write_all(&bytes_of(tensor)?).map_err(TrainerError::io(path))?;
        }
        Ok(())
    })
}

/// Writes a file so that it is there whole or not at all, whatever happens.
///
/// # Errors
/// Where the system refuses.
pub fn write_durably(path: &Path, bytes: &[u8]) -> Result<()> {
    durably(path, |file| file.write_all(bytes).map_err(TrainerError::io(path)))
}

fn durably(path: &Path, fill: impl FnOnce(&mut File) -> Result<()>) -> Result<()> {
    let temporary = path.with_extension("partial");
    let mut file = File::create(&temporary).map_err(TrainerError::io(&temporary))?;
    fill(&mut file)?;
    file.sync_all().map_err(TrainerError::io(&temporary))?;
    fs::rename(&temporary, path).map_err(TrainerError::io(path))?;
    sync_parent(path)
}

/// Makes the names in `path`'s directory durable.
///
/// # Errors
/// Where the system refuses.
pub fn sync_parent(path: &Path) -> Result<()> {
    let parent =
        path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(parent).and_then(|dir| dir.sync_all()).map_err(TrainerError::io(parent))
}

/// The name of a format in the file.
fn dtype_of(kind: Kind) -> Result<&'static str> {
    Ok(match kind {
        Kind::BFloat16 => "BF16",
        Kind::Half => "F16",
        Kind::Float => "F32",
        Kind::Double => "F64",
        Kind::Int64 => "I64",
        Kind::Int => "I32",
        Kind::Uint8 => "U8",
        Kind::Bool => "BOOL",
        other => return Err(TrainerError::Torch(format!("no safetensors format for {other:?}"))),
    })
}

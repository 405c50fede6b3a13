//! Writes safetensors files that transformers, PEFT and vLLM load: sorted names, `__metadata__ {"format": "pt"}`.
//!
//! The same tensors give the same bytes. A file appears whole or not at all: it is written beside its place, fsynced,
//! renamed, and the directory is fsynced.

use std::collections::{BTreeMap, HashMap};
use std::fs::{self, File};
use std::io::Write;
use std::path::Path;

use safetensors::Dtype;
use safetensors::tensor::TensorView;
use tch::{Kind, Tensor};

use crate::error::{Result, TrainerError};
use crate::weights::bytes_of;

/// Writes `tensors` to `path`.
///
/// # Errors
/// Where a tensor has no safetensors format or the file cannot be written.
pub fn write(path: &Path, tensors: &[(String, Tensor)]) -> Result<()> {
    let mut data = BTreeMap::new();
    for (name, tensor) in tensors {
        let shape: Vec<usize> = tensor.size().iter().map(|&size| size as usize).collect();
        data.insert(name.clone(), (dtype_of(tensor.kind())?, shape, bytes_of(tensor)?));
    }
    let mut views = Vec::with_capacity(data.len());
    for (name, (dtype, shape, bytes)) in &data {
        let view = TensorView::new(*dtype, shape.clone(), bytes)
            .map_err(|error| TrainerError::Torch(format!("tensor '{name}': {error}")))?;
        views.push((name.clone(), view));
    }
    let metadata = HashMap::from([("format".to_string(), "pt".to_string())]);
    let bytes = safetensors::serialize(views, Some(metadata))
        .map_err(|error| TrainerError::Torch(format!("safetensors: {error}")))?;
    write_durably(path, &bytes)
}

/// Writes a file so that it is there whole or not at all, whatever happens.
///
/// # Errors
/// Where the system refuses.
pub fn write_durably(path: &Path, bytes: &[u8]) -> Result<()> {
    let temporary = path.with_extension("partial");
    let mut file = File::create(&temporary).map_err(TrainerError::io(&temporary))?;
    file.write_all(bytes).map_err(TrainerError::io(&temporary))?;
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

fn dtype_of(kind: Kind) -> Result<Dtype> {
    Ok(match kind {
        Kind::BFloat16 => Dtype::BF16,
        Kind::Half => Dtype::F16,
        Kind::Float => Dtype::F32,
        Kind::Double => Dtype::F64,
        Kind::Int64 => Dtype::I64,
        Kind::Int => Dtype::I32,
        Kind::Uint8 => Dtype::U8,
        Kind::Bool => Dtype::BOOL,
        other => return Err(TrainerError::Torch(format!("no safetensors format for {other:?}"))),
    })
}

//! Reads Hugging Face weight files: `model.safetensors`, or shards named by `model.safetensors.index.json`.
//!
//! Files are memory-mapped and a tensor is copied out when asked for. The header is read once and checked whole before anything is
//! used: its length, the formats, and that the tensors tile the file without holes or overlaps.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path, PathBuf};

use memmap2::Mmap;
use safetensors::tensor::Metadata;
use safetensors::{Dtype, SafeTensors};
use tch::{Device, Kind, Tensor};
use trainyard_openapi::job_error::JobErrorCode;

use crate::error::{Result, TrainerError};
use crate::weights::{WeightSource, element_size};

/// Headers above this are refused: a million tensors fit, an attack on the parser does not.
const HEADER_BYTES_MAX: u64 = 10 * 1024 * 1024;

/// A model's weight files, or one adapter file.
#[derive(Debug)]
pub struct SafetensorsSource {
    files: Vec<Shard>,
    /// Which file has which tensor.
    index: BTreeMap<String, usize>,
}

#[derive(Debug)]
struct Shard {
    path: PathBuf,
    map: Mmap,
    header: Metadata,
    /// Where the tensors begin.
    data: usize,
}

impl SafetensorsSource {
    /// Opens the weights of a Hugging Face directory.
    ///
    /// # Errors
    /// A user error where there are none, a shard is missing, or a file is damaged.
    pub fn open_dir(dir: &Path) -> Result<Self> {
        let single = dir.join("model.safetensors");
        let index_path = dir.join("model.safetensors.index.json");
        if single.is_file() {
            return Self::open_files(&[single]);
        }
        if !index_path.is_file() {
            let message = format!(
                "{} has neither model.safetensors nor model.safetensors.index.json (pickled weights are never loaded)",
                dir.display()
            );
            return Err(invalid(message));
        }
        let text = std::fs::read_to_string(&index_path).map_err(TrainerError::io(&index_path))?;
        let index: ShardIndex = serde_json::from_str(&text)
            .map_err(|error| invalid(format!("{}: {error}", index_path.display())))?;
        let mut shards: Vec<&String> = index.weight_map.values().collect();
        shards.sort();
        shards.dedup();
        let mut paths = Vec::with_capacity(shards.len());
        for shard in shards {
            // A shard name is a plain file name: a path would reach outside the model's directory.
            if shard.contains(['/', '\\']) || shard.starts_with('.') {
                return Err(invalid(format!(
                    "{}: '{shard}' is no file name",
                    index_path.display()
                )));
            }
            let path = dir.join(shard);
            if !path.is_file() {
                return Err(invalid(format!(
                    "{} names '{shard}', which is missing",
                    index_path.display()
                )));
            }
            paths.push(path);
        }
        let source = Self::open_files(&paths)?;
        if let Some(name) = index.weight_map.keys().find(|name| !source.index.contains_key(*name)) {
            return Err(invalid(format!(
                "{} names tensor '{name}', which no shard has",
                index_path.display()
            )));
        }
        Ok(source)
    }

    /// Opens one safetensors file, such as an adapter's.
    ///
    /// # Errors
    /// As [`SafetensorsSource::open_dir`].
    pub fn open_file(path: &Path) -> Result<Self> {
        Self::open_files(&[path.to_path_buf()])
    }

    fn open_files(paths: &[PathBuf]) -> Result<Self> {
        let mut files = Vec::with_capacity(paths.len());
        let mut index = BTreeMap::new();
        for (number, path) in paths.iter().enumerate() {
            let file = File::open(path).map_err(TrainerError::io(path))?;
            // SAFETY: the map is read-only and private to this process; model files are not written to while a job reads
            // them (the server hands out immutable directories). A file cut short from outside would end the process
            // with SIGBUS, which costs an attempt and nothing else.
            let map = unsafe { Mmap::map(&file) }.map_err(TrainerError::io(path))?;
            let (data, header) = checked_header(path, &map)?;
            for name in header.offset_keys() {
                if let Some(other) = index.insert(name.clone(), number) {
                    let other: &Shard = &files[other];
                    return Err(invalid(format!(
                        "tensor '{name}' is in both {} and {}",
                        other.path.display(),
                        path.display()
                    )));
                }
            }
            files.push(Shard { path: path.clone(), map, header, data });
        }
        Ok(Self { files, index })
    }
}

impl WeightSource for SafetensorsSource {
    fn names(&self) -> Vec<String> {
        self.index.keys().cloned().collect()
    }

    fn tensor(&self, name: &str) -> Result<Option<Tensor>> {
        let Some(stored) = self.stored(name)? else { return Ok(None) };
        Ok(Some(Tensor::f_from_data_size(stored.bytes, &stored.shape, stored.kind)?))
    }

    fn copy_into(&self, name: &str, into: &mut Tensor) -> Result<Option<Vec<i64>>> {
        let Some(Stored { bytes, shape, kind }) = self.stored(name)? else { return Ok(None) };
        if shape != into.size() {
            return Ok(Some(shape));
        }
        if bytes.as_ptr().addr() % element_size(kind)? == 0 {
            // SAFETY: the bytes are as many as shape and format ask for, aligned, and mapped as long as `self` is; the tensor over them is only
            // read, and gone before this returns.
            let mapped =
                unsafe { Tensor::f_from_blob(bytes.as_ptr(), &shape, &[], kind, Device::Cpu) }?;
            into.f_copy_(&mapped)?;
        } else {
            into.f_copy_(&Tensor::f_from_data_size(bytes, &shape, kind)?)?;
        }
        Ok(Some(shape))
    }
}

/// A tensor where it lies in its file.
struct Stored<'a> {
    bytes: &'a [u8],
    shape: Vec<i64>,
    kind: Kind,
}

impl SafetensorsSource {
    fn stored(&self, name: &str) -> Result<Option<Stored<'_>>> {
        let Some(&number) = self.index.get(name) else { return Ok(None) };
        let shard = &self.files[number];
        let path = shard.path.display();
        let Some(info) = shard.header.info(name) else { return Ok(None) };
        let kind = kind_of(info.dtype).ok_or_else(|| {
            let dtype = info.dtype;
            invalid(format!(
                "{path}: tensor '{name}' has the format {dtype:?}, which is not supported"
            ))
        })?;
        let shape = info.shape.iter().map(|&size| size as i64).collect();
        let (start, end) = info.data_offsets;
        // The parser has checked that the bytes are there, and as many as shape and format ask for.
        let bytes = shard.map.get(shard.data + start..shard.data + end);
        let bytes = bytes.ok_or_else(|| invalid(format!("{path}: tensor '{name}' is cut off")))?;
        Ok(Some(Stored { bytes, shape, kind }))
    }
}

#[derive(serde::Deserialize)]
struct ShardIndex {
    weight_map: BTreeMap<String, String>,
}

/// Where the tensors begin, and what is said of them.
fn checked_header(path: &Path, map: &Mmap) -> Result<(usize, Metadata)> {
    let path = path.display();
    let header =
        map.get(..8).and_then(|bytes| bytes.try_into().ok()).map(u64::from_le_bytes).ok_or_else(
            || invalid(format!("{path}: {} bytes are too few for a safetensors file", map.len())),
        )?;
    if header > HEADER_BYTES_MAX {
        return Err(invalid(format!(
            "{path}: header of {header} bytes; the limit is {HEADER_BYTES_MAX}"
        )));
    }
    let (length, header) =
        SafeTensors::read_metadata(map).map_err(|error| invalid(format!("{path}: {error}")))?;
    Ok((8 + length, header))
}

fn kind_of(dtype: Dtype) -> Option<Kind> {
    Some(match dtype {
        Dtype::BF16 => Kind::BFloat16,
        Dtype::F16 => Kind::Half,
        Dtype::F32 => Kind::Float,
        Dtype::F64 => Kind::Double,
        Dtype::I64 => Kind::Int64,
        Dtype::I32 => Kind::Int,
        Dtype::U8 => Kind::Uint8,
        Dtype::BOOL => Kind::Bool,
        _ => return None,
    })
}

fn invalid(message: String) -> TrainerError {
    TrainerError::user(JobErrorCode::InvalidModel, Some("model".to_string()), message)
}

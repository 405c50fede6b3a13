//! The GGUF container, versions 2 and 3: metadata by key, tensors by name.
//!
//! The file is memory-mapped and everything in it is distrusted: counts, lengths, offsets and products are checked before they are
//! used, and every refusal names the place.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path, PathBuf};

use memmap2::Mmap;
use tch::Tensor;

use crate::error::{Result, TrainerError};
use crate::import::blocks::BlockType;
use crate::import::invalid;

/// Limits on what a header may claim, far above what any model has.
const ENTRIES_MAX: u64 = 1 << 20;
const ARRAY_MAX: u64 = 1 << 24;
const STRING_MAX: u64 = 1 << 24;
const DEPTH_MAX: usize = 4;

/// A metadata value.
#[derive(Debug, Clone, PartialEq)]
pub enum Metadata {
    /// Any unsigned or positive signed integer.
    Unsigned(u64),
    /// A negative integer.
    Signed(i64),
    /// A number with a fraction.
    Float(f64),
    /// True or false.
    Bool(bool),
    /// Text.
    Text(String),
    /// A list.
    List(Vec<Metadata>),
}

/// A tensor's place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TensorInfo {
    /// Sizes, slowest first: the order of everything outside ggml.
    pub shape: Vec<i64>,
    /// How its elements are stored.
    pub blocks: BlockType,
    start: usize,
    end: usize,
}

/// An open file.
#[derive(Debug)]
pub struct GgufFile {
    path: PathBuf,
    map: Mmap,
    metadata: BTreeMap<String, Metadata>,
    tensors: BTreeMap<String, TensorInfo>,
}

impl GgufFile {
    /// Opens `path` and reads its header.
    ///
    /// # Errors
    /// A user error naming what is wrong and where.
    pub fn open(path: &Path) -> Result<Self> {
        let file = File::open(path).map_err(TrainerError::io(path))?;
        // SAFETY: the map is read-only and private; a file cut short meanwhile would end this process, which holds nothing else.
        let map = unsafe { Mmap::map(&file) }.map_err(TrainerError::io(path))?;
        let mut cursor = Cursor { bytes: &map, at: 0 };
        let (metadata, tensors) =
            header(&mut cursor).map_err(|what| invalid(format!("{}: {what}", path.display())))?;
        Ok(Self { path: path.to_path_buf(), map, metadata, tensors })
    }

    /// The file's path, for messages.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// A metadata value.
    pub fn get(&self, key: &str) -> Option<&Metadata> {
        self.metadata.get(key)
    }

    /// A text that must be there.
    ///
    /// # Errors
    /// A user error naming the key.
    pub fn text(&self, key: &str) -> Result<&str> {
        match self.get(key) {
            Some(Metadata::Text(text)) => Ok(text),
            other => Err(self.wrong(key, "a string", other)),
        }
    }

    /// An unsigned integer.
    ///
    /// # Errors
    /// A user error naming the key where it is something else.
    pub fn unsigned(&self, key: &str) -> Result<Option<u64>> {
        match self.get(key) {
            None => Ok(None),
            Some(Metadata::Unsigned(value)) => Ok(Some(*value)),
            other => Err(self.wrong(key, "an unsigned integer", other)),
        }
    }

    /// An unsigned integer that must be there.
    ///
    /// # Errors
    /// A user error naming the key.
    pub fn required(&self, key: &str) -> Result<u64> {
        self.unsigned(key)?.ok_or_else(|| self.wrong(key, "an unsigned integer", None))
    }

    /// A number.
    ///
    /// # Errors
    /// A user error naming the key where it is something else.
    pub fn number(&self, key: &str) -> Result<Option<f64>> {
        match self.get(key) {
            None => Ok(None),
            Some(Metadata::Float(value)) => Ok(Some(*value)),
            Some(Metadata::Unsigned(value)) => Ok(Some(*value as f64)),
            other => Err(self.wrong(key, "a number", other)),
        }
    }

    /// A list of texts.
    ///
    /// # Errors
    /// A user error naming the key and the first entry that is none.
    pub fn texts(&self, key: &str) -> Result<Vec<&str>> {
        let Some(Metadata::List(list)) = self.get(key) else {
            return Err(self.wrong(key, "a list of strings", self.get(key)));
        };
        list.iter()
            .map(|entry| match entry {
                Metadata::Text(text) => Ok(text.as_str()),
                other => Err(self.wrong(key, "a list of strings", Some(other))),
            })
            .collect()
    }

    /// All tensors.
    pub fn tensors(&self) -> &BTreeMap<String, TensorInfo> {
        &self.tensors
    }

    /// A tensor in fp32.
    ///
    /// # Errors
    /// As libtorch reports.
    pub fn tensor(&self, name: &str) -> Result<Option<Tensor>> {
        let Some(info) = self.tensors.get(name) else { return Ok(None) };
        let values = info.blocks.dequantize(&self.map[info.start..info.end]);
        Ok(Some(Tensor::f_from_slice(&values)?.f_view(info.shape.as_slice())?))
    }

    fn wrong(&self, key: &str, want: &str, seen: Option<&Metadata>) -> TrainerError {
        let path = self.path.display();
        match seen {
            None => invalid(format!("{path}: metadata key '{key}' is missing (expected {want})")),
            Some(seen) => {
                let seen: String = format!("{seen:?}").chars().take(60).collect();
                invalid(format!("{path}: metadata key '{key}' must be {want}, not {seen}"))
            }
        }
    }
}

type Header = (BTreeMap<String, Metadata>, BTreeMap<String, TensorInfo>);

fn header(cursor: &mut Cursor<'_>) -> Result<Header, String> {
    if cursor.take(4)? != b"GGUF" {
        return Err("is no GGUF file: it does not begin with 'GGUF'".into());
    }
    let version = cursor.u32()?;
    if !(2..=3).contains(&version) {
        return Err(format!("GGUF version {version} is not supported (supported: 2 and 3)"));
    }
    let (tensor_count, entry_count) =
        (cursor.count("tensors", ENTRIES_MAX)?, cursor.count("metadata", ENTRIES_MAX)?);
    let mut metadata = BTreeMap::new();
    for _ in 0..entry_count {
        let key = cursor.string()?;
        let kind = cursor.u32()?;
        let value =
            cursor.value(kind, 0).map_err(|what| format!("metadata key '{key}': {what}"))?;
        if metadata.insert(key.clone(), value).is_some() {
            return Err(format!("metadata key '{key}' is given twice"));
        }
    }
    let alignment = match metadata.get("general.alignment") {
        None => 32,
        Some(Metadata::Unsigned(value)) if value.is_power_of_two() && *value <= 1 << 20 => {
            *value as usize
        }
        Some(other) => {
            return Err(format!("general.alignment {other:?} is no power of two up to 2^20"));
        }
    };
    let mut infos = Vec::new();
    for _ in 0..tensor_count {
        infos.push(tensor_info(cursor)?);
    }
    let data = cursor.at.next_multiple_of(alignment);
    let mut tensors = BTreeMap::new();
    for (name, shape, blocks, offset, bytes) in infos {
        let place = || format!("tensor '{name}': {bytes} bytes at offset {offset}");
        if !offset.is_multiple_of(alignment) {
            return Err(format!("{} are not aligned to {alignment}", place()));
        }
        let start =
            data.checked_add(offset).ok_or_else(|| format!("{} are out of range", place()))?;
        let end = start.checked_add(bytes).filter(|end| *end <= cursor.bytes.len());
        let end = end
            .ok_or_else(|| format!("{} reach beyond the file's {}", place(), cursor.bytes.len()))?;
        if tensors.insert(name.clone(), TensorInfo { shape, blocks, start, end }).is_some() {
            return Err(format!("tensor '{name}' is given twice"));
        }
    }
    no_overlap(&tensors)?;
    Ok((metadata, tensors))
}

/// Without this a small file could name the same bytes as many large tensors.
fn no_overlap(tensors: &BTreeMap<String, TensorInfo>) -> Result<(), String> {
    let mut places: Vec<_> =
        tensors.iter().map(|(name, info)| (info.start, info.end, name)).collect();
    places.sort();
    for pair in places.windows(2) {
        if pair[0].1 > pair[1].0 {
            return Err(format!("tensors '{}' and '{}' share bytes", pair[0].2, pair[1].2));
        }
    }
    Ok(())
}

/// (name, shape, blocks, offset, bytes).
fn tensor_info(
    cursor: &mut Cursor<'_>,
) -> Result<(String, Vec<i64>, BlockType, usize, usize), String> {
    let name = cursor.string()?;
    let dims = cursor.u32()?;
    if !(1..=4).contains(&dims) {
        return Err(format!("tensor '{name}' has {dims} dimensions (1 to 4 are supported)"));
    }
    let mut shape = Vec::with_capacity(dims as usize);
    for _ in 0..dims {
        shape.push(cursor.u64()?);
    }
    let id = cursor.u32()?;
    let blocks = BlockType::from_id(id).map_err(|kind| {
        format!("tensor '{name}' is stored as {kind}, which is not supported (supported: F32, F16, BF16, Q8_0, Q4_0, Q4_1, Q4_K, Q6_K)")
    })?;
    let offset = cursor.u64()?;
    let (elements, bytes) = blocks.block();
    let row = shape[0];
    if !row.is_multiple_of(elements as u64) {
        return Err(format!(
            "tensor '{name}': rows of {row} elements are no whole blocks of {elements}"
        ));
    }
    let total = shape.iter().try_fold(1_u64, |product, size| product.checked_mul(*size));
    let total = total.filter(|total| *total > 0 && *total < 1 << 40);
    let total =
        total.ok_or_else(|| format!("tensor '{name}' has the impossible shape {shape:?}"))?;
    let size = (total / elements as u64)
        .checked_mul(bytes as u64)
        .and_then(|size| usize::try_from(size).ok());
    let size = size.ok_or_else(|| format!("tensor '{name}' is too large"))?;
    let offset = usize::try_from(offset)
        .map_err(|_| format!("tensor '{name}': offset {offset} is out of range"))?;
    // ggml names the fastest dimension first.
    let shape = shape.iter().rev().map(|&size| size as i64).collect();
    Ok((name, shape, blocks, offset, size))
}

/// Reads from the front; never beyond the end.
struct Cursor<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Cursor<'a> {
    fn take(&mut self, count: usize) -> Result<&'a [u8], String> {
        let end = self.at.checked_add(count).filter(|end| *end <= self.bytes.len());
        let end = end.ok_or_else(|| {
            format!(
                "ends too early: {count} bytes wanted at byte {}, {} in all",
                self.at,
                self.bytes.len()
            )
        })?;
        let taken = &self.bytes[self.at..end];
        self.at = end;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], String> {
        let mut out = [0; N];
        out.copy_from_slice(self.take(N)?);
        Ok(out)
    }

    fn u32(&mut self) -> Result<u32, String> {
        self.array().map(u32::from_le_bytes)
    }

    fn u64(&mut self) -> Result<u64, String> {
        self.array().map(u64::from_le_bytes)
    }

    fn count(&mut self, what: &str, max: u64) -> Result<u64, String> {
        let count = self.u64()?;
        if count > max {
            return Err(format!("claims {count} {what}; the limit is {max}"));
        }
        Ok(count)
    }

    fn string(&mut self) -> Result<String, String> {
        let length = self.count("bytes of a string", STRING_MAX)?;
        let at = self.at;
        let bytes = self.take(length as usize)?;
        String::from_utf8(bytes.to_vec())
            .map_err(|_| format!("the string at byte {at} is not UTF-8"))
    }

    fn value(&mut self, kind: u32, depth: usize) -> Result<Metadata, String> {
        let signed = |value: i64| match u64::try_from(value) {
            Ok(value) => Metadata::Unsigned(value),
            Err(_) => Metadata::Signed(value),
        };
        Ok(match kind {
            0 => Metadata::Unsigned(self.array::<1>()?[0].into()),
            1 => signed(i8::from_le_bytes(self.array()?).into()),
            2 => Metadata::Unsigned(u16::from_le_bytes(self.array()?).into()),
            3 => signed(i16::from_le_bytes(self.array()?).into()),
            4 => Metadata::Unsigned(self.u32()?.into()),
            5 => signed(i32::from_le_bytes(self.array()?).into()),
            6 => Metadata::Float(f32::from_le_bytes(self.array()?).into()),
            7 => Metadata::Bool(self.array::<1>()?[0] != 0),
            8 => Metadata::Text(self.string()?),
            9 if depth < DEPTH_MAX => {
                let kind = self.u32()?;
                let count = self.count("entries of a list", ARRAY_MAX)?;
                // Entries take at least a byte each, so a claim beyond the file's end is refused before it is reserved.
                if count as usize > self.bytes.len() - self.at {
                    return Err(format!("claims {count} entries, more than the file has bytes"));
                }
                let mut list = Vec::with_capacity(count as usize);
                for _ in 0..count {
                    list.push(self.value(kind, depth + 1)?);
                }
                Metadata::List(list)
            }
            9 => return Err(format!("lists are nested deeper than {DEPTH_MAX}")),
            10 => Metadata::Unsigned(self.u64()?),
            11 => signed(i64::from_le_bytes(self.array()?)),
            12 => Metadata::Float(f64::from_le_bytes(self.array()?)),
            other => return Err(format!("has the unknown type {other}")),
        })
    }
}

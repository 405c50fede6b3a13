//! Where a model's weights come from and how tensors are written: safetensors only. No pickled format is ever opened.

pub mod safetensors;
pub mod writer;

use tch::{Kind, Tensor};
use trainyard_openapi::job_error::JobErrorCode;

use crate::error::{Result, TrainerError};

/// Named tensors, read one at a time so that a model never stands in memory twice.
pub trait WeightSource {
    /// The names of all tensors, sorted.
    fn names(&self) -> Vec<String>;

    /// The tensor `name` on the CPU in its stored number format, or `None` where there is none.
    ///
    /// # Errors
    /// Where the file cannot be read or the tensor is not one of the formats that libtorch has.
    fn tensor(&self, name: &str) -> Result<Option<Tensor>>;

    /// Copies the tensor `name` into `into`, in its number format and to its device, unless the shapes differ; gives its shape, or `None` where
    /// there is none.
    ///
    /// # Errors
    /// As [`WeightSource::tensor`].
    fn copy_into(&self, name: &str, into: &mut Tensor) -> Result<Option<Vec<i64>>> {
        let Some(tensor) = self.tensor(name)? else { return Ok(None) };
        let shape = tensor.size();
        if shape == into.size() {
            into.f_copy_(&tensor)?;
        }
        Ok(Some(shape))
    }
}

/// Copies the tensor `name` into `into`, whose shape it has to have.
///
/// # Errors
/// A user error naming the tensor and both shapes where it is missing or has another shape.
pub fn require(source: &dyn WeightSource, name: &str, into: &mut Tensor) -> Result<()> {
    let shape = into.size();
    let Some(seen) = source.copy_into(name, into)? else {
        let message =
            format!("the model's weights have no tensor '{name}' (expected shape {shape:?})");
        return Err(TrainerError::user(
            JobErrorCode::InvalidModel,
            Some("model".to_string()),
            message,
        ));
    };
    if seen != shape {
        let message = format!(
            "tensor '{name}' has shape {seen:?}, but the model's configuration asks for {shape:?}"
        );
        return Err(TrainerError::user(
            JobErrorCode::InvalidModel,
            Some("model".to_string()),
            message,
        ));
    }
    Ok(())
}

/// The bytes of a CPU tensor in C order, little-endian.
///
/// # Errors
/// Where libtorch cannot bring it to contiguous CPU memory.
pub fn bytes_of(tensor: &Tensor) -> Result<Vec<u8>> {
    let tensor = tensor.f_to_device(tch::Device::Cpu)?.f_contiguous()?;
    let count = tensor.numel();
    let mut bytes = vec![0_u8; count * element_size(tensor.kind())?];
    tensor.f_copy_data_u8(&mut bytes, count)?;
    Ok(bytes)
}

/// Bytes of one element.
///
/// # Errors
/// For kinds that have no safetensors format.
pub fn element_size(kind: Kind) -> Result<usize> {
    match kind {
        Kind::Bool | Kind::Uint8 | Kind::Int8 => Ok(1),
        Kind::BFloat16 | Kind::Half | Kind::Int16 => Ok(2),
        Kind::Float | Kind::Int => Ok(4),
        Kind::Double | Kind::Int64 => Ok(8),
        other => Err(TrainerError::Torch(format!("no safetensors format for {other:?}"))),
    }
}

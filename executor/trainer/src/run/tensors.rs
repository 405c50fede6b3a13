//! Plain batches to tensors.

use tch::{Device, Tensor};

use crate::arch::ModelBatch;
use crate::data::Batch;
use crate::error::Result;

/// The batch's tensors on `device`.
///
/// # Errors
/// As libtorch reports.
pub fn to_device(batch: &Batch, device: Device) -> Result<ModelBatch> {
    let shape = [batch.rows as i64, batch.cols as i64];
    let tensor =
        |values: &[i64]| -> Result<Tensor> { Ok(Tensor::f_from_slice(values)?.f_view(shape)?) };
    let (ids, labels) = (tensor(&batch.input_ids)?, tensor(&batch.labels)?);
    let positions = tensor(&batch.position_ids)?;
    ModelBatch::new(&ids, &labels, &positions, batch.sequences.clone(), device)
}

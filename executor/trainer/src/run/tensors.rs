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
    let tensor = |values: &[i64]| -> Result<Tensor> {
        Ok(Tensor::f_from_slice(values)?.f_view(shape)?.f_to_device(device)?)
    };
    Ok(ModelBatch {
        input_ids: tensor(&batch.input_ids)?,
        labels: tensor(&batch.labels)?,
        position_ids: tensor(&batch.position_ids)?,
        segment_ids: batch.segment_ids.as_deref().map(tensor).transpose()?,
    })
}

//! Rows of tokens on the model's device. What decides over shapes and kernels is known on the processor: nothing asks the device for it.

use tch::{Device, Tensor};

use crate::data::Sequences;
use crate::device;
use crate::error::Result;
use crate::objective::cross_entropy::Targets;

/// A batch.
#[derive(Debug)]
pub struct ModelBatch {
    /// Token ids, (b, t) in int64.
    pub input_ids: Tensor,
    /// What is to be predicted.
    pub targets: Targets,
    /// How the positions belong together.
    pub layout: Layout,
}

/// How the positions of rows belong together.
#[derive(Debug)]
pub struct Layout {
    /// Positions, from 0 in each sequence, (b, t) or, where all rows are alike, (1, t) in int64.
    pub position_ids: Tensor,
    /// The highest position, and one.
    pub positions: i64,
    /// Where sequences lie in the rows.
    pub sequences: Sequences,
    /// Their bounds, in int32.
    pub bounds: Tensor,
}

impl ModelBatch {
    /// A batch of tensors on the processor, brought to `device`. `labels_bt` are aligned with `input_ids` as in transformers: -100 asks for no
    /// loss, and the loss shifts them.
    ///
    /// # Errors
    /// As libtorch reports.
    pub fn new(
        input_ids: &Tensor,
        labels_bt: &Tensor,
        position_ids: &Tensor,
        sequences: Sequences,
        device: Device,
    ) -> Result<Self> {
        Ok(Self {
            input_ids: device::send(input_ids, device)?,
            targets: Targets::of(labels_bt, device)?,
            layout: Layout::new(position_ids, sequences, device)?,
        })
    }
}

impl Layout {
    /// `position_ids` are on the processor; they go to `device`.
    ///
    /// # Errors
    /// As libtorch reports.
    pub fn new(position_ids: &Tensor, sequences: Sequences, device: Device) -> Result<Self> {
        let positions = match position_ids.numel() {
            0 => 0,
            _ => position_ids.f_max()?.f_int64_value(&[])? + 1,
        };
        Ok(Self {
            position_ids: device::send(position_ids, device)?,
            positions,
            bounds: device::send(&Tensor::f_from_slice(sequences.bounds())?, device)?,
            sequences,
        })
    }

    /// Positions counted from 0 in each of `sequences`.
    ///
    /// # Errors
    /// As libtorch reports.
    pub fn of(sequences: Sequences, device: Device) -> Result<Self> {
        let shape = [sequences.rows as i64, sequences.length as i64];
        let position_ids = Tensor::f_from_slice(&sequences.places())?.f_view(shape)?;
        Self::new(&position_ids, sequences, device)
    }
}

//! What all blocks of one forward pass share.

use tch::{Kind, Tensor};

use crate::data::Sequences;
use crate::device;
use crate::error::Result;
use crate::nn::compute::Compute;
use crate::nn::rope::Rotation;
use crate::peft::lora::Pass;

/// What all blocks of one forward pass share.
pub struct Context<'a> {
    /// How the model computes.
    pub compute: &'a Compute,
    /// Cosine and sine.
    pub rotation: &'a Rotation,
    /// Where sequences lie in the rows.
    pub sequences: &'a Sequences,
    /// Their bounds on the device, in int32.
    pub bounds: &'a Tensor,
    /// What the adapters do in this pass.
    pub pass: &'a Pass,
}

impl Context<'_> {
    /// Positions of a row.
    pub fn length(&self) -> i64 {
        self.sequences.length as i64
    }

    /// The first position that each one sees: within its window, and of its own sequence. (b t) in int32, on the processor.
    ///
    /// # Errors
    /// As libtorch reports.
    pub fn first_keys(&self, window: Option<i64>) -> Result<Tensor> {
        Ok(Tensor::f_from_slice(&self.sequences.first_keys(window))?)
    }

    /// The additive mask where the plain causal one is not enough: 0 where position i may see j, -inf elsewhere. (b, 1, t, t).
    ///
    /// # Errors
    /// As libtorch reports.
    pub fn mask(&self, window: Option<i64>) -> Result<Option<Tensor>> {
        let (t, device) = (self.length(), self.compute.device);
        let window = window.filter(|&window| window < t);
        if window.is_none() && !self.sequences.are_packed() {
            return Ok(None);
        }
        let first = device::send(&self.first_keys(window)?, device)?.f_view([-1, 1, t, 1])?;
        let index = Tensor::f_arange(t, (Kind::Int, device))?;
        let causal = index.f_unsqueeze(0)?.f_le_tensor(&index.f_unsqueeze(1)?)?;
        let allowed = index.f_ge_tensor(&first)?.f_logical_and(&causal)?;
        let mask = Tensor::f_zeros(allowed.size(), (self.compute.kind, device))?;
        Ok(Some(mask.f_masked_fill(&allowed.f_logical_not()?, f64::NEG_INFINITY)?))
    }
}

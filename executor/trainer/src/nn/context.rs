//! What all blocks of one forward pass share.

use tch::{Kind, Tensor};

use crate::arch::Layout;
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
    /// How the positions of the batch belong together.
    pub layout: &'a Layout,
    /// What the adapters do in this pass.
    pub pass: &'a Pass,
}

impl Context<'_> {
    /// Positions of a row.
    pub fn length(&self) -> i64 {
        self.layout.sequences.length as i64
    }

    /// The first position that each one sees: within its window, and of its own sequence. (b t) in int32, on the processor.
    ///
    /// # Errors
    /// As libtorch reports.
    pub fn first_keys(&self, window: Option<i64>) -> Result<Tensor> {
        Ok(Tensor::f_from_slice(&self.layout.sequences.first_keys(window))?)
    }

    /// Which of `before` positions that stand before each sequence a position sees, (b t, before); `None` where each sees all.
    ///
    /// # Errors
    /// As libtorch reports.
    pub fn sees_before(&self, window: Option<i64>, before: i64) -> Result<Option<Tensor>> {
        let Layout { position_ids, positions, sequences, .. } = self.layout;
        let Some(window) = window.filter(|&window| window < positions + before) else {
            return Ok(None);
        };
        let shape = [sequences.rows as i64, self.length()];
        let own_n = position_ids.f_expand(shape, false)?.f_reshape([-1, 1])?;
        let places = Tensor::f_arange(before, (Kind::Int64, self.compute.device))?;
        let distance = own_n.f_add_scalar(before)?.f_sub(&places.f_unsqueeze(0)?)?;
        Ok(Some(distance.f_lt(window)?))
    }

    /// The additive mask where the plain causal one is not enough: 0 where position i may see j, -inf elsewhere. (b, 1, t, before + t), with
    /// `before` positions that stand before each sequence.
    ///
    /// # Errors
    /// As libtorch reports.
    pub fn mask(&self, window: Option<i64>, before: i64) -> Result<Option<Tensor>> {
        let (t, device) = (self.length(), self.compute.device);
        let within = window.filter(|&window| window < t);
        if within.is_none() && before == 0 && !self.layout.sequences.are_packed() {
            return Ok(None);
        }
        let first = device::send(&self.first_keys(within)?, device)?.f_view([-1, 1, t, 1])?;
        let index = Tensor::f_arange(t, (Kind::Int, device))?;
        let causal = index.f_unsqueeze(0)?.f_le_tensor(&index.f_unsqueeze(1)?)?;
        let mut allowed = index.f_ge_tensor(&first)?.f_logical_and(&causal)?;
        if before > 0 {
            let shape = [allowed.size()[0], 1, t, before];
            let seen = match self.sees_before(window, before)? {
                Some(seen) => seen.f_view(shape)?,
                None => Tensor::f_ones(shape, (Kind::Bool, device))?,
            };
            allowed = Tensor::f_cat(&[&seen, &allowed], 3)?;
        }
        let mask = Tensor::f_zeros(allowed.size(), (self.compute.kind, device))?;
        Ok(Some(mask.f_masked_fill(&allowed.f_logical_not()?, f64::NEG_INFINITY)?))
    }
}

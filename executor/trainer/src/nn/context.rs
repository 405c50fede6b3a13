//! What all blocks of one forward pass share.

use tch::{Kind, Tensor};

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
    /// Rows of the batch.
    pub rows: i64,
    /// Positions of a row.
    pub length: i64,
    /// Which sequence of its row each position belongs to, (b, t); `None` where rows hold one sequence each.
    pub segments_bt: Option<&'a Tensor>,
    /// Positions in their own sequences, from 0, (b or 1, t): without those that are learned as keys and values before it.
    pub positions_bt: &'a Tensor,
    /// What the adapters do in this pass.
    pub pass: &'a Pass,
}

impl Context<'_> {
    /// The first position that each one sees: within its window, and of its own sequence. (b t) in int32. Padding at the end of a row
    /// needs no care: nothing before it sees it, and its own output is not used.
    ///
    /// # Errors
    /// As libtorch reports.
    pub fn first_keys(&self, window: Option<i64>) -> Result<Tensor> {
        let segments: Option<Vec<i64>> = match self.segments_bt {
            Some(segments) => Some(segments.f_reshape([-1])?.f_contiguous()?.try_into()?),
            None => None,
        };
        let mut first = Vec::with_capacity((self.rows * self.length) as usize);
        for row in 0..self.rows {
            let mut start = 0;
            for position in 0..self.length {
                let at = (row * self.length + position) as usize;
                if let Some(segments) = &segments
                    && position > 0
                    && segments[at] != segments[at - 1]
                {
                    start = position;
                }
                let seen = window.map_or(0, |window| position + 1 - window);
                first.push(seen.max(start) as i32);
            }
        }
        Ok(Tensor::f_from_slice(&first)?)
    }

    /// Which of `before` positions that stand before each sequence a position sees, (b t, before); `None` where it sees all.
    ///
    /// # Errors
    /// As libtorch reports.
    pub fn sees_before(&self, window: Option<i64>, before: i64) -> Result<Option<Tensor>> {
        let Some(window) = window else { return Ok(None) };
        let places = Tensor::f_arange(before, (Kind::Int64, self.compute.device))?;
        let own =
            self.positions_bt.f_expand([self.rows, self.length], false)?.f_reshape([-1, 1])?;
        let distance = own.f_add_scalar(before)?.f_sub(&places.f_unsqueeze(0)?)?;
        Ok(Some(distance.f_lt(window)?))
    }

    /// The additive mask where the plain causal one is not enough: 0 where position i may see j, -inf elsewhere. (b or 1, 1, t, before + t), with
    /// `before` positions that stand before each sequence.
    ///
    /// # Errors
    /// As libtorch reports.
    pub fn mask(&self, window: Option<i64>, before: i64) -> Result<Option<Tensor>> {
        let (t, device) = (self.length, self.compute.device);
        let passed_over = self.sees_before(window, before)?;
        let window = window.filter(|&window| window < t);
        if window.is_none() && self.segments_bt.is_none() && before == 0 {
            return Ok(None);
        }
        let index = Tensor::f_arange(t, (Kind::Int64, device))?;
        let distance = index.f_unsqueeze(1)?.f_sub(&index.f_unsqueeze(0)?)?;
        let mut allowed = distance.f_ge(0)?;
        if let Some(window) = window {
            allowed = allowed.f_logical_and(&distance.f_lt(window)?)?;
        }
        let mut allowed = allowed.f_unsqueeze(0)?.f_unsqueeze(0)?;
        if let Some(segments) = self.segments_bt {
            let same =
                segments.f_unsqueeze(2)?.f_eq_tensor(&segments.f_unsqueeze(1)?)?.f_unsqueeze(1)?;
            allowed = allowed.f_logical_and(&same)?;
        }
        if before > 0 {
            let seen = match passed_over {
                Some(seen) => seen.f_view([self.rows, 1, t, before])?,
                None => Tensor::f_ones([1, 1, t, before], (Kind::Bool, device))?,
            };
            let rows = seen.size()[0].max(allowed.size()[0]);
            let each = |part: &Tensor| part.f_expand([rows, -1, -1, -1], false);
            allowed = Tensor::f_cat(&[each(&seen)?, each(&allowed)?], 3)?;
        }
        let mask = Tensor::f_zeros(allowed.size(), (self.compute.kind, device))?;
        Ok(Some(mask.f_masked_fill(&allowed.f_logical_not()?, f64::NEG_INFINITY)?))
    }
}

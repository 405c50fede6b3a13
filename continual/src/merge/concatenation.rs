//! A weighted sum of low-rank adapters as one adapter, exactly.
//!
//! `sum over i of w_i s_i B_i A_i = [w_1 s_1 B_1, w_2 s_2 B_2, ..] [A_1; A_2; ..]`: the A are stacked by rows, the B by columns with each
//! multiplied by its weight and its scale. The ranks add up and the scale of the result is 1. `combination_type="cat"` of PEFT's
//! `add_weighted_adapter` is the same sum, with the factor on A.

use serde::{Deserialize, Serialize};

use crate::error::{ContinualError, finite, within};

/// One adapter of the sum.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Part {
    /// `r_i`: rows of its A (r, in), columns of its B (out, r).
    pub rank: u32,
    /// `s_i`, by which it multiplies B A: alpha / r, or alpha / sqrt(r) with rank-stabilised scaling.
    pub scale: f64,
    /// `w_i`, its weight in the sum. Below 0 it is subtracted.
    pub weight: f64,
}

/// Where one adapter goes.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Placed {
    /// The first row of the stacked A, and column of the stacked B, that is its own.
    pub offset: u32,
    /// How many are.
    pub rank: u32,
    /// `w_i s_i`: what its B is multiplied by. Its A goes in as it is.
    pub factor: f64,
}

/// The plan of a concatenation. The adapter that comes of it has this rank, an alpha equal to it, and no rank-stabilised scaling: scale 1.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Concatenation {
    rank: u32,
    parts: Vec<Placed>,
}

impl Concatenation {
    /// The sum of `parts`, in their order.
    ///
    /// # Errors
    /// No part, a rank of 0, a scale that is not above 0, a weight that is 0 (it would fill rank with nothing: leave the part out), a number that
    /// is not finite, or ranks that add up to more than `rank_max`.
    pub fn plan(parts: &[Part], rank_max: u32) -> Result<Self, ContinualError> {
        within("parts", "at least 1 adapter", parts.len(), !parts.is_empty())?;
        let mut offset = 0_u64;
        let mut placed = Vec::with_capacity(parts.len());
        for (place, Part { rank, scale, weight }) in parts.iter().enumerate() {
            within(format_args!("parts[{place}].rank"), "at least 1", rank, *rank > 0)?;
            let field = format!("parts[{place}].scale");
            finite(&field, *scale)?;
            within(&field, "above 0", scale, *scale > 0.0)?;
            let field = format!("parts[{place}].weight");
            finite(&field, *weight)?;
            within(&field, "other than 0", weight, *weight != 0.0)?;
            let factor = weight * scale;
            let limit = "of a finite product with its scale, not rounded to 0";
            within(&field, limit, weight, factor.is_finite() && factor != 0.0)?;
            // Checked below, for all parts together.
            placed.push(Placed { offset: offset as u32, rank: *rank, factor });
            offset += u64::from(*rank);
        }
        let total = format_args!("{offset} of {} adapters", parts.len());
        within("rank", format_args!("at most {rank_max}"), total, offset <= u64::from(rank_max))?;
        Ok(Self { rank: offset as u32, parts: placed })
    }

    /// The rank of the sum: that of all parts together.
    #[must_use]
    pub fn rank(&self) -> u32 {
        self.rank
    }

    /// Where each part goes, in their order.
    #[must_use]
    pub fn parts(&self) -> &[Placed] {
        &self.parts
    }
}

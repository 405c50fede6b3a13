//! How examples become rows of tokens, and rows become batches.

use serde::{Deserialize, Serialize};

use crate::auto::Auto;

/// The number format of the frozen base and of activations. Adapters, losses and optimizer state are fp32 always.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Precision {
    /// 32-bit floats.
    Fp32,
    /// Brain floats: 8 bits of exponent, 7 of mantissa.
    Bf16,
    /// Half floats. Refused on processors: no fast kernels there.
    Fp16,
}

/// How examples become rows.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Sequence {
    /// Tokens in a row at most.
    #[schema(minimum = 8)]
    pub max_length: u32,
    /// Whether several examples share a row. `"auto"` packs when padding would waste over 30 % of the tokens.
    #[schema(schema_with = crate::auto::boolean)]
    pub packing: Auto<bool>,
    /// What happens to an example with more tokens. Counted and reported either way.
    pub overlong: Overlong,
}

impl Default for Sequence {
    fn default() -> Self {
        Self { max_length: 1024, packing: Auto::Auto, overlong: Overlong::Truncate }
    }
}

/// What happens to an example with more than `max_length` tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Overlong {
    /// The tokens at the end are left out.
    Truncate,
    /// The example becomes several rows.
    Split,
    /// The example is left out.
    Reject,
}

/// How an effective batch is cut to fit the memory.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Batching {
    /// Rows that go through the model at once.
    #[schema(schema_with = crate::auto::integer)]
    pub micro_batch_size: Auto<u32>,
    /// Whether activations are computed again in the backward pass instead of kept.
    #[schema(schema_with = crate::auto::boolean)]
    pub gradient_checkpointing: Auto<bool>,
}

//! Grouped-query attention over rotated heads.

use tch::{Device, Kind, Tensor};

use crate::error::Result;
use crate::nn::linear::Linear;
use crate::nn::norm::RmsNorm;
use crate::nn::rope::Rotation;
use crate::peft::lora::Pass;

/// The attention of a block.
#[derive(Debug)]
pub struct Attention {
    /// To query heads.
    pub q_proj: Linear,
    /// To key heads.
    pub k_proj: Linear,
    /// To value heads.
    pub v_proj: Linear,
    /// Back to the residual stream.
    pub o_proj: Linear,
    /// Norms on query and key heads (Qwen 3).
    pub qk_norm: Option<(RmsNorm, RmsNorm)>,
    /// Query heads.
    pub heads: i64,
    /// Key and value heads.
    pub kv_heads: i64,
    /// Width of a head.
    pub head_dim: i64,
    /// Tokens that a position sees, itself included.
    pub window: Option<i64>,
}

impl Attention {
    /// `x_btd` to (b, t, d).
    ///
    /// # Errors
    /// As libtorch reports.
    pub fn forward(&self, x_btd: &Tensor, context: &Context<'_>) -> Result<Tensor> {
        let (b, t) = (x_btd.size()[0], x_btd.size()[1]);
        let heads = |y: Tensor, count: i64| y.f_view([b, t, count, self.head_dim]);
        let mut q = heads(self.q_proj.forward(x_btd, context.pass)?, self.heads)?;
        let mut k = heads(self.k_proj.forward(x_btd, context.pass)?, self.kv_heads)?;
        let v =
            heads(self.v_proj.forward(x_btd, context.pass)?, self.kv_heads)?.f_transpose(1, 2)?;
        if let Some((q_norm, k_norm)) = &self.qk_norm {
            q = q_norm.forward(&q)?;
            k = k_norm.forward(&k)?;
        }
        let q = context.rotation.apply(&q.f_transpose(1, 2)?)?;
        let k = context.rotation.apply(&k.f_transpose(1, 2)?)?;
        let mask = context.mask(self.window, t)?;
        let grouped = self.heads != self.kv_heads;
        let out = Tensor::f_scaled_dot_product_attention(
            &q,
            &k,
            &v,
            mask.as_ref(),
            0.0,
            mask.is_none(),
            None,
            grouped,
        )?;
        let out = out.f_transpose(1, 2)?.f_reshape([b, t, self.heads * self.head_dim])?;
        self.o_proj.forward(&out, context.pass)
    }
}

/// What all blocks of one forward pass share.
pub struct Context<'a> {
    /// Cosine and sine.
    pub rotation: &'a Rotation,
    /// Which row of a packed batch each position belongs to, (b, t); `None` where rows hold one sequence each.
    pub segments_bt: Option<&'a Tensor>,
    /// The compute format.
    pub kind: Kind,
    /// The device.
    pub device: Device,
    /// What the adapters do in this pass.
    pub pass: &'a Pass,
}

impl Context<'_> {
    /// The additive mask where the plain causal one is not enough: 0 where position i may see j, -inf elsewhere. (b or
    /// 1, 1, t, t). Padding at the end of a row needs none: nothing before it sees it, and its own output is not used.
    fn mask(&self, window: Option<i64>, t: i64) -> Result<Option<Tensor>> {
        let window = window.filter(|&window| window < t);
        if window.is_none() && self.segments_bt.is_none() {
            return Ok(None);
        }
        let index = Tensor::f_arange(t, (Kind::Int64, self.device))?;
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
        let mask = Tensor::f_zeros(allowed.size(), (self.kind, self.device))?;
        Ok(Some(mask.f_masked_fill(&allowed.f_logical_not()?, f64::NEG_INFINITY)?))
    }
}

//! Grouped-query attention over rotated heads.
//!
//! Queries, keys and values of a position lie side by side in one row, as the projection gives them, and the kernel works on them in
//! place: nothing is transposed or copied. Scores are computed again in the backward pass; only their log sums are kept. On CUDA devices the
//! kernel is libtorch's `FlashAttention`; for formats and heads that it does not take, libtorch's general operator stands in.

use tch::{Kind, Tensor};

use crate::error::Result;
use crate::kernels::{self, Heads, Over};
use crate::nn::compute::{Kernels, copied};
use crate::nn::context::Context;
use crate::nn::linear::{Kept, Linear};
use crate::nn::norm::RmsNorm;
use crate::peft::lora::Pass;
use crate::peft::prefix::{Prefix, Side};

/// The attention of a block.
#[derive(Debug)]
pub struct Attention {
    /// To query, key and value heads.
    pub qkv: Linear,
    /// Back to the residual stream.
    pub o_proj: Linear,
    /// Norms on query and key heads (Qwen 3).
    pub qk_norm: Option<(RmsNorm, RmsNorm)>,
    /// The heads.
    pub heads: Heads,
    /// Tokens that a position sees, itself included.
    pub window: Option<i64>,
    /// Learned keys and values before the sequence.
    pub prefix: Option<Prefix>,
}

/// What the backward pass needs.
#[derive(Debug)]
pub struct KeptAttention {
    qkv: Tensor,
    normed: Option<[NormedHeads; 2]>,
    out: Tensor,
    core: Core,
    of_qkv: Kept,
    of_o: Kept,
}

/// Heads before their norm, a head a row, with the reciprocal roots.
#[derive(Debug)]
struct NormedHeads {
    before: Tensor,
    rstd: Tensor,
}

/// What the core keeps: log sums, or the graph that libtorch made.
#[derive(Debug)]
enum Core {
    Fused { lse: Tensor },
    Flash { lse: Tensor },
    Graph { leaves: Vec<Tensor>, out: Tensor },
}

impl KeptAttention {
    /// Queries, keys and values side by side, rotated.
    pub fn qkv(&self) -> &Tensor {
        &self.qkv
    }
}

impl Attention {
    /// Adds the attention of `x_nd` to `onto_nd`.
    ///
    /// # Errors
    /// As libtorch reports.
    pub fn forward(
        &self,
        x_nd: &Tensor,
        onto_nd: &Tensor,
        context: &Context<'_>,
    ) -> Result<(Tensor, KeptAttention)> {
        let compute = context.compute;
        let (mut qkv, of_qkv) = self.qkv.forward(x_nd, None, compute, context.pass)?;
        let normed = match &self.qk_norm {
            Some((q_norm, k_norm)) => Some([
                self.norm_heads(q_norm, &mut qkv, 0, self.heads.query, compute.kernels)?,
                self.norm_heads(
                    k_norm,
                    &mut qkv,
                    self.heads.query,
                    self.heads.key,
                    compute.kernels,
                )?,
            ]),
            None => None,
        };
        let turned = self.heads.query + self.heads.key;
        context.rotation.turn(&mut qkv, turned, self.heads.width, false, compute.kernels)?;
        let (out, core) = if compute.kernels == Kernels::Processor {
            self.fused(&qkv, context)?
        } else if compute.flash && kernels::flash_takes(self.heads) {
            self.flash(&qkv, context)?
        } else {
            self.graph(&qkv, context)?
        };
        let (y, of_o) = self.o_proj.forward(&out, Some(onto_nd), compute, context.pass)?;
        Ok((y, KeptAttention { qkv, normed, out, core, of_qkv, of_o }))
    }

    /// Adds the gradients of the parameters, and gives that of `x_nd` for `dy_nd` where it is `wanted`.
    ///
    /// # Errors
    /// As libtorch reports.
    pub fn backward(
        &self,
        dy_nd: &Tensor,
        x_nd: &Tensor,
        kept: KeptAttention,
        context: &Context<'_>,
        wanted: bool,
    ) -> Result<Option<Tensor>> {
        let (compute, pass) = (context.compute, context.pass);
        let KeptAttention { qkv, normed, out, core, of_qkv, of_o } = kept;
        let Some(dout) = self.o_proj.backward(dy_nd, &out, &of_o, compute, pass, true)? else {
            return Ok(None);
        };
        let mut dqkv = match core {
            Core::Fused { lse } => self.fused_backward(&dout, &qkv, &out, lse, context)?,
            Core::Flash { lse } => self.flash_backward(&dout, &qkv, (&out, &lse), context)?,
            Core::Graph { leaves, out } => self.graph_backward(&dout, &leaves, &out, pass)?,
        };
        let turned = self.heads.query + self.heads.key;
        context.rotation.turn(&mut dqkv, turned, self.heads.width, true, compute.kernels)?;
        if let (Some([q, k]), Some((q_norm, k_norm))) = (&normed, &self.qk_norm) {
            self.norm_heads_backward(q_norm, &mut dqkv, 0, q, context)?;
            self.norm_heads_backward(k_norm, &mut dqkv, self.heads.query, k, context)?;
        }
        self.qkv.backward(&dqkv, x_nd, &of_qkv, compute, pass, wanted)
    }

    /// The format that the kernel computes in. Products of bf16 numbers take them in pairs.
    fn format(&self, context: &Context<'_>) -> Kind {
        if self.heads.width % 2 == 0 { context.compute.attention } else { Kind::Float }
    }

    fn over<'a>(&self, context: &Context<'a>) -> Over<'a> {
        let layout = context.layout;
        Over::new(&layout.sequences, &layout.bounds, self.window)
    }

    fn fused(&self, qkv: &Tensor, context: &Context<'_>) -> Result<(Tensor, Core)> {
        let first = context.first_keys(self.window)?;
        let kind = self.format(context);
        let own = qkv.f_to_kind(kind)?;
        let (mut out, mut lse) = kernels::attention(&own, &first, context.length(), self.heads)?;
        if let Some(prefix) = self.prefix(context.pass) {
            (out, lse) = prefix.join(&own, (&out, &lse), context, self.window)?;
        }
        Ok((out.f_to_kind(qkv.kind())?, Core::Fused { lse }))
    }

    fn fused_backward(
        &self,
        dout: &Tensor,
        qkv: &Tensor,
        out: &Tensor,
        mut lse: Tensor,
        context: &Context<'_>,
    ) -> Result<Tensor> {
        let own = |x: &Tensor| x.f_to_kind(self.format(context));
        let first = context.first_keys(self.window)?;
        let (dout, own_qkv, out) = (own(dout)?, own(qkv)?, own(out)?);
        // The kernel writes over the log sums.
        let whole = match self.prefix(context.pass) {
            Some(prefix) => Some((prefix, copied(&lse)?)),
            None => None,
        };
        let kept = (&out, &mut lse);
        let length = context.length();
        let dqkv = kernels::attention_backward(&dout, &own_qkv, &first, kept, length, self.heads)?;
        let dqkv = dqkv.f_to_kind(qkv.kind())?;
        if let Some((prefix, lse)) = whole {
            prefix.join_backward(&dout, &own_qkv, (&out, &lse), &dqkv, context, self.window)?;
        }
        Ok(dqkv)
    }

    fn flash(&self, qkv: &Tensor, context: &Context<'_>) -> Result<(Tensor, Core)> {
        let (mut out, mut lse) = kernels::flash_attention(qkv, self.over(context), self.heads)?;
        if let Some(prefix) = self.prefix(context.pass) {
            // A row of log sums is a head there.
            let lse_nh = lse.f_transpose(0, 1)?;
            let (joined, whole_nh) = prefix.join(qkv, (&out, &lse_nh), context, self.window)?;
            (out, lse) = (joined, whole_nh.f_transpose(0, 1)?.f_contiguous()?);
        }
        Ok((out, Core::Flash { lse }))
    }

    fn flash_backward(
        &self,
        dout: &Tensor,
        qkv: &Tensor,
        (out, lse): (&Tensor, &Tensor),
        context: &Context<'_>,
    ) -> Result<Tensor> {
        let over = self.over(context);
        let dqkv = kernels::flash_attention_backward(dout, qkv, over, (out, lse), self.heads)?;
        if let Some(prefix) = self.prefix(context.pass) {
            let lse_nh = lse.f_transpose(0, 1)?;
            prefix.join_backward(dout, qkv, (out, &lse_nh), &dqkv, context, self.window)?;
        }
        Ok(dqkv)
    }

    /// By libtorch's own operator, and its graph for the way back.
    fn graph(&self, qkv: &Tensor, context: &Context<'_>) -> Result<(Tensor, Core)> {
        let Heads { query, key, width } = self.heads;
        let (n, t) = (qkv.size()[0], context.length());
        let leaf = |start: i64, count: i64| -> Result<Tensor> {
            let heads = qkv.f_narrow(1, start * width, count * width)?;
            let heads = heads.f_reshape([n / t, t, count, width])?.f_transpose(1, 2)?;
            Ok(heads.f_detach()?.f_set_requires_grad(true)?)
        };
        let mut leaves = vec![leaf(0, query)?, leaf(query, key)?, leaf(query + key, key)?];
        let mut before = 0;
        if let Some(prefix) = self.prefix(context.pass) {
            before = prefix.tokens();
            for side in [Side::Keys, Side::Values] {
                let own = prefix.side(side, qkv.kind())?.f_unsqueeze(0)?;
                let own = own.f_repeat([n / t, 1, 1, 1])?;
                leaves.push(own.f_detach()?.f_set_requires_grad(true)?);
            }
        }
        let mask = context.mask(self.window, before)?;
        let out = tch::with_grad(|| {
            let after = |own: usize, prefix: usize| match leaves.get(prefix) {
                Some(prefix) => Tensor::f_cat(&[prefix, &leaves[own]], 2),
                None => Ok(leaves[own].shallow_clone()),
            };
            Tensor::f_scaled_dot_product_attention(
                &leaves[0],
                &after(1, 3)?,
                &after(2, 4)?,
                mask.as_ref(),
                0.0,
                mask.is_none(),
                None,
                query != key,
            )
        })?;
        let flat = out.f_detach()?.f_transpose(1, 2)?.f_reshape([n, query * width])?;
        Ok((flat, Core::Graph { leaves, out }))
    }

    fn graph_backward(
        &self,
        dout: &Tensor,
        leaves: &[Tensor],
        out: &Tensor,
        pass: &Pass,
    ) -> Result<Tensor> {
        let (b, h, t, k) = out.size4()?;
        let dout = dout.f_view([b, t, h, k])?.f_transpose(1, 2)?;
        // The product with a constant has the exact gradient in every format.
        tch::with_grad(|| out.f_mul(&dout)?.f_sum(Kind::Float)?.f_backward())?;
        if let (Some(prefix), [.., keys, values]) = (self.prefix(pass), leaves) {
            prefix.add_gradient(Side::Keys, &keys.grad(), pass)?;
            prefix.add_gradient(Side::Values, &values.grad(), pass)?;
        }
        let flat = leaves
            .iter()
            .take(3)
            .map(|leaf| Ok(leaf.grad().f_transpose(1, 2)?.f_reshape([b * t, -1])?))
            .collect::<Result<Vec<_>>>()?;
        Ok(Tensor::f_cat(&flat, 1)?)
    }

    /// The prefix, where it takes part.
    fn prefix(&self, pass: &Pass) -> Option<&Prefix> {
        self.prefix.as_ref().filter(|_| pass.adapter)
    }

    /// Norms `count` heads from head `start` in place.
    fn norm_heads(
        &self,
        norm: &RmsNorm,
        qkv: &mut Tensor,
        start: i64,
        count: i64,
        kernels: Kernels,
    ) -> Result<NormedHeads> {
        let width = self.heads.width;
        let mut own = qkv.f_narrow(1, start * width, count * width)?;
        let before = own.f_reshape([-1, width])?;
        // A model of one head in all would give a view of the very memory that is overwritten below.
        let before = if before.data_ptr() == own.data_ptr() { copied(&before)? } else { before };
        let (after, rstd) = norm.forward(&before, kernels)?;
        own.f_copy_(&after.f_view_as(&own)?)?;
        Ok(NormedHeads { before, rstd })
    }

    fn norm_heads_backward(
        &self,
        norm: &RmsNorm,
        dqkv: &mut Tensor,
        start: i64,
        kept: &NormedHeads,
        context: &Context<'_>,
    ) -> Result<()> {
        let kernels = context.compute.kernels;
        let width = self.heads.width;
        let rows = dqkv.size()[0];
        let columns = kept.before.numel() as i64 / rows;
        let mut own = dqkv.f_narrow(1, start * width, columns)?;
        let dy = own.f_reshape([-1, width])?.f_contiguous()?;
        let mut dx = dy.f_zeros_like()?;
        norm.add_gradient(&dy, &kept.before, &kept.rstd, kernels, context.pass)?;
        norm.backward(&dy, &kept.before, &kept.rstd, &mut dx, kernels)?;
        own.f_copy_(&dx.f_view_as(&own)?)?;
        Ok(())
    }
}

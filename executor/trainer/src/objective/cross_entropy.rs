//! Next-token cross-entropy with a frozen output head, in chunks.
//!
//! The loss is the sum over target tokens of `-log softmax(W h)[target]`. Logits of the whole batch are never there: rows with
//! a target are gathered, and a chunk of them at a time goes through the head. The gradient with respect to the hidden
//! states, `(softmax - onehot) W`, is computed in the same pass (as in Liger Kernel's fused linear cross-entropy, arXiv
//! 2410.10989); the head is frozen, so no gradient of W is needed.

use tch::{Kind, Tensor};

use crate::error::Result;

/// The label that asks for no loss, as everywhere in the field.
pub const IGNORED: i64 = -100;
/// Bytes of fp32 logits in a chunk: large enough for full-speed matrix products, small beside a model's activations.
const CHUNK_BYTES: i64 = 64 * 1024 * 1024;

/// Sums over the target tokens of a batch.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct LossStats {
    /// Sum of the negative log-likelihoods, in nats.
    pub loss_sum: f64,
    /// Target tokens.
    pub target_tokens: i64,
    /// Target tokens to which the model gave the highest probability.
    pub correct_tokens: i64,
}

impl LossStats {
    /// The sums of both.
    pub fn add(&mut self, other: Self) {
        self.loss_sum += other.loss_sum;
        self.target_tokens += other.target_tokens;
        self.correct_tokens += other.correct_tokens;
    }

    /// Loss of a target token; NaN where there is none.
    pub fn mean_loss(&self) -> f64 {
        self.loss_sum / self.target_tokens as f64
    }

    /// Share of correct target tokens; NaN where there is none.
    pub fn accuracy(&self) -> f64 {
        self.correct_tokens as f64 / self.target_tokens as f64
    }
}

/// The loss of hidden states `hidden_btd` against `labels_bt` (aligned with the inputs; shifted here) under the head
/// `weight_vd`. With `gradient_scale`, also the gradient of `gradient_scale * loss_sum` with respect to `hidden_btd`.
///
/// # Errors
/// As libtorch reports.
pub fn linear_cross_entropy(
    hidden_btd: &Tensor,
    weight_vd: &Tensor,
    labels_bt: &Tensor,
    gradient_scale: Option<f64>,
) -> Result<(LossStats, Option<Tensor>)> {
    let _no_grad = tch::no_grad_guard();
    let (b, t, d) = hidden_btd.size3()?;
    // Position i predicts label i + 1; the last position predicts nothing.
    let ignored = Tensor::f_full([b, 1], IGNORED, (Kind::Int64, labels_bt.device()))?;
    let targets =
        Tensor::f_cat(&[&labels_bt.f_narrow(1, 1, t - 1)?, &ignored], 1)?.f_reshape([-1])?;
    let rows = targets.f_ne(IGNORED)?.f_nonzero()?.f_reshape([-1])?;
    let count = rows.size()[0];
    let flat = hidden_btd.f_detach()?.f_reshape([-1, d])?;
    let gradient = match gradient_scale {
        Some(_) => Some(flat.f_zeros_like()?),
        None => None,
    };
    let mut stats = LossStats { loss_sum: 0.0, target_tokens: count, correct_tokens: 0 };
    let chunk = (CHUNK_BYTES / (4 * weight_vd.size()[0])).max(1);
    let mut sums = Tensor::f_zeros([2], (Kind::Double, hidden_btd.device()))?;
    let mut start = 0;
    while start < count {
        let here = rows.f_narrow(0, start, chunk.min(count - start))?;
        let target = targets.f_index_select(0, &here)?.f_unsqueeze(1)?;
        let logits = flat
            .f_index_select(0, &here)?
            .f_linear(weight_vd, None::<&Tensor>)?
            .f_to_kind(Kind::Float)?;
        let normalizer = logits.f_logsumexp(&[-1][..], true)?;
        let losses = normalizer.f_sub(&logits.f_gather(1, &target, false)?)?;
        let correct = logits.f_argmax(Some(1), true)?.f_eq_tensor(&target)?;
        // Sums stay on the device: one transfer for the whole batch.
        let pair = [losses.f_sum(Kind::Double)?, correct.f_sum(Kind::Double)?];
        sums = sums.f_add_(&Tensor::f_stack(&pair, 0)?)?;
        if let (Some(scale), Some(gradient)) = (gradient_scale, &gradient) {
            let mut delta = logits;
            delta = delta.f_sub_(&normalizer)?.f_exp_()?;
            let one = Tensor::f_full_like(&target, -1.0)?.f_to_kind(Kind::Float)?;
            delta = delta.f_scatter_add_(1, &target, &one)?.f_mul_scalar_(scale)?;
            let step = delta.f_to_kind(weight_vd.kind())?.f_matmul(weight_vd)?;
            let mut view = gradient.f_view([-1, d])?;
            let _ = view.f_index_copy_(0, &here, &step)?;
        }
        start += chunk;
    }
    stats.loss_sum = sums.f_double_value(&[0])?;
    stats.correct_tokens = sums.f_double_value(&[1])? as i64;
    let gradient = match gradient {
        Some(gradient) => Some(gradient.f_view([b, t, d])?),
        None => None,
    };
    Ok((stats, gradient))
}

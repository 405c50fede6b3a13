//! Next-token cross-entropy with a frozen output head, in chunks.
//!
//! The loss is the sum over target tokens of `-log softmax(W h)[target]`. Logits of the whole batch are never there: rows with
//! a target are gathered, and a chunk of them at a time goes through the head. The gradient with respect to the hidden
//! states, `(softmax - onehot) W`, is computed in the same pass (as in Liger Kernel's fused linear cross-entropy, arXiv
//! 2410.10989); the head is frozen, so no gradient of W is needed.

use tch::{Kind, Tensor};

use crate::error::Result;
use crate::kernels;
use crate::nn::compute::Compute;

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

/// The loss of hidden states `hidden_nd` (n = b t) against `labels_bt` (aligned with the inputs; shifted here) under the head
/// `weight_vd`. With `gradient_scale`, also the gradient of `gradient_scale * loss_sum` with respect to `hidden_nd`; none where there is
/// no target.
///
/// # Errors
/// As libtorch reports.
pub fn linear_cross_entropy(
    hidden_nd: &Tensor,
    weight_vd: &Tensor,
    labels_bt: &Tensor,
    gradient_scale: Option<f64>,
    compute: &Compute,
) -> Result<(LossStats, Option<Tensor>)> {
    let _no_grad = tch::no_grad_guard();
    let (targets, rows) = targets_of(labels_bt)?;
    let count = rows.size()[0];
    let mut stats = LossStats { loss_sum: 0.0, target_tokens: count, correct_tokens: 0 };
    if count == 0 {
        return Ok((stats, None));
    }
    let scale = gradient_scale.unwrap_or(0.0);
    let mut gradient = match gradient_scale {
        Some(_) => Some(hidden_nd.f_zeros_like()?),
        None => None,
    };
    let head = Head::new(weight_vd, compute)?;
    let chunk = chunk_rows(weight_vd);
    let mut sums = Tensor::f_zeros([2], (Kind::Double, hidden_nd.device()))?;
    let mut start = 0;
    while start < count {
        let here = rows.f_narrow(0, start, chunk.min(count - start))?;
        let target = targets.f_index_select(0, &here)?;
        let mut logits = head.logits(&hidden_nd.f_index_select(0, &here)?)?;
        let (losses, correct) = cross_entropy_of(&mut logits, &target, scale, compute)?;
        // Sums stay on the device: one transfer for the whole batch.
        let pair = [losses.f_sum(Kind::Double)?, correct.f_sum(Kind::Double)?];
        sums = sums.f_add_(&Tensor::f_stack(&pair, 0)?)?;
        if let Some(gradient) = &mut gradient {
            let _ = gradient.f_index_copy_(0, &here, &head.back(&logits)?)?;
        }
        start += chunk;
    }
    stats.loss_sum = sums.f_double_value(&[0])?;
    stats.correct_tokens = sums.f_double_value(&[1])? as i64;
    Ok((stats, gradient))
}

/// What each position predicts, (b t) in int64 with [`IGNORED`] where nothing, and the positions that predict something.
pub(crate) fn targets_of(labels_bt: &Tensor) -> Result<(Tensor, Tensor)> {
    let (b, t) = labels_bt.size2()?;
    // Position i predicts label i + 1; the last position predicts nothing.
    let ignored = Tensor::f_full([b, 1], IGNORED, (Kind::Int64, labels_bt.device()))?;
    let targets =
        Tensor::f_cat(&[&labels_bt.f_narrow(1, 1, t - 1)?, &ignored], 1)?.f_reshape([-1])?;
    let rows = targets.f_ne(IGNORED)?.f_nonzero()?.f_reshape([-1])?;
    Ok((targets, rows))
}

/// Rows of logits in a chunk.
pub(crate) fn chunk_rows(weight_vd: &Tensor) -> i64 {
    (CHUNK_BYTES / (4 * weight_vd.size()[0])).max(1)
}

/// The losses of rows of `logits` and which of them are right; with a scale, the logits become the gradient of `scale * loss`.
pub(crate) fn cross_entropy_of(
    logits: &mut Tensor,
    target: &Tensor,
    scale: f64,
    compute: &Compute,
) -> Result<(Tensor, Tensor)> {
    match compute.fused {
        // In the format that they have: the kernel widens a number as it reads it.
        true => kernels::cross_entropy(logits, target, scale),
        false => {
            *logits = logits.f_to_kind(Kind::Float)?;
            plain(logits, target, scale)
        }
    }
}

/// The head in the format that its products are computed in, made once for all chunks.
pub(crate) struct Head {
    weight_vd: Tensor,
    stored: Kind,
}

impl Head {
    pub(crate) fn new(weight_vd: &Tensor, compute: &Compute) -> Result<Self> {
        let format = compute.product_format();
        Ok(Self { weight_vd: weight_vd.f_to_kind(format)?, stored: weight_vd.kind() })
    }

    /// (n, v) in fp32.
    pub(crate) fn wide_logits(&self, hidden_nd: &Tensor) -> Result<Tensor> {
        Ok(self.logits(hidden_nd)?.f_to_kind(Kind::Float)?)
    }

    /// (n, v) in the head's format.
    pub(crate) fn logits(&self, hidden_nd: &Tensor) -> Result<Tensor> {
        let hidden = hidden_nd.f_to_kind(self.weight_vd.kind())?;
        Ok(hidden.f_mm(&self.weight_vd.f_transpose(0, 1)?)?)
    }

    /// The gradient with respect to the hidden states, in their format.
    pub(crate) fn back(&self, dlogits_nv: &Tensor) -> Result<Tensor> {
        let delta = dlogits_nv.f_to_kind(self.weight_vd.kind())?;
        Ok(delta.f_mm(&self.weight_vd)?.f_to_kind(self.stored)?)
    }
}

/// What [`kernels::cross_entropy`] computes, by tensor operations.
fn plain(logits: &mut Tensor, target: &Tensor, scale: f64) -> Result<(Tensor, Tensor)> {
    let target = target.f_unsqueeze(1)?;
    let normalizer = logits.f_logsumexp(&[-1][..], true)?;
    let losses = normalizer.f_sub(&logits.f_gather(1, &target, false)?)?;
    let correct = logits.f_argmax(Some(1), true)?.f_eq_tensor(&target)?;
    if scale != 0.0 {
        let mut delta = logits.f_sub_(&normalizer)?.f_exp_()?;
        let one = Tensor::f_full_like(&target, -1.0)?.f_to_kind(Kind::Float)?;
        let _ = delta.f_scatter_add_(1, &target, &one)?.f_mul_scalar_(scale)?;
    }
    Ok((losses.f_reshape([-1])?, correct.f_reshape([-1])?.f_to_kind(Kind::Float)?))
}

//! Cross entropy beside a second loss of the same logits, both in chunks: logits never stand whole in memory, and a chunk goes through the
//! head once forwards and once backwards for both.

use tch::{Kind, Tensor};

use crate::arch::AtHead;
use crate::error::{Result, TrainerError};
use crate::kernels;
use crate::nn::compute::{Compute, Kernels};
use crate::objective::cross_entropy::{Head, LossSums, Targets, chunk_rows, cross_entropy_of};

/// What the logits are held to beside their targets.
#[derive(Debug)]
pub enum Guide<'a> {
    /// `KL(softmax(z_old / T) || softmax(z_new / T))` of each target token, with the logits that `hidden_nd` gives for old ones.
    Teacher {
        /// The teacher's hidden states after the last norm, (n, d).
        hidden_nd: &'a Tensor,
        /// T.
        temperature: f64,
    },
    /// The mean over k of `(z - z_kept)^2` of each target token.
    Kept {
        /// Which logits were kept, (m, k) in int64, for the target tokens in the order of the batch.
        ids_mk: &'a Tensor,
        /// What they were, (m, k) in fp32.
        logits_mk: &'a Tensor,
    },
}

/// What the sums over target tokens are multiplied by in the gradient.
#[derive(Debug, Clone, Copy)]
pub struct Scales {
    /// The cross entropy.
    pub cross_entropy: f64,
    /// The guide.
    pub guide: f64,
}

/// Cross entropy and guide of `at` against `targets`: the figures of the first, the sum of the second over target tokens (a number in fp64
/// on the device), and the gradient of both, scaled, with respect to the hidden states; no sum and no gradient where there is no target.
///
/// # Errors
/// As libtorch reports; kept logits for another number of tokens.
pub fn guided_cross_entropy(
    at: &AtHead<'_>,
    targets: &Targets,
    guide: &Guide<'_>,
    scales: Scales,
) -> Result<(LossSums, Option<(Tensor, Tensor)>)> {
    let _no_grad = tch::no_grad_guard();
    let count = targets.count();
    if count == 0 {
        return Ok((LossSums::default(), None));
    }
    if let Guide::Kept { ids_mk, .. } = guide
        && ids_mk.size()[0] != count
    {
        let kept = ids_mk.size()[0];
        return Err(TrainerError::Checkpoint(format!(
            "logits were kept for {kept} tokens of a batch with {count} targets"
        )));
    }
    let head = Head::new(at.head_vd, at.compute)?;
    let chunk = chunk_rows(at.head_vd.size()[0], at.head_vd.device());
    let mut gradient = at.hidden_nd.f_zeros_like()?;
    let mut sums = Tensor::f_zeros([3], (Kind::Double, at.hidden_nd.device()))?;
    let mut start = 0;
    while start < count {
        let length = chunk.min(count - start);
        let (here, target) = targets.part(start, length)?;
        let mut logits = head.wide_logits(&at.hidden_nd.f_index_select(0, &here)?)?;
        // The guide first: cross entropy turns the logits into their gradient in place.
        let (sum, pull) = match guide {
            Guide::Teacher { hidden_nd, temperature } => {
                let old = head.wide_logits(&hidden_nd.f_index_select(0, &here)?)?;
                divergence(&logits, old, *temperature, scales.guide, at.compute)?
            }
            Guide::Kept { ids_mk, logits_mk } => {
                let ids = ids_mk.f_narrow(0, start, length)?;
                distance(&logits, &ids, &logits_mk.f_narrow(0, start, length)?, scales.guide)?
            }
        };
        let (losses, correct) =
            cross_entropy_of(&mut logits, &target, scales.cross_entropy, at.compute)?;
        let mut delta = match scales.cross_entropy {
            // Nothing was written over.
            0.0 => logits.f_zero_()?,
            _ => logits,
        };
        pull.add_to(&mut delta)?;
        let of_chunk = [losses.f_sum(Kind::Double)?, correct.f_sum(Kind::Double)?, sum];
        sums = sums.f_add_(&Tensor::f_stack(&of_chunk, 0)?)?;
        let _ = gradient.f_index_copy_(0, &here, &head.back(&delta)?)?;
        start += length;
    }
    let stats = LossSums::new(sums.f_narrow(0, 0, 2)?, count);
    Ok((stats, Some((sums.f_get(2)?, gradient))))
}

/// The guide's part of a chunk's gradient with respect to the logits.
enum Pull {
    /// For every logit, (n, v).
    All(Tensor),
    /// For those named, (n, k) each.
    Some(Tensor, Tensor),
}

impl Pull {
    fn add_to(&self, delta_nv: &mut Tensor) -> Result<()> {
        let _ = match self {
            Self::All(pull) => delta_nv.f_add_(pull)?,
            Self::Some(ids, pull) => delta_nv.f_scatter_add_(1, ids, pull)?,
        };
        Ok(())
    }
}

/// `sum p_old (log p_old - log p_new)`, and `scale (p_new - p_old) / T`.
fn divergence(
    new: &Tensor,
    mut old: Tensor,
    temperature: f64,
    scale: f64,
    compute: &Compute,
) -> Result<(Tensor, Pull)> {
    let scale = scale / temperature;
    if compute.kernels == Kernels::Processor {
        let each = kernels::divergence(new, &mut old, temperature, scale)?;
        return Ok((each.f_sum(Kind::Double)?, Pull::All(old)));
    }
    let log_new = new.f_div_scalar(temperature)?.f_log_softmax(-1, Kind::Float)?;
    let log_old = old.f_div_scalar_(temperature)?.f_log_softmax(-1, Kind::Float)?;
    drop(old);
    let p_old = log_old.f_exp()?;
    let sum = log_old.f_sub(&log_new)?.f_mul_(&p_old)?.f_sum(Kind::Double)?;
    let mut p_new = { log_new }.f_exp_()?;
    let mut pull = p_new.f_sub_(&p_old)?;
    Ok((sum, Pull::All(pull.f_mul_scalar_(scale)?)))
}

/// The mean over k of the squared differences, summed, and its gradient times `scale`.
fn distance(
    logits: &Tensor,
    ids_nk: &Tensor,
    kept_nk: &Tensor,
    scale: f64,
) -> Result<(Tensor, Pull)> {
    let k = ids_nk.size()[1] as f64;
    let mut difference = logits.f_gather(1, ids_nk, false)?.f_sub(kept_nk)?;
    let sum = difference.f_square()?.f_sum(Kind::Double)?.f_div_scalar(k)?;
    let pull = difference.f_mul_scalar_(2.0 * scale / k)?;
    Ok((sum, Pull::Some(ids_nk.shallow_clone(), pull)))
}

/// The `k` highest logits of each of `targets`, in the order of the batch: which, (m, k) in int64, and what, (m, k) in fp32.
///
/// # Errors
/// As libtorch reports.
pub fn top_logits(at: &AtHead<'_>, targets: &Targets, k: i64) -> Result<(Tensor, Tensor)> {
    let _no_grad = tch::no_grad_guard();
    let head = Head::new(at.head_vd, at.compute)?;
    let chunk = chunk_rows(at.head_vd.size()[0], at.head_vd.device());
    let k = k.min(at.head_vd.size()[0]);
    let (mut ids, mut kept) = (Vec::new(), Vec::new());
    let (count, mut start) = (targets.count(), 0);
    while start < count {
        let (here, _) = targets.part(start, chunk.min(count - start))?;
        let logits = head.wide_logits(&at.hidden_nd.f_index_select(0, &here)?)?;
        let (values, places) = logits.f_topk(k, -1, true, true)?;
        ids.push(places);
        kept.push(values);
        start += chunk;
    }
    Ok((Tensor::f_cat(&ids, 0)?, Tensor::f_cat(&kept, 0)?))
}

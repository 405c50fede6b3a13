//! Next-token cross-entropy of an output head, in chunks.
//!
//! The loss is the sum over target tokens of `-log softmax(W h)[target]`. Logits of the whole batch are never there: rows with
//! a target are gathered, and a chunk of them at a time goes through the head. The gradient with respect to the hidden
//! states, `(softmax - onehot) W`, is computed in the same pass (as in Liger Kernel's fused linear cross-entropy, arXiv
//! 2410.10989), and that of W, `(softmax - onehot)^T h`, where the head is trained.

use tch::{Device, Kind, Tensor};

use crate::arch::AtHead;
use crate::device;
use crate::error::Result;
use crate::kernels;
use crate::nn::compute::{Compute, Kernels};
use crate::optim::parameters::Parameter;
use crate::peft::lora::Pass;

/// The label that asks for no loss, as everywhere in the field.
pub const IGNORED: i64 = -100;
/// Bytes of fp32 logits in a chunk: large enough for full-speed matrix products, small beside a model's activations.
const CHUNK_BYTES: i64 = 64 * 1024 * 1024;
/// The same on other devices: products have to be larger there to be at full speed, and each chunk reads all of the head.
const DEVICE_CHUNK_BYTES: i64 = 512 * 1024 * 1024;

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

/// [`LossStats`] that may still be on their way on the device: to read them is to wait for it.
#[derive(Debug, Default)]
pub struct LossSums {
    /// Target tokens.
    pub target_tokens: i64,
    /// Sum of losses, and of correct tokens, (2) in fp64; none where there was no target.
    sums: Option<Tensor>,
}

impl LossSums {
    pub(crate) fn new(sums: Tensor, target_tokens: i64) -> Self {
        Self { target_tokens, sums: Some(sums) }
    }

    /// The sums of both.
    ///
    /// # Errors
    /// As libtorch reports.
    pub fn add(&mut self, other: Self) -> Result<()> {
        self.target_tokens += other.target_tokens;
        self.sums = match (self.sums.take(), other.sums) {
            (Some(own), Some(other)) => Some(own.f_add(&other)?),
            (own, other) => own.or(other),
        };
        Ok(())
    }

    /// The figures.
    ///
    /// # Errors
    /// As libtorch reports.
    pub fn read(&self) -> Result<LossStats> {
        Ok(match &self.sums {
            Some(sums) => self.stats(&values(sums)?),
            None => self.stats(&[0.0; 2]),
        })
    }

    /// The figures and `other`, a number in fp64 on the same device, with one transfer.
    ///
    /// # Errors
    /// As libtorch reports.
    pub fn read_with(&self, other: &Tensor) -> Result<(LossStats, f64)> {
        let Some(sums) = &self.sums else {
            return Ok((self.stats(&[0.0; 2]), other.f_double_value(&[])?));
        };
        let values = values(&Tensor::f_cat(&[sums, &other.f_reshape([1])?], 0)?)?;
        Ok((self.stats(&values), values[2]))
    }

    fn stats(&self, values: &[f64]) -> LossStats {
        let (loss_sum, correct_tokens) = (values[0], values[1] as i64);
        LossStats { loss_sum, target_tokens: self.target_tokens, correct_tokens }
    }
}

/// The numbers of a tensor in fp64.
fn values(tensor: &Tensor) -> Result<Vec<f64>> {
    Ok(tensor.f_to_device(Device::Cpu)?.try_into()?)
}

/// What is to be predicted in a batch, found on the processor: a device would have to be asked how much it is.
#[derive(Debug)]
pub struct Targets {
    /// The positions, of all rows one after another, that predict something, (k) in int64.
    pub rows: Tensor,
    /// What, (k) in int64.
    pub ids: Tensor,
}

impl Targets {
    /// Those of `labels_bt`, (b, t) on the processor, aligned with the inputs: position i predicts label i + 1.
    ///
    /// # Errors
    /// As libtorch reports.
    pub fn of(labels_bt: &Tensor, device: Device) -> Result<Self> {
        let (b, t) = labels_bt.size2()?;
        // The last position predicts nothing.
        let ignored = Tensor::f_full([b, 1], IGNORED, (Kind::Int64, labels_bt.device()))?;
        let next =
            Tensor::f_cat(&[&labels_bt.f_narrow(1, 1, t - 1)?, &ignored], 1)?.f_reshape([-1])?;
        let rows = next.f_ne(IGNORED)?.f_nonzero()?.f_reshape([-1])?;
        let ids = next.f_index_select(0, &rows)?;
        Ok(Self { rows: device::send(&rows, device)?, ids: device::send(&ids, device)? })
    }

    /// How many.
    pub fn count(&self) -> i64 {
        self.rows.size()[0]
    }

    /// The positions and tokens of `count` of them from `start`.
    pub(crate) fn part(&self, start: i64, count: i64) -> Result<(Tensor, Tensor)> {
        Ok((self.rows.f_narrow(0, start, count)?, self.ids.f_narrow(0, start, count)?))
    }
}

/// The loss of hidden states (n = b t) against `targets`. With `gradient_scale`, also the gradient of `gradient_scale * loss_sum` with respect
/// to the hidden states, none where there is no target or the head alone is trained; that of a trained head is added to its own.
///
/// # Errors
/// As libtorch reports.
pub fn linear_cross_entropy(
    at: &AtHead<'_>,
    targets: &Targets,
    gradient_scale: Option<f64>,
) -> Result<(LossSums, Option<Tensor>)> {
    let _no_grad = tch::no_grad_guard();
    let AtHead { hidden_nd, head_vd: weight_vd, trained, compute } = *at;
    let count = targets.count();
    if count == 0 {
        return Ok((LossSums::default(), None));
    }
    let scale = gradient_scale.unwrap_or(0.0);
    let trained = trained.filter(|_| gradient_scale.is_some());
    let alone = trained.is_some_and(|head| head.alone);
    let mut gradient = match gradient_scale {
        Some(_) if !alone => Some(hidden_nd.f_zeros_like()?),
        _ => None,
    };
    let head = Head::new(weight_vd, compute)?;
    let chunk = chunk_rows(weight_vd.size()[0], weight_vd.device());
    let mut sums = Tensor::f_zeros([2], (Kind::Double, hidden_nd.device()))?;
    // A chunk is of one row of the batch where rows have gradients of the head of their own.
    let of_rows = match &trained {
        Some(trained) => trained.targets_of_rows(targets, hidden_nd.size()[0])?,
        None => None,
    };
    for (start, length, row) in chunks(count, chunk, of_rows.as_deref()) {
        let (here, target) = targets.part(start, length)?;
        let hidden = hidden_nd.f_index_select(0, &here)?;
        let mut logits = head.logits(&hidden)?;
        let (losses, correct) = cross_entropy_of(&mut logits, &target, scale, compute)?;
        // Sums stay on the device: one transfer for the whole batch.
        let pair = [losses.f_sum(Kind::Double)?, correct.f_sum(Kind::Double)?];
        sums = sums.f_add_(&Tensor::f_stack(&pair, 0)?)?;
        if let Some(trained) = &trained {
            let delta = logits.f_to_kind(hidden.kind())?;
            trained.add(row, (&delta, &hidden), compute)?;
        }
        if let Some(gradient) = &mut gradient {
            let _ = gradient.f_index_copy_(0, &here, &head.back(&logits)?)?;
        }
    }
    Ok((LossSums::new(sums, count), gradient))
}

/// A head that is trained, and where its gradient goes.
#[derive(Debug, Clone, Copy)]
pub struct TrainedHead<'a> {
    /// The head.
    pub parameter: &'a Parameter,
    /// What is done in this pass.
    pub pass: &'a Pass,
    /// What each row of the batch counts, where rows have gradients of their own.
    pub weights: Option<&'a [f32]>,
    /// Whether nothing below it is trained.
    pub alone: bool,
}

impl TrainedHead<'_> {
    /// How many targets each row of the batch has, where rows have gradients of their own.
    fn targets_of_rows(&self, targets: &Targets, positions: i64) -> Result<Option<Vec<i64>>> {
        let Some(weights) = self.weights else { return Ok(None) };
        let rows = weights.len() as i64;
        let of_targets = targets.rows.f_floor_divide_scalar(positions / rows.max(1))?;
        let counts = of_targets.f_bincount(None::<Tensor>, rows)?;
        Ok(Some(counts.f_to_device(Device::Cpu)?.try_into()?))
    }

    /// Adds the head's gradient for `delta_nv` at `hidden_nd`, all of row `row` where it is given.
    fn add(&self, row: Option<usize>, pair: (&Tensor, &Tensor), compute: &Compute) -> Result<()> {
        let weight = row.and_then(|row| self.weights?.get(row).copied()).map_or(1.0, f64::from);
        let row = row.map(|row| row as i64);
        self.pass.add_head(self.parameter, (row, weight), pair, compute)
    }
}

/// Pieces of `count` targets, each of `chunk` at most: the first, how many, and whose they are where `of_rows` counts those of each row.
fn chunks(count: i64, chunk: i64, of_rows: Option<&[i64]>) -> Vec<(i64, i64, Option<usize>)> {
    let whole = [count];
    let mut all = Vec::new();
    let mut start = 0;
    for (row, own) in of_rows.unwrap_or(&whole).iter().enumerate() {
        let end = start + own;
        while start < end {
            let length = chunk.min(end - start);
            all.push((start, length, of_rows.map(|_| row)));
            start += length;
        }
    }
    all
}

/// Rows of logits in a chunk, for a head of so many tokens.
pub(crate) fn chunk_rows(vocab_size: i64, device: Device) -> i64 {
    let bytes = match device {
        Device::Cpu => CHUNK_BYTES,
        _ => DEVICE_CHUNK_BYTES,
    };
    (bytes / (4 * vocab_size)).max(1)
}

/// The losses of rows of `logits` and which of them are right; with a scale, the logits become the gradient of `scale * loss`.
pub(crate) fn cross_entropy_of(
    logits: &mut Tensor,
    target: &Tensor,
    scale: f64,
    compute: &Compute,
) -> Result<(Tensor, Tensor)> {
    match compute.kernels {
        // In the format that they have: the kernel widens a number as it reads it.
        Kernels::Processor => kernels::cross_entropy(logits, target, scale),
        Kernels::Plain | Kernels::Cuda => {
            *logits = logits.f_to_kind(Kind::Float)?;
            plain(logits, target, scale)
        }
    }
}

/// The head in the format that its products are computed in, made once for all chunks.
pub(crate) struct Head {
    weight_vd: Tensor,
    /// The format of hidden states.
    kind: Kind,
}

impl Head {
    pub(crate) fn new(weight_vd: &Tensor, compute: &Compute) -> Result<Self> {
        let format = compute.product_format();
        Ok(Self { weight_vd: weight_vd.f_to_kind(format)?, kind: compute.kind })
    }

    /// (n, v) in fp32.
    pub(crate) fn wide_logits(&self, hidden_nd: &Tensor) -> Result<Tensor> {
        Ok(self.logits(hidden_nd)?.f_to_kind(Kind::Float)?)
    }

    /// (n, v) in the head's format.
    fn logits(&self, hidden_nd: &Tensor) -> Result<Tensor> {
        let hidden = hidden_nd.f_to_kind(self.weight_vd.kind())?;
        Ok(hidden.f_mm(&self.weight_vd.f_transpose(0, 1)?)?)
    }

    /// The gradient with respect to the hidden states, in their format.
    pub(crate) fn back(&self, dlogits_nv: &Tensor) -> Result<Tensor> {
        let delta = dlogits_nv.f_to_kind(self.weight_vd.kind())?;
        Ok(delta.f_mm(&self.weight_vd)?.f_to_kind(self.kind)?)
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

//! Low-rank adaptation (arXiv 2106.09685): `y += s B A dropout(x)`, s = alpha / r, or alpha / sqrt(r) (rsLoRA, arXiv
//! 2312.03732).
//!
//! A (r, in) and B (out, r) are fp32 masters; each pass casts them to the compute format, and their gradients come back in
//! fp32. A starts uniform in +-1/sqrt(in) (Kaiming with a = sqrt 5) and B at zero, as in PEFT.

use tch::{Device, Kind, Tensor};
use trainyard_openapi::extension::TargetModules;
use trainyard_openapi::job_error::JobErrorCode;

use crate::error::{Result, TrainerError};
use crate::rng::Rng;

/// Settings of an adapter.
#[derive(Debug, Clone, PartialEq)]
pub struct LoraSettings {
    /// Rank r.
    pub rank: i64,
    /// Scale before division by the rank.
    pub alpha: f64,
    /// Probability of dropping an input.
    pub dropout: f64,
    /// The layers.
    pub target_modules: TargetModules,
    /// Divide by sqrt(r) instead of r.
    pub rslora: bool,
}

impl LoraSettings {
    /// The factor s.
    pub fn scale(&self) -> f64 {
        let rank = self.rank as f64;
        self.alpha / if self.rslora { rank.sqrt() } else { rank }
    }

    /// Whether the module at `path` gets an adapter: PEFT's rule, the whole path or its ending after a dot.
    pub fn targets(&self, path: &str) -> bool {
        match &self.target_modules {
            TargetModules::AllLinear => true,
            TargetModules::Names(names) => names.iter().any(|name| ends_in(path, name)),
        }
    }
}

/// PEFT's rule for names of modules.
pub fn ends_in(path: &str, name: &str) -> bool {
    path == name || path.strip_suffix(name).is_some_and(|rest| rest.ends_with('.'))
}

/// What adapters do in one forward pass.
#[derive(Debug, Clone)]
pub struct Pass {
    /// Whether they take part.
    pub adapter: bool,
    /// The stream that dropout draws from; `None` drops nothing. Each adapter forks it by its own number, so that a pass
    /// can be repeated with the same masks.
    pub dropout: Option<Rng>,
}

/// The adapter of one layer.
#[derive(Debug)]
pub struct Lora {
    /// (r, in), fp32, a leaf that asks for a gradient.
    pub a_ri: Tensor,
    /// (out, r), fp32, a leaf that asks for a gradient.
    pub b_or: Tensor,
    scale: f64,
    dropout: f64,
    /// The adapter's place in the model, which names its dropout stream.
    number: u64,
}

impl Lora {
    /// A fresh adapter for a layer of shape (`out`, `inputs`).
    ///
    /// # Errors
    /// As libtorch reports.
    pub fn new(
        (out, inputs): (i64, i64),
        settings: &LoraSettings,
        number: u64,
        rng: &mut Rng,
        device: Device,
    ) -> Result<Self> {
        let mut values = vec![0_f32; (settings.rank * inputs) as usize];
        let bound = 1.0 / (inputs as f32).sqrt();
        rng.fill_uniform(&mut values, -bound, bound);
        let a =
            Tensor::f_from_slice(&values)?.f_view([settings.rank, inputs])?.f_to_device(device)?;
        let b = Tensor::f_zeros([out, settings.rank], (Kind::Float, device))?;
        Ok(Self {
            a_ri: a.f_set_requires_grad(true)?,
            b_or: b.f_set_requires_grad(true)?,
            scale: settings.scale(),
            dropout: settings.dropout,
            number,
        })
    }

    /// `y + s B A dropout(x)`, in place of `y`, which nothing else holds.
    ///
    /// # Errors
    /// As libtorch reports.
    pub fn add_to(&self, y: Tensor, x: &Tensor, pass: &Pass) -> Result<Tensor> {
        let kind = x.kind();
        let dropped = match &pass.dropout {
            Some(rng) if self.dropout > 0.0 => {
                Some(dropout(x, self.dropout, &mut rng.fork(self.number))?)
            }
            _ => None,
        };
        let x = dropped.as_ref().unwrap_or(x);
        // The scale goes into the small matrix: one product of r columns instead of one of the layer's whole output.
        let b = self.b_or.f_mul_scalar(self.scale)?.f_to_kind(kind)?;
        let low = x.f_linear(&self.a_ri.f_to_kind(kind)?, None::<&Tensor>)?;
        let (inner, out) = (low.size()[low.dim() - 1], y.size()[y.dim() - 1]);
        let flat = low.f_reshape([-1, inner])?;
        let shape = y.size();
        let y = y.f_view([-1, out])?.f_addmm_(&flat, &b.f_transpose(0, 1)?)?;
        Ok(y.f_view(shape.as_slice())?)
    }
}

/// `x` with each element dropped with probability `p` and the rest scaled to the same mean.
///
/// The probability is held in 16 bits, and the scale is that of the probability so held.
fn dropout(x: &Tensor, p: f64, rng: &mut Rng) -> Result<Tensor> {
    let threshold = (p * 65_536.0).round() as u32;
    let keep = (1.0 - f64::from(threshold) / 65_536.0).max(f64::MIN_POSITIVE);
    let scale = (1.0 / keep) as f32;
    let count = x.numel();
    let mut mask = Vec::with_capacity(count + 1);
    while mask.len() < count {
        let bits = rng.next_u32();
        mask.push(if bits & 0xffff >= threshold { scale } else { 0.0 });
        mask.push(if bits >> 16 >= threshold { scale } else { 0.0 });
    }
    mask.truncate(count);
    let mask = Tensor::f_from_slice(&mask)?.f_view(x.size().as_slice())?;
    Ok(x.f_mul(&mask.f_to_device(x.device())?.f_to_kind(x.kind())?)?)
}

/// Checks that every name of `settings` meets a layer.
///
/// # Errors
/// A user error naming the name and what there is.
pub fn check_targets(settings: &LoraSettings, paths: &[&str]) -> Result<()> {
    let TargetModules::Names(names) = &settings.target_modules else { return Ok(()) };
    for name in names {
        if !paths.iter().any(|path| ends_in(path, name)) {
            let mut endings: Vec<&str> =
                paths.iter().filter_map(|path| path.rsplit('.').next()).collect();
            endings.sort_unstable();
            endings.dedup();
            let message = format!(
                "trainyard.adapter.target_modules: '{name}' matches no linear layer of the model (there are: {})",
                endings.join(", ")
            );
            let param = "trainyard.adapter.target_modules".to_string();
            return Err(TrainerError::user(
                JobErrorCode::InvalidTargetModules,
                Some(param),
                message,
            ));
        }
    }
    Ok(())
}

//! Low-rank adaptation (arXiv 2106.09685): `y += s B A dropout(x)`, s = alpha / r, or alpha / sqrt(r) (rsLoRA, arXiv
//! 2312.03732).
//!
//! A (r, in) and B (out, r) are fp32 masters; each pass casts them to the compute format, and their gradients are summed in
//! fp32. A starts uniform in +-1/sqrt(in) (Kaiming with a = sqrt 5) and B at zero, as in PEFT.

use tch::{Device, Kind, Tensor};
use trainyard_openapi::extension::TargetModules;
use trainyard_openapi::job_error::JobErrorCode;

use crate::arch::CausalLm;
use crate::error::{Result, TrainerError};
use crate::kernels;
use crate::nn::compute::Compute;
use crate::optim::parameters::{Parameter, Parameters};
use crate::privacy::row_units::RowUnits;
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
    /// Where each row's gradient goes, if not all of them into the parameters' own.
    pub units: Option<RowUnits>,
}

impl Pass {
    /// Adds `scale * dy^T x` to the parameter's gradient, or that of each row to its unit's.
    pub(crate) fn add_outer(
        &self,
        parameter: &Parameter,
        (dy_no, x_ni): (&Tensor, &Tensor),
        scale: f64,
        compute: &Compute,
    ) -> Result<()> {
        match &self.units {
            Some(units) => units.add(parameter.start, (dy_no, x_ni), scale, compute),
            None => compute.outer_onto(&mut parameter.gradient.shallow_clone(), dy_no, x_ni, scale),
        }
    }

    /// Into how many parts [`Pass::add_columns`] wants a gradient divided: the rows of the batch, or all of it in one.
    pub(crate) fn groups(&self) -> i64 {
        self.units.as_ref().map_or(1, RowUnits::rows)
    }

    /// Adds `g_brc` in fp32, the gradient of each part of the batch ([`Pass::groups`]), to columns of a parameter seen as (r, `width`): those
    /// from `first` on.
    pub(crate) fn add_columns(
        &self,
        parameter: &Parameter,
        (first, width): (i64, i64),
        g_brc: &Tensor,
    ) -> Result<()> {
        match &self.units {
            Some(units) => units.add_columns(parameter.start, (first, width), g_brc),
            None => {
                let (_, r, c) = g_brc.size3()?;
                let own = parameter.gradient.f_view([r, width])?;
                let sum = g_brc.f_sum_dim_intlist(&[0_i64][..], false, Kind::Float)?;
                let _ = own.f_narrow(1, first, c)?.f_add_(&sum)?;
                Ok(())
            }
        }
    }
}

/// The adapter of one projection.
#[derive(Debug)]
pub struct Lora {
    /// (r, in).
    pub a_ri: Parameter,
    /// (out, r).
    pub b_or: Parameter,
    scale: f64,
    dropout: f64,
    /// The adapter's place in the model, which names its dropout stream.
    number: u64,
}

/// What an adapter keeps for the backward pass: `A dropout(x)`, (n, r).
#[derive(Debug)]
pub struct Low(Tensor);

impl Lora {
    /// A fresh adapter in `a_ri` and `b_or`.
    ///
    /// # Errors
    /// As libtorch reports.
    pub fn new(
        mut a_ri: Parameter,
        b_or: Parameter,
        settings: &LoraSettings,
        number: u64,
        rng: &mut Rng,
    ) -> Result<Self> {
        let mut values = vec![0_f32; a_ri.value.numel()];
        let bound = 1.0 / (a_ri.value.size()[1] as f32).sqrt();
        rng.fill_uniform(&mut values, -bound, bound);
        a_ri.value.f_copy_(&Tensor::f_from_slice(&values)?.f_view_as(&a_ri.value)?)?;
        Ok(Self { a_ri, b_or, scale: settings.scale(), dropout: settings.dropout, number })
    }

    /// `s B A dropout(x)`, over what is in `y_no`, whose rows may lie apart.
    ///
    /// # Errors
    /// As libtorch reports.
    pub fn forward(
        &self,
        y_no: &mut Tensor,
        x_ni: &Tensor,
        compute: &Compute,
        pass: &Pass,
    ) -> Result<Low> {
        let mask = self.mask(x_ni, pass)?;
        let dropped = dropped(x_ni, mask.as_ref())?;
        let low = compute.project(&dropped, &self.a_ri.value.f_to_kind(compute.kind)?)?;
        compute.project_over(y_no, &low, &self.scaled_b(compute.kind)?)?;
        Ok(Low(low))
    }

    /// Adds the gradients of A and B for `dy_no` at `x_ni` to theirs: with `g = s dy B`, `dA = g^T dropout(x)` and `dB = s dy^T (A dropout(x))`. Adds
    /// that of `x`, `dropout(g A)`, to those of other adapters in `dx_ni`, if there are some, where it is `wanted`.
    ///
    /// # Errors
    /// As libtorch reports.
    pub fn backward(
        &self,
        dy_no: &Tensor,
        (x_ni, low): (&Tensor, &Low),
        (dx_ni, wanted): (&mut Option<Tensor>, bool),
        compute: &Compute,
        pass: &Pass,
    ) -> Result<()> {
        let mask = self.mask(x_ni, pass)?;
        let g_nr = compute.product(dy_no, &self.scaled_b(compute.kind)?)?;
        pass.add_outer(&self.b_or, (dy_no, &low.0), self.scale, compute)?;
        pass.add_outer(&self.a_ri, (&g_nr, &dropped(x_ni, mask.as_ref())?), 1.0, compute)?;
        if !wanted {
            return Ok(());
        }
        let a_ri = self.a_ri.value.f_to_kind(compute.kind)?;
        let own = || dropped(&compute.product(&g_nr, &a_ri)?, mask.as_ref());
        match dx_ni {
            None => *dx_ni = Some(own()?),
            Some(dx_ni) if mask.is_none() => compute.product_onto(dx_ni, &g_nr, &a_ri)?,
            Some(dx_ni) => {
                let _ = dx_ni.f_add_(&own()?)?;
            }
        }
        Ok(())
    }

    /// The scale goes into the small matrix: one product of r columns instead of one of the layer's whole output.
    fn scaled_b(&self, kind: Kind) -> Result<Tensor> {
        Ok(self.b_or.value.f_mul_scalar(self.scale)?.f_to_kind(kind)?)
    }

    /// The pass's dropout as factors for the elements of `x`, the same whenever it is asked for.
    fn mask(&self, x: &Tensor, pass: &Pass) -> Result<Option<Tensor>> {
        match &pass.dropout {
            Some(rng) if self.dropout > 0.0 => {
                Ok(Some(dropout_mask(x, self.dropout, &mut rng.fork(self.number))?))
            }
            _ => Ok(None),
        }
    }
}

fn dropped(x: &Tensor, mask: Option<&Tensor>) -> Result<Tensor> {
    match mask {
        Some(mask) => Ok(x.f_mul(mask)?),
        None => Ok(x.shallow_clone()),
    }
}

/// A factor for each element of `x`: 0 with probability `p`, else what keeps the mean.
///
/// The probability is held in 16 bits, and the factor is that of the probability so held.
fn dropout_mask(x: &Tensor, p: f64, rng: &mut Rng) -> Result<Tensor> {
    let threshold = (p * 65_536.0).round() as u32;
    let keep = (1.0 - f64::from(threshold) / 65_536.0).max(f64::MIN_POSITIVE);
    if x.device() != Device::Cpu {
        // Drawn there: to bring as many numbers as there are activations would take longer than to compute with them.
        let mut mask = x.f_empty_like()?;
        kernels::dropout(&mut mask, rng.next_u64(), keep)?;
        return Ok(mask);
    }
    let scale = (1.0 / keep) as f32;
    let count = x.numel();
    let mut words = vec![0; count.div_ceil(2)];
    rng.fill_u32(&mut words);
    let factor = |bits: u32| if bits >= threshold { scale } else { 0.0 };
    let mut mask: Vec<f32> =
        words.iter().flat_map(|bits| [factor(bits & 0xffff), factor(bits >> 16)]).collect();
    mask.truncate(count);
    let mask = Tensor::f_from_slice(&mask)?.f_view(x.size().as_slice())?;
    Ok(mask.f_to_kind(x.kind())?)
}

impl CausalLm {
    /// Puts a fresh `LoRA` on the layers that `settings` names.
    ///
    /// # Errors
    /// A user error where a name matches nothing.
    pub fn attach_lora(&mut self, settings: &LoraSettings, rng: &mut Rng) -> Result<()> {
        let paths: Vec<&str> =
            self.projections().map(|(_, projection)| projection.name.as_str()).collect();
        check_targets(&settings.target_modules, &paths)?;
        let shapes = self
            .projections()
            .filter(|(_, projection)| settings.targets(&projection.name))
            .flat_map(|(inputs, projection)| {
                let path = format!("base_model.model.{}", projection.name);
                [
                    (format!("{path}.lora_A.weight"), vec![settings.rank, inputs]),
                    (format!("{path}.lora_B.weight"), vec![projection.out, settings.rank]),
                ]
            })
            .collect();
        let parameters = Parameters::zeros(shapes, self.device())?;
        let mut each = parameters.each()?.into_iter();
        let adapted =
            self.projections_mut().filter(|projection| settings.targets(&projection.name));
        for (number, projection) in adapted.enumerate() {
            if let (Some(a), Some(b)) = (each.next(), each.next()) {
                projection.lora = Some(Lora::new(a, b, settings, number as u64, rng)?);
            }
        }
        self.set_parameters(parameters);
        Ok(())
    }
}

/// Checks that every name of `wanted` meets a layer.
///
/// # Errors
/// A user error naming the name and what there is.
pub fn check_targets(wanted: &TargetModules, paths: &[&str]) -> Result<()> {
    let TargetModules::Names(names) = wanted else { return Ok(()) };
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

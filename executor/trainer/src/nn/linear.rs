//! Linear layers of one input, and the adapters on them: `y = W x + b + s B A x`.
//!
//! Projections that read the same input (queries, keys and values; gate and values of the MLP) are one matrix: one large product
//! instead of several small ones. The layer owns the call to its frozen weight, and an adapter is a value beside it: several adapters
//! could share one resident base.
//!
//! Where an adapter takes part, its output is there first and the weight's product is added to it, in fp32 and rounded once. The other way round
//! whatever of an adapter's output is less than half a unit of `W x` in bf16 would be rounded away, and early in training that is most of it: B
//! begins at zero. So it is with gradients of inputs.
//!
//! The backward pass is written out: nothing is kept for the weight's gradient, and of the adapter only `A x` is kept, r numbers a row. The
//! input itself is given again by the caller, who may have it anyway or compute it anew. The weight is frozen, or a parameter itself. Layers
//! with factors on inputs or outputs are in [`crate::nn::rescaled`].

use tch::{Kind, Tensor};

use crate::error::Result;
use crate::nn::compute::{Compute, copied_in};
use crate::optim::parameters::Parameter;
use crate::peft::full::Places;
use crate::peft::ia3::Ia3;
use crate::peft::lora::{Lora, Low, Pass};

/// One projection: some rows of the matrix.
#[derive(Debug)]
pub struct Projection {
    /// The module's path in the Hugging Face model, such as `model.layers.0.self_attn.q_proj`.
    pub name: String,
    /// Outputs.
    pub out: i64,
    /// The adapter, if this projection has one.
    pub lora: Option<Lora>,
    /// The factors, if it has some.
    pub ia3: Option<Ia3>,
}

/// Linear layers of one input.
#[derive(Debug)]
pub struct Linear {
    /// In the order of their outputs.
    pub projections: Vec<Projection>,
    pub(super) weight_oi: Tensor,
    pub(super) bias_o: Option<Tensor>,
    /// Weight and bias as parameters, where they are trained.
    trained: Option<(Parameter, Option<Parameter>)>,
}

/// What the backward pass needs of the forward pass.
#[derive(Debug)]
pub struct Kept {
    /// Of each projection with an adapter, what the adapter keeps.
    pub(super) low: Vec<Option<Low>>,
    /// Of each projection whose output is rescaled, the output before that.
    pub(super) unscaled: Vec<Option<Tensor>>,
}

impl Linear {
    /// `weight_oi` and `bias_o` are those of all projections, whose paths and outputs are given in their order. In the compute format.
    pub fn new(parts: &[(String, i64)], weight_oi: Tensor, bias_o: Option<Tensor>) -> Self {
        let projections = parts
            .iter()
            .map(|(name, out)| Projection { name: name.clone(), out: *out, lora: None, ia3: None })
            .collect();
        Self { projections, weight_oi, bias_o, trained: None }
    }

    /// Weights, then biases, of all projections, under their names in the Hugging Face model.
    ///
    /// # Errors
    /// As libtorch reports.
    pub fn weights(&self) -> Result<Vec<(String, Tensor)>> {
        let mut all = Vec::new();
        for (what, tensor) in [("weight", Some(&self.weight_oi)), ("bias", self.bias_o.as_ref())] {
            let Some(tensor) = tensor else { continue };
            for (projection, start) in self.places() {
                let own = tensor.f_narrow(0, start, projection.out)?;
                all.push((format!("{}.{what}", projection.name), own));
            }
        }
        Ok(all)
    }

    /// Trains weight and bias, which move to the next of `places`: projections that lie one after the other there are one matrix still.
    ///
    /// # Errors
    /// As libtorch reports.
    pub fn train(&mut self, places: &mut Places<'_>) -> Result<()> {
        let (weight, of_weight) = places.take(&self.weight_oi.size())?;
        self.weight_oi = weight;
        let mut of_bias = None;
        if let Some(bias) = &mut self.bias_o {
            let (moved, parameter) = places.take(&bias.size())?;
            (*bias, of_bias) = (moved, Some(parameter));
        }
        self.trained = Some((of_weight, of_bias));
        Ok(())
    }

    /// Inputs.
    pub fn inputs(&self) -> i64 {
        self.weight_oi.size()[1]
    }

    /// `x_ni` to (n, o), added to `onto` where it is given.
    ///
    /// # Errors
    /// As libtorch reports.
    pub fn forward(
        &self,
        x_ni: &Tensor,
        onto: Option<&Tensor>,
        compute: &Compute,
        pass: &Pass,
    ) -> Result<(Tensor, Kept)> {
        if self.is_rescaled(pass) {
            return self.forward_rescaled(x_ni, onto, compute);
        }
        let (compute, kind) = (&compute.of_products(), compute.kind);
        let x_ni = &x_ni.f_to_kind(compute.kind)?;
        let (y_no, low) = match pass.adapter && self.is_adapted() {
            true => self.forward_adapted(x_ni, onto, compute, pass)?,
            false => (self.forward_frozen(x_ni, onto, compute)?, Vec::new()),
        };
        Ok((y_no.f_to_kind(kind)?, Kept { low, unscaled: Vec::new() }))
    }

    /// Whether a projection has an adapter.
    fn is_adapted(&self) -> bool {
        self.projections.iter().any(|projection| projection.lora.is_some())
    }

    fn forward_adapted(
        &self,
        x_ni: &Tensor,
        onto: Option<&Tensor>,
        compute: &Compute,
        pass: &Pass,
    ) -> Result<(Tensor, Vec<Option<Low>>)> {
        let shape = [x_ni.size()[0], self.weight_oi.size()[0]];
        let mut y_no = Tensor::f_empty(shape, (compute.kind, x_ni.device()))?;
        let mut kept = Vec::with_capacity(self.projections.len());
        for (projection, start) in self.places() {
            let mut own = y_no.f_narrow(1, start, projection.out)?;
            kept.push(match &projection.lora {
                Some(lora) => Some(lora.forward(&mut own, x_ni, compute, pass)?),
                None => {
                    let _ = own.f_zero_()?;
                    None
                }
            });
        }
        compute.project_onto(&mut y_no, x_ni, &self.weight_oi)?;
        for other in [self.bias_o.as_ref(), onto].into_iter().flatten() {
            let _ = y_no.f_add_(other)?;
        }
        Ok((y_no, kept))
    }

    fn forward_frozen(
        &self,
        x_ni: &Tensor,
        onto: Option<&Tensor>,
        compute: &Compute,
    ) -> Result<Tensor> {
        match self.base(onto, x_ni.size()[0], compute.kind)? {
            Some(mut y_no) => {
                compute.project_onto(&mut y_no, x_ni, &self.weight_oi)?;
                Ok(y_no)
            }
            None => compute.project(x_ni, &self.weight_oi),
        }
    }

    /// What the product of `rows` rows is added to, in memory of its own.
    fn base(&self, onto: Option<&Tensor>, rows: i64, kind: Kind) -> Result<Option<Tensor>> {
        Ok(match (onto, &self.bias_o) {
            (Some(onto), None) => Some(copied_in(onto, kind)?),
            (Some(onto), Some(bias)) => Some(copied_in(onto, kind)?.f_add_(bias)?),
            (None, Some(bias)) => Some(bias.f_to_kind(kind)?.f_unsqueeze(0)?.f_repeat([rows, 1])?),
            (None, None) => None,
        })
    }

    /// Adds the parameters' gradients for `dy_no` at `x_ni` to theirs, and gives the gradient of `x_ni` where it is `wanted`.
    ///
    /// # Errors
    /// As libtorch reports.
    pub fn backward(
        &self,
        dy_no: &Tensor,
        x_ni: &Tensor,
        kept: &Kept,
        compute: &Compute,
        pass: &Pass,
        wanted: bool,
    ) -> Result<Option<Tensor>> {
        if self.is_rescaled(pass) {
            return self.backward_rescaled(dy_no, x_ni, kept, compute, pass, wanted);
        }
        let (compute, kind) = (&compute.of_products(), compute.kind);
        let (dy_no, x_ni) = (&dy_no.f_to_kind(compute.kind)?, &x_ni.f_to_kind(compute.kind)?);
        if let Some((weight, bias)) = &self.trained {
            pass.add_outer(weight, (dy_no, x_ni), 1.0, compute)?;
            if let Some(bias) = bias {
                pass.add_bias(bias, dy_no)?;
            }
        }
        let mut dx_ni = None;
        for ((projection, start), low) in self.places().zip(&kept.low) {
            if let (Some(lora), Some(low)) = (&projection.lora, low) {
                let own = dy_no.f_narrow(1, start, projection.out)?;
                lora.backward(&own, (x_ni, low), (&mut dx_ni, wanted), compute, pass)?;
            }
        }
        if !wanted {
            return Ok(None);
        }
        let dx_ni = match dx_ni {
            Some(mut dx_ni) => {
                compute.product_onto(&mut dx_ni, dy_no, &self.weight_oi)?;
                dx_ni
            }
            None => compute.product(dy_no, &self.weight_oi)?,
        };
        Ok(Some(dx_ni.f_to_kind(kind)?))
    }

    /// The projections with the first of their outputs.
    pub(super) fn places(&self) -> impl Iterator<Item = (&Projection, i64)> {
        self.projections.iter().scan(0, |next, projection| {
            let start = *next;
            *next += projection.out;
            Some((projection, start))
        })
    }
}

//! A frozen linear layer and the adapter on it: `y = W x + b + s B A x`.
//!
//! The layer owns the call to its frozen weight, and the adapter is a value beside it: several adapters could share one
//! resident base.

use tch::Tensor;

use crate::error::Result;
use crate::peft::lora::{Lora, Pass};

/// A linear layer.
#[derive(Debug)]
pub struct Linear {
    /// The module's path in the Hugging Face model, such as `model.layers.0.self_attn.q_proj`.
    pub name: String,
    weight_oi: Tensor,
    bias_o: Option<Tensor>,
    /// The adapter, if this layer has one.
    pub lora: Option<Lora>,
}

impl Linear {
    /// `weight_oi` is (out, in), `bias_o` (out); both frozen and in the compute format.
    pub fn new(name: String, weight_oi: Tensor, bias_o: Option<Tensor>) -> Self {
        Self { name, weight_oi, bias_o, lora: None }
    }

    /// (out, in).
    pub fn shape(&self) -> (i64, i64) {
        let size = self.weight_oi.size();
        (size[0], size[1])
    }

    /// Parameters of weight and bias.
    pub fn parameter_count(&self) -> i64 {
        (self.weight_oi.numel() + self.bias_o.as_ref().map_or(0, Tensor::numel)) as i64
    }

    /// `x` of any shape with the layer's inputs last.
    ///
    /// # Errors
    /// As libtorch reports.
    pub fn forward(&self, x: &Tensor, pass: &Pass) -> Result<Tensor> {
        let y = x.f_linear(&self.weight_oi, self.bias_o.as_ref())?;
        match &self.lora {
            Some(lora) if pass.adapter => lora.add_to(y, x, pass),
            _ => Ok(y),
        }
    }
}

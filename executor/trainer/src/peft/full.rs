//! Full fine-tuning: every weight of the model is a parameter.
//!
//! The fp32 masters lie in the flat buffers in the order of the model, projections of one input one after the other, so that they are one
//! matrix there too. In fp32 the layers compute with the masters themselves; else with a copy in their format, laid out alike, which each
//! update writes as it goes over the masters.

use tch::{Kind, Tensor};

use crate::error::Result;
use crate::optim::parameters::{Parameter, Parameters};
use crate::peft::lora::Pass;

/// Rows of a norm whose gradient is summed by itself: enough work for a thread, whatever the number of threads.
const ROWS: i64 = 64;

/// Hands out the places of the flat buffers, one after the other.
#[derive(Debug)]
pub struct Places<'a> {
    parameters: &'a Parameters,
    next: i64,
}

impl<'a> Places<'a> {
    /// From the first on.
    pub fn of(parameters: &'a Parameters) -> Self {
        Self { parameters, next: 0 }
    }

    /// The next place as a tensor of `shape`: what is computed with, and the parameter.
    ///
    /// # Errors
    /// As libtorch reports.
    pub fn take(&mut self, shape: &[i64]) -> Result<(Tensor, Parameter)> {
        let (start, count) = (self.next, shape.iter().product::<i64>());
        let view = |flat: &Tensor| -> Result<Tensor> {
            Ok(flat.f_narrow(0, start, count)?.f_view(shape)?)
        };
        let Parameters { values, gradients, .. } = self.parameters;
        let parameter = Parameter { value: view(values)?, gradient: view(gradients)?, start };
        let computed = view(self.parameters.computed())?;
        self.next += count;
        Ok((computed, parameter))
    }
}

impl Pass {
    /// Of `rows` rows, how many a gradient is of that [`Pass::add_each`] takes.
    pub(crate) fn rows_of_a_gradient(&self, rows: i64) -> i64 {
        // What does not divide the rows leaves the plain operations no groups.
        if rows % ROWS == 0 { ROWS } else { rows.max(1) }
    }

    /// Adds gradients (groups, n) in fp32, each of a group of rows, to the parameter's.
    pub(crate) fn add_each(&self, parameter: &Parameter, gradients: &Tensor) -> Result<()> {
        let sum = gradients.f_sum_dim_intlist(&[0_i64][..], false, Kind::Float)?;
        let _ = parameter.gradient.shallow_clone().f_add_(&sum)?;
        Ok(())
    }

    /// Adds the gradient of a bias for `dy_no`.
    pub(crate) fn add_bias(&self, parameter: &Parameter, dy_no: &Tensor) -> Result<()> {
        let sum = dy_no.f_sum_dim_intlist(&[0_i64][..], false, Kind::Float)?;
        let _ = parameter.gradient.shallow_clone().f_add_(&sum)?;
        Ok(())
    }

    /// Adds the gradient of an embedding for `dx_nd`, the gradient of the rows that `ids` (n) chose. Unlike transformers' it is that of every
    /// token: the one that pads may be one that ends a turn too, and rows of padding have no gradient anyway.
    pub(crate) fn add_embedding(
        &self,
        parameter: &Parameter,
        ids: &Tensor,
        dx_nd: &Tensor,
    ) -> Result<()> {
        let mut gradient = parameter.gradient.shallow_clone();
        let _ = gradient.f_index_add_(0, ids, &dx_nd.f_to_kind(Kind::Float)?)?;
        Ok(())
    }
}

//! Full fine-tuning: every weight of the model is a parameter.
//!
//! The fp32 masters lie in the flat buffers in the order of the model, projections of one input one after the other, so that they are one
//! matrix there too. In fp32 the layers compute with the masters themselves; else with a copy in their format, laid out alike, which each
//! update writes as it goes over the masters.

use std::ops::Range;

use tch::{Kind, Tensor};

use crate::arch::CausalLm;
use crate::error::Result;
use crate::nn::compute::Compute;
use crate::optim::parameters::{Parameter, Parameters};
use crate::peft::lora::Pass;
use crate::weights::{WeightSource, require};

/// Rows of a norm whose gradient is summed by itself: enough work for a thread, whatever the number of threads.
const ROWS: i64 = 64;

/// Hands out the places of the flat buffers, one after the other.
#[derive(Debug)]
pub struct Places<'a> {
    parameters: &'a Parameters,
    taken: Vec<Range<i64>>,
}

impl<'a> Places<'a> {
    /// From the first on.
    pub fn of(parameters: &'a Parameters) -> Self {
        Self { parameters, taken: Vec::new() }
    }

    /// The next place as a tensor of `shape`: what is computed with, and the parameter.
    ///
    /// # Errors
    /// As libtorch reports.
    pub fn take(&mut self, shape: &[i64]) -> Result<(Tensor, Parameter)> {
        let start = self.taken.last().map_or(0, |place| place.end);
        let count = shape.iter().product::<i64>();
        let view = |flat: &Tensor| -> Result<Tensor> {
            Ok(flat.f_narrow(0, start, count)?.f_view(shape)?)
        };
        let Parameters { values, gradients, .. } = self.parameters;
        let parameter = Parameter { value: view(values)?, gradient: view(gradients)?, start };
        let computed = view(self.parameters.computed())?;
        self.taken.push(start..start + count);
        Ok((computed, parameter))
    }

    /// Those that were handed out.
    pub fn taken(self) -> Vec<Range<i64>> {
        self.taken
    }
}

impl Pass {
    /// Of `rows` rows, how many a gradient is of that [`Pass::add_each`] takes.
    pub(crate) fn rows_of_a_gradient(&self, rows: i64) -> i64 {
        match &self.units {
            Some(units) => rows / units.rows().max(1),
            // What does not divide the rows leaves the plain operations no groups.
            None if rows % ROWS == 0 => ROWS,
            None => rows.max(1),
        }
    }

    /// Adds gradients (groups, n) in fp32, each of a group of rows, to the parameter's, or each to its unit's.
    pub(crate) fn add_each(&self, parameter: &Parameter, gradients: &Tensor) -> Result<()> {
        if let Some(units) = &self.units {
            return units.add_values(parameter.start, gradients);
        }
        let sum = gradients.f_sum_dim_intlist(&[0_i64][..], false, Kind::Float)?;
        let _ = parameter.gradient.shallow_clone().f_add_(&sum)?;
        Ok(())
    }

    /// Adds the gradient of a bias for `dy_no`.
    pub(crate) fn add_bias(&self, parameter: &Parameter, dy_no: &Tensor) -> Result<()> {
        if let Some(units) = &self.units {
            let dy_bto = dy_no.f_view([units.rows(), -1, dy_no.size()[1]])?;
            let each = dy_bto.f_sum_dim_intlist(&[1_i64][..], false, Kind::Float)?;
            return units.add_values(parameter.start, &each);
        }
        let sum = dy_no.f_sum_dim_intlist(&[0_i64][..], false, Kind::Float)?;
        let _ = parameter.gradient.shallow_clone().f_add_(&sum)?;
        Ok(())
    }

    /// Adds the gradient of a head, `delta^T hidden`, of positions that are all of row `row` where it is given, times `weight`.
    pub(crate) fn add_head(
        &self,
        parameter: &Parameter,
        (row, weight): (Option<i64>, f64),
        (delta_nv, hidden_nd): (&Tensor, &Tensor),
        compute: &Compute,
    ) -> Result<()> {
        match (&self.units, row) {
            (Some(units), Some(row)) => {
                units.add_row(parameter.start, row, (delta_nv, hidden_nd), weight, compute)
            }
            _ => self.add_outer(parameter, (delta_nv, hidden_nd), weight, compute),
        }
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
        if let Some(units) = &self.units {
            return units.add_entries(parameter.start, gradient.size2()?, (ids, dx_nd));
        }
        let _ = gradient.f_index_add_(0, ids, &dx_nd.f_to_kind(Kind::Float)?)?;
        Ok(())
    }
}

impl CausalLm {
    /// Makes every weight a parameter, with the value that it has.
    ///
    /// # Errors
    /// As libtorch reports.
    pub(crate) fn attach_full(&mut self) -> Result<()> {
        let _no_grad = tch::no_grad_guard();
        let tied = self.config().tie_word_embeddings;
        let weights = self.body.weights(tied)?;
        let shapes = weights.iter().map(|(name, weight)| (name.clone(), weight.size())).collect();
        let parameters = Parameters::zeros(shapes, self.device())?;
        for ((_, mut master), (_, weight)) in parameters.named()?.into_iter().zip(weights) {
            master.f_copy_(&weight)?;
        }
        let mut parameters = parameters.computed_in(self.kind())?;
        let mut places = Places::of(&parameters);
        self.body.train(tied, &mut places)?;
        let blocks = places.taken();
        parameters.set_blocks(blocks);
        self.set_parameters(parameters);
        Ok(())
    }

    /// Gives every parameter the value that it has in `source`, in the precision that it has there: the model may compute in less.
    ///
    /// # Errors
    /// A user error naming what is missing or of another shape.
    pub fn load_masters(&mut self, source: &dyn WeightSource) -> Result<()> {
        let _no_grad = tch::no_grad_guard();
        for (name, mut master) in self.parameters().named()? {
            require(source, &name, &mut master)?;
        }
        self.parameters().refresh()
    }
}

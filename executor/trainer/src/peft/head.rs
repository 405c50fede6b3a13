//! A new output head alone, which starts as the model's own.
//!
//! Nothing below it wants a gradient: the rest of the model runs forward alone, and keeps nothing. The gradient of a unit is as large as the
//! head, and those of a private step's units stand side by side; norms without them (ghost clipping) would need the gradients of all logits of a
//! row, which are as large where a row is about as long as the model is wide.

use tch::{Kind, Tensor};

use crate::arch::{CausalLm, ModelBatch, StepOptions};
use crate::error::Result;
use crate::nn::compute::Compute;
use crate::objective::cross_entropy::{Head, LossStats, chunk_rows, cross_entropy_of, targets_of};
use crate::optim::parameters::{Parameter, Parameters};
use crate::peft::lora::Pass;

/// The parameter's name, as transformers has it.
const NAME: &str = "lm_head.weight";

/// The head in training.
#[derive(Debug)]
pub struct TrainedHead {
    /// (v, d).
    pub weight: Parameter,
}

impl TrainedHead {
    /// The loss of hidden states `hidden_nd` against `labels_bt`; adds the gradient of `scale` times it to the weight's.
    fn accumulate(
        &self,
        hidden_nd: &Tensor,
        labels_bt: &Tensor,
        scale: f64,
        (compute, pass): (&Compute, &Pass),
    ) -> Result<LossStats> {
        let (targets, rows) = targets_of(labels_bt)?;
        let count = rows.size()[0];
        let mut stats = LossStats { loss_sum: 0.0, target_tokens: count, correct_tokens: 0 };
        let head = Head::new(&self.weight.value, compute)?;
        let chunk = chunk_rows(&self.weight.value);
        let mut start = 0;
        while start < count {
            let here = rows.f_narrow(0, start, chunk.min(count - start))?;
            let hidden = hidden_nd.f_index_select(0, &here)?;
            let mut logits = head.logits(&hidden)?;
            let target = targets.f_index_select(0, &here)?;
            let (losses, correct) = cross_entropy_of(&mut logits, &target, scale, compute)?;
            stats.loss_sum += losses.f_sum(Kind::Double)?.f_double_value(&[])?;
            stats.correct_tokens += correct.f_sum(Kind::Double)?.f_double_value(&[])? as i64;
            let delta = logits.f_to_kind(compute.kind)?;
            pass.add_outer(&self.weight, (&delta, &hidden), 1.0, compute)?;
            start += chunk;
        }
        Ok(stats)
    }

    /// Adds the gradient of `scale` times the loss of a batch with these hidden states; of each row to its unit's, where they are told apart.
    ///
    /// # Errors
    /// As libtorch reports.
    pub fn add_gradient(
        &self,
        hidden_nd: &Tensor,
        labels_bt: &Tensor,
        scale: f64,
        options: &StepOptions,
        compute: &Compute,
    ) -> Result<LossStats> {
        let _no_grad = tch::no_grad_guard();
        let mut pass = Pass { adapter: true, dropout: None, units: None };
        let Some((units, weights)) = &options.units else {
            return self.accumulate(hidden_nd, labels_bt, scale, (compute, &pass));
        };
        let length = labels_bt.size()[1];
        let mut stats = LossStats::default();
        for (row, weight) in (0..).zip(weights) {
            pass.units = Some(units.of_row(row)?);
            let hidden = hidden_nd.f_narrow(0, row * length, length)?;
            let labels = labels_bt.f_narrow(0, row, 1)?;
            let scale = scale * f64::from(*weight);
            stats.add(self.accumulate(&hidden, &labels, scale, (compute, &pass))?);
        }
        Ok(stats)
    }
}

impl CausalLm {
    /// Trains a copy of the head.
    ///
    /// # Errors
    /// As libtorch reports.
    pub(crate) fn attach_head(&mut self) -> Result<()> {
        let shapes = vec![(NAME.to_string(), self.body.head_vd.size())];
        let parameters = Parameters::zeros(shapes, self.device())?;
        for weight in parameters.each()? {
            weight.value.shallow_clone().f_copy_(&self.body.head_vd)?;
            self.head = Some(TrainedHead { weight });
        }
        self.set_parameters(parameters);
        Ok(())
    }

    /// As [`CausalLm::accumulate_gradients`], of the head.
    pub(crate) fn accumulate_head(
        &self,
        head: &TrainedHead,
        batch: &ModelBatch,
        scale: f64,
        options: &StepOptions,
    ) -> Result<LossStats> {
        let hidden = self.hidden(batch)?;
        let at = self.at_head(&hidden);
        head.add_gradient(&hidden, &batch.labels, scale, options, at.compute)
    }
}

//! One optimizer step: the gradient of the effective batch, micro-batch by micro-batch, the update, and its figures.

use trainyard_openapi::job_error::JobErrorCode;
use trainyard_plan::trainer::{Step, TrainerEvent};

use crate::arch::StepOptions;
use crate::data::Sampler;
use crate::device;
use crate::error::{Result, TrainerError};
use crate::objective::cross_entropy::{LossStats, LossSums};
use crate::optim::clip::{clip_scale, global_norm};
use crate::rng::Rng;
use crate::run::tensors::to_device;
use crate::train::history::Row;
use crate::train::memory::halve;
use crate::train::pace::Pace;
use crate::train::session::Session;

/// The stream of the run's random numbers that dropout draws from.
pub(crate) const DROPOUT_STREAM: u64 = 0x4452_4f50;

/// The order of the rows of the epoch at hand, kept from step to step.
#[derive(Debug, Default)]
pub struct EpochOrder(Option<(u64, Vec<usize>)>);

impl EpochOrder {
    /// The new rows of step `step`, from 0.
    pub(crate) fn rows(&mut self, sampler: &Sampler, step: u64) -> Vec<usize> {
        let of_epoch = sampler.rows().max(1) as u64;
        let mut rows = Vec::new();
        for place in sampler.places(step) {
            let (epoch, place) = (place / of_epoch, (place % of_epoch) as usize);
            let order = match self.0.take() {
                Some((same, order)) if same == epoch => order,
                _ => sampler.epoch(epoch),
            };
            rows.push(order[place]);
            self.0 = Some((epoch, order));
        }
        rows
    }
}

/// The figures of a step that are told.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Figures {
    pub(crate) train_loss: Option<f64>,
    pub(crate) train_accuracy: Option<f64>,
    pub(crate) tokens: u64,
    pub(crate) target_tokens: u64,
    pub(crate) learning_rate: f64,
    pub(crate) grad_norm: f64,
}

impl Figures {
    /// Those of a step whose loss may be told.
    pub(crate) fn told(updated: &Updated, tokens: u64) -> Self {
        let Updated { stats, learning_rate, grad_norm } = *updated;
        Self {
            train_loss: Some(stats.mean_loss()),
            train_accuracy: Some(stats.accuracy()),
            tokens,
            target_tokens: stats.target_tokens as u64,
            learning_rate,
            grad_norm,
        }
    }
}

/// What is known once a step's update is made.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Updated {
    pub(crate) stats: LossStats,
    pub(crate) learning_rate: f64,
    /// Before clipping.
    pub(crate) grad_norm: f64,
}

impl Session<'_> {
    /// Takes one step, with smaller micro-batches where memory runs out. Where something else is wanted meanwhile, nothing is changed:
    /// the loop sees why.
    ///
    /// # Errors
    /// `diverged` where loss or gradient is no number any more; `out_of_memory` where one row is too much; anything that libtorch reports.
    pub(super) fn step(&mut self, order: &mut EpochOrder, pace: &mut Pace) -> Result<()> {
        pace.begin();
        let step = self.state.step;
        let rows = order.rows(&self.sampler, step);
        let computed = self.within_memory(|session| session.gradients(step, rows.clone()))?;
        let Some((sums, tokens)) = computed else { return Ok(()) };
        let updated = self.update(step, &sums)?;
        self.record(&Figures::told(&updated, tokens), pace)
    }

    /// What `compute` gives of this step, done again with smaller micro-batches where memory runs out. `None` where it was cut short: then no
    /// gradient is left.
    ///
    /// # Errors
    /// `out_of_memory` where one row is too much; what `compute` gives.
    pub(crate) fn within_memory(
        &mut self,
        mut compute: impl FnMut(&Self) -> Result<Option<(LossSums, u64)>>,
    ) -> Result<Option<(LossSums, u64)>> {
        let computed = loop {
            match compute(self) {
                Err(TrainerError::OutOfMemory(reason)) => {
                    // What the finished micro-batches added would count twice.
                    self.optimizer.discard_gradients()?;
                    let step = self.state.step + 1;
                    self.micro_batch_size =
                        halve(self.micro_batch_size, step, reason, self.events)?;
                    self.state.micro_batch_size = Some(self.micro_batch_size);
                }
                computed => break computed?,
            }
        };
        if computed.is_none() {
            self.optimizer.discard_gradients()?;
        }
        Ok(computed)
    }

    /// The gradient of a step's whole batch; its loss and its tokens. `None` where it was cut short.
    fn gradients(&self, step: u64, mut rows: Vec<usize>) -> Result<Option<(LossSums, u64)>> {
        // Rows of like length share a micro-batch: the gradient is a sum over all of them, and less of it is padding.
        rows.sort_by_key(|&row| self.training.row_length(row));
        let batches: Vec<_> = rows
            .chunks(self.micro_batch_size as usize)
            .map(|rows| self.training.batch(rows, self.pad))
            .collect();
        let targets: usize = batches.iter().map(|batch| batch.target_tokens).sum();
        let scale = 1.0 / targets.max(1) as f64;
        let dropout = Rng::new(self.plan.seed, DROPOUT_STREAM).fork(step);
        let mut sums = LossSums::default();
        for (number, batch) in batches.iter().enumerate() {
            if self.control.is_interrupted() {
                return Ok(None);
            }
            let options = StepOptions {
                gradient_checkpointing: self.plan.batching.gradient_checkpointing,
                dropout: Some(dropout.fork(number as u64)),
                units: None,
            };
            let batch = to_device(batch, self.model.device())?;
            sums.add(self.model.accumulate_gradients(&batch, scale, &options)?)?;
        }
        Ok(Some((sums, batches.iter().map(|batch| batch.tokens as u64).sum())))
    }

    /// Clips the gradients, whose batch had these losses, and updates. All that a step asks of the device comes with one transfer, before
    /// anything is changed.
    ///
    /// # Errors
    /// `diverged` where loss or gradient is no number any more.
    pub(crate) fn update(&mut self, step: u64, sums: &LossSums) -> Result<Updated> {
        let learning_rate = self.schedule.rate(step - self.place.first_step);
        let (stats, norm) = sums.read_with(&global_norm(&self.optimizer.gradients())?)?;
        if !stats.loss_sum.is_finite() {
            return Err(self.diverged(&format!("loss {}", stats.mean_loss())));
        }
        if !norm.is_finite() {
            return Err(self.diverged(&format!("gradient norm {norm}")));
        }
        let scale = clip_scale(norm, self.plan.optimizer.max_grad_norm);
        self.optimizer.update(learning_rate, scale)?;
        Ok(Updated { stats, learning_rate, grad_norm: norm })
    }

    pub(crate) fn diverged(&self, what: &str) -> TrainerError {
        let step = self.state.step;
        let message = format!(
            "training diverged at step {}: {what}; lower the learning rate (now {}) or set max_grad_norm",
            step + 1,
            self.schedule.rate(step - self.place.first_step),
        );
        let param = "trainyard.optimizer.learning_rate".to_string();
        TrainerError::user(JobErrorCode::Diverged, Some(param), message)
    }

    /// Counts the step and tells of it.
    pub(crate) fn record(&mut self, figures: &Figures, pace: &mut Pace) -> Result<()> {
        let Figures { train_loss, train_accuracy, tokens, target_tokens, learning_rate, grad_norm } =
            *figures;
        let took = pace.end(tokens);
        let state = &mut self.state;
        state.step += 1;
        state.tokens += tokens;
        state.target_tokens += target_tokens;
        state.training_seconds += took.as_secs_f64();
        let epoch = self.sampler.epoch_after(state.step - self.place.first_step);
        state.history.push(Row {
            step: state.step,
            epoch,
            train_loss,
            train_accuracy,
            learning_rate: Some(learning_rate),
            grad_norm: Some(grad_norm),
            tokens: state.tokens,
            ..Row::default()
        });
        let total_steps =
            self.place.first_step + self.sampler.total_steps() + self.place.later_steps;
        self.events.emit(&TrainerEvent::Step(Step {
            step: state.step,
            total_steps,
            epoch,
            train_loss,
            train_mean_token_accuracy: train_accuracy,
            learning_rate,
            grad_norm,
            tokens: state.tokens,
            target_tokens: state.target_tokens,
            tokens_per_second: pace.tokens_per_second(),
            eta_seconds: pace.eta_seconds(total_steps - state.step),
            training_seconds: state.training_seconds,
            accelerator_memory_bytes: device::memory(self.model.device())?
                .map(|memory| memory.held),
        }))
    }
}

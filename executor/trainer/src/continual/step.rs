//! A step of a stage: that of a plain run, with what is done against forgetting at its places.

use crate::arch::StepOptions;
use crate::continual::Staged;
use crate::data::Batch;
use crate::data::encode::Example;
use crate::error::Result;
use crate::objective::cross_entropy::LossSums;
use crate::rng::Rng;
use crate::run::tensors::to_device;
use crate::train::pace::Pace;
use crate::train::session::Session;
use crate::train::step::{DROPOUT_STREAM, Figures};

impl Session<'_> {
    /// Takes one step of a stage. The loss that is told is the cross entropy of the batch, replayed rows included and penalties not.
    ///
    /// # Errors
    /// As [`Session::step`].
    pub(crate) fn staged_step(&mut self, staged: &mut Staged, pace: &mut Pace) -> Result<()> {
        pace.begin();
        let step = self.state.step;
        let rows = staged.order.rows(&self.sampler, self.stage_step());
        let replayed = self.sampler.replayed(self.stage_step());
        let tools = self.tools(&staged.at)?;
        for strategy in &mut staged.strategies {
            strategy.before_step(&tools, replayed)?;
        }
        let computed = self.within_memory(|session| session.staged_gradients(staged, &rows))?;
        let Some((sums, tokens)) = computed else { return Ok(()) };
        let updated = self.update(step, &sums)?;
        let tools = self.tools(&staged.at)?;
        for strategy in &mut staged.strategies {
            strategy.after_update(&tools)?;
        }
        self.record(&Figures::told(&updated, tokens), pace)
    }

    /// The gradient of new and replayed rows together, as strategies turn it; loss and tokens. `None` where it was cut short.
    fn staged_gradients(
        &self,
        staged: &mut Staged,
        rows: &[usize],
    ) -> Result<Option<(LossSums, u64)>> {
        let packed = self.training.is_packed();
        let mut lines: Vec<Vec<&Example>> =
            rows.iter().map(|&row| self.training.row(row)).collect();
        for strategy in &staged.strategies {
            lines.extend(strategy.replayed().into_iter().map(|example| vec![example]));
        }
        // Rows of like length share a micro-batch: the gradient is a sum over all of them, and less of it is padding.
        lines.sort_by_key(|line| line.iter().map(|example| example.ids.len()).sum::<usize>());
        let batches: Vec<Batch> = lines
            .chunks(self.micro_batch_size as usize)
            .map(|lines| Batch::new(lines, self.pad, packed))
            .collect();
        let targets: usize = batches.iter().map(|batch| batch.target_tokens).sum();
        let scale = 1.0 / targets.max(1) as f64;
        let dropout = Rng::new(self.plan.seed, DROPOUT_STREAM).fork(self.state.step);
        let tools = self.tools(&staged.at)?;
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
            let mut own = None;
            for strategy in &staged.strategies {
                own = match own {
                    None => strategy.on_loss(&tools, &batch, &options, scale)?,
                    own => own,
                };
            }
            sums.add(match own {
                Some(sums) => sums,
                None => self.model.accumulate_gradients(&batch, scale, &options)?,
            })?;
        }
        for strategy in &mut staged.strategies {
            strategy.before_update(&tools)?;
        }
        Ok(Some((sums, batches.iter().map(|batch| batch.tokens as u64).sum())))
    }
}

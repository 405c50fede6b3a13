//! The loop: steps, evaluations, checkpoints, in an order that a resume repeats exactly.
//!
//! Between steps: evaluate if due, then look at what is wanted from outside, then checkpoint if due. What was cut short leaves no
//! trace in the state, so a checkpoint always holds whole steps, and going on from it does what would have been done without it.

use std::path::PathBuf;
use std::rc::Rc;
use std::time::{Duration, Instant};

use trainyard_openapi::job_error::JobErrorCode;
use trainyard_plan::Plan;
use trainyard_plan::trainer::{CheckpointWritten, EvaluationReport, Stage, TrainerEvent};

use crate::arch::CausalLm;
use crate::artifact::description::AdapterDescription;
use crate::continual::Staged;
use crate::data::{Dataset, Sampler};
use crate::error::{Result, TrainerError};
use crate::eval::evaluate;
use crate::optim::adamw::AdamW;
use crate::optim::schedule::Schedule;
use crate::run::events::Events;
use crate::train::checkpoint;
use crate::train::control::Control;
use crate::train::history::Row;
use crate::train::memory::halve;
use crate::train::pace::Pace;
use crate::train::private::Private;
use crate::train::state::{Measured, RunState};
use crate::train::step::EpochOrder;

/// How the loop ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// All steps are done, or early stopping ended them.
    Done,
    /// As asked; a checkpoint of this step is on disk.
    Stopped,
    /// As asked; nothing is kept.
    Cancelled,
}

/// A run in progress.
pub struct Session<'a> {
    /// What to do.
    pub plan: &'a Plan,
    /// The model with its adapter.
    pub model: CausalLm,
    /// The optimizer.
    pub optimizer: AdamW,
    /// The course of its rate.
    pub schedule: Schedule,
    /// The order of rows.
    pub sampler: Sampler,
    /// The training rows.
    pub training: Rc<Dataset>,
    /// The validation rows.
    pub validation: Option<Rc<Dataset>>,
    /// Rows of a micro-batch: fewer than planned once memory ran out.
    pub micro_batch_size: u32,
    /// The token for padding.
    pub pad: u32,
    /// Where checkpoints go.
    pub checkpoints: PathBuf,
    /// The step of the newest checkpoint there, once one was written or gone on from.
    pub saved_step: Option<u64>,
    /// How checkpoints describe themselves to PEFT.
    pub adapter: AdapterDescription,
    /// Everything that a checkpoint keeps beside the tensors.
    pub state: RunState,
    /// Wishes from outside.
    pub control: &'a Control,
    /// Where events go.
    pub events: &'a Events,
    /// How a step is taken.
    pub mode: Mode,
    /// Where the sampler's steps are among all of the run.
    pub place: StepPlace,
}

/// Where the steps of the stage at hand are among all of the run. A run without stages is one stage.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct StepPlace {
    /// Steps before it.
    pub first_step: u64,
    /// Steps of the stages after it.
    pub later_steps: u64,
}

/// How a step is taken. Not something that a step can be made to forget: a guarantee that can be unhooked is none.
#[derive(Debug)]
pub enum Mode {
    /// On the rows of the epoch at hand, as they come.
    Plain(EpochOrder),
    /// On units drawn at random, each cut to a limit, with noise on their sum.
    Private(Box<Private>),
    /// On the rows of a stage, with what is done against forgetting.
    Staged(Box<Staged>),
}

impl Default for Mode {
    fn default() -> Self {
        Self::Plain(EpochOrder::default())
    }
}

impl Session<'_> {
    /// Trains to the end, or until something else is wanted.
    ///
    /// # Errors
    /// `diverged` where a loss is no number any more; anything that libtorch or the disk reports.
    pub fn train(&mut self) -> Result<Ending> {
        let mut pace = Pace::new();
        let mut last_checkpoint = Instant::now();
        loop {
            // An evaluation that was cut short stays due: a resume makes up for it.
            let measured = !self.evaluation_due() || self.evaluate()?;
            if self.control.is_cancelled() {
                return Ok(Ending::Cancelled);
            }
            if self.control.is_stopping() && !(measured && self.is_done()) {
                self.checkpoint()?;
                return Ok(Ending::Stopped);
            }
            if self.checkpoint_due(last_checkpoint.elapsed()) {
                self.checkpoint()?;
                last_checkpoint = Instant::now();
            }
            if self.is_done() {
                return Ok(Ending::Done);
            }
            // Back in its place before anything else: what is left there meanwhile would go on without privacy.
            let mut mode = std::mem::take(&mut self.mode);
            let taken = match &mut mode {
                Mode::Plain(order) => self.step(order, &mut pace),
                Mode::Private(private) => self.private_step(private, &mut pace),
                Mode::Staged(staged) => self.staged_step(staged, &mut pace),
            };
            self.mode = mode;
            taken?;
        }
    }

    /// Says of a private run that it ended in order.
    ///
    /// # Errors
    /// Where its ledger cannot be written.
    pub fn settle(&mut self) -> Result<()> {
        if let (Mode::Private(private), Some(state)) = (&mut self.mode, &mut self.state.privacy) {
            state.spent = private.settle(self.state.step)?.or(state.spent);
        }
        Ok(())
    }

    /// Whether the stage's steps are taken, or what is left of them is not wanted.
    fn is_done(&self) -> bool {
        let exhausted = self.state.privacy.is_some_and(|private| private.exhausted);
        self.stage_step() >= self.sampler.total_steps() || self.state.stopped_early || exhausted
    }

    /// Steps of the stage that are done.
    pub(crate) fn stage_step(&self) -> u64 {
        self.state.step - self.place.first_step
    }

    /// Before the first step, after the last, and every so many between.
    fn evaluation_due(&self) -> bool {
        let step = self.state.step;
        let every = self.plan.evaluation.every_steps.map(u64::from);
        let marked = match self.mode {
            // The ends of stages are measured on all of them, by those who go through them.
            Mode::Staged(_) => !self.is_done() && self.stage_step() > 0,
            _ => step == 0 || self.is_done(),
        };
        let by_step = every.is_some_and(|every| step.is_multiple_of(every));
        let marked = match self.mode {
            Mode::Staged(_) => marked && by_step,
            _ => marked || by_step,
        };
        let measured = self.state.last_evaluation.is_some_and(|last| last.step == step);
        self.validation.is_some() && marked && !measured
    }

    /// Looks at the validation data, if there is any; whether it came to its end.
    fn evaluate(&mut self) -> Result<bool> {
        let Some(validation) = self.validation.clone() else { return Ok(true) };
        let Some(measured) = self.measure(&validation)? else { return Ok(false) };
        self.note(measured)?;
        Ok(true)
    }

    /// Measures the model on `dataset`; `None` where it was cut short.
    pub(crate) fn measure(&mut self, dataset: &Dataset) -> Result<Option<Measured>> {
        let step = self.state.step;
        let stats = loop {
            let rows = self.micro_batch_size as usize;
            let working = || self.events.working(Stage::Evaluating);
            let measured = evaluate(&self.model, dataset, rows, self.pad, self.control, working);
            match measured {
                Err(TrainerError::OutOfMemory(reason)) => {
                    self.micro_batch_size =
                        halve(self.micro_batch_size, step, reason, self.events)?;
                    self.state.micro_batch_size = Some(self.micro_batch_size);
                }
                measured => break measured?,
            }
        };
        let Some(stats) = stats else { return Ok(None) };
        let measured = Measured { step, loss: stats.mean_loss(), accuracy: stats.accuracy() };
        if !measured.loss.is_finite() {
            let message = format!("the validation loss after step {step} is {}", measured.loss);
            return Err(TrainerError::user(JobErrorCode::Diverged, None, message));
        }
        Ok(Some(measured))
    }

    /// Notes what was measured on the validation data, and tells of it.
    pub(crate) fn note(&mut self, measured: Measured) -> Result<()> {
        let step = measured.step;
        let exhausted = self.stage_step() >= self.sampler.total_steps();
        let state = &mut self.state;
        state.last_evaluation = Some(measured);
        if step == 0 {
            state.initial_valid_loss = Some(measured.loss);
            state.history.push(Row::default());
        } else if let (Some(early), true) = (&self.plan.early_stopping, !exhausted) {
            state.stopped_early = state.best.take(measured.loss, early.patience, early.min_delta);
        }
        let last = self.is_done() && self.place.later_steps == 0;
        if let Some(row) = self.state.history.last_mut() {
            (row.valid_loss, row.valid_accuracy) = (Some(measured.loss), Some(measured.accuracy));
            if last {
                (row.full_valid_loss, row.full_valid_accuracy) =
                    (row.valid_loss, row.valid_accuracy);
            }
        }
        self.events.emit(&TrainerEvent::Evaluation(EvaluationReport {
            step,
            valid_loss: measured.loss,
            valid_mean_token_accuracy: measured.accuracy,
            // JSON has no infinity.
            perplexity: measured.loss.exp().min(f64::MAX),
            last,
        }))
    }

    /// A checkpoint is due after so many steps or seconds, when asked for, and at the end of an epoch where no number of steps is
    /// set, as OpenAI's service does.
    fn checkpoint_due(&self, since_last: Duration) -> bool {
        let wanted = self.control.take_checkpoint();
        let (step, plan) = (self.state.step, &self.plan.checkpoint);
        if step == 0 || self.saved_step == Some(step) {
            return false;
        }
        // The end of a stage has a checkpoint of its own, once it is measured.
        if matches!(self.mode, Mode::Staged(_)) && self.is_done() {
            return false;
        }
        let by_step = match plan.every_steps {
            Some(every) => step.is_multiple_of(u64::from(every)),
            None => self.stage_step().is_multiple_of(self.sampler.steps_per_epoch()),
        };
        let by_time = plan
            .every_seconds
            .is_some_and(|every| since_last >= Duration::from_secs(u64::from(every)));
        wanted || by_step || by_time
    }

    /// Writes a checkpoint of this step unless there is one.
    pub(crate) fn checkpoint(&mut self) -> Result<()> {
        if self.saved_step == Some(self.state.step) {
            return Ok(());
        }
        self.write_checkpoint(None)
    }

    /// Writes a checkpoint of this step, in place of one that there is. That of the end of a stage is never removed.
    pub(crate) fn write_checkpoint(&mut self, stage: Option<&str>) -> Result<()> {
        self.events.working(Stage::Saving)?;
        let staged = self.staged_files(stage.is_some())?;
        let (directory, manifest_sha256) = checkpoint::write(
            &self.checkpoints,
            &self.state,
            &self.optimizer,
            &self.adapter,
            staged.as_ref(),
        )?;
        self.saved_step = Some(self.state.step);
        let kept = self.state.continual.as_ref().map(|stream| stream.ends()).unwrap_or_default();
        let keep = self.plan.checkpoint.keep;
        checkpoint::keep_newest(&self.checkpoints, keep, self.state.step, &kept)?;
        let row = self.state.history.last();
        let name = directory.file_name().map(PathBuf::from).unwrap_or_default();
        self.events.emit(&TrainerEvent::Checkpoint(CheckpointWritten {
            step: self.state.step,
            directory: PathBuf::from("checkpoints").join(name),
            manifest_sha256,
            stage: stage.map(ToString::to_string),
            train_loss: row.and_then(|row| row.train_loss),
            train_mean_token_accuracy: row.and_then(|row| row.train_accuracy),
            valid_loss: self.state.last_evaluation.map(|measured| measured.loss),
            valid_mean_token_accuracy: self.state.last_evaluation.map(|measured| measured.accuracy),
        }))
    }
}

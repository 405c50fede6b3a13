//! Continual learning: one adapter through a stream of stages, and what is done against forgetting.
//!
//! `stream` goes through the stages around the loop of any run: it sets up a stage, lets the session train, measures every stage, asks the
//! gate, and writes a checkpoint that is kept. What is done against forgetting is a list of [`Strategy`]s, one file each, with hooks that
//! the step and the stream call. Parameters and gradients are one flat fp32 buffer each, so most strategies are a few operations on
//! whole buffers.
//!
//! Moments of the optimizer and the schedule begin anew with every stage; steps are counted through all of them. Everything that a resume
//! needs stands in [`StreamState`] and in the tensors that strategies give.

pub mod a_gem;
pub mod adapter;
pub mod artifacts;
pub mod columns;
pub mod course;
pub mod derpp;
pub mod earlier;
pub mod ema;
pub mod end;
pub mod ewc;
pub mod guided;
pub mod lwf;
pub mod matrices;
pub mod merge;
pub mod o_lora;
pub mod rehearsal;
pub mod replay;
pub mod staged;
pub mod start;
pub mod state;
pub mod step;
pub mod stream;

use std::fmt::Debug;
use std::rc::Rc;

use serde_json::Value;
use tch::Tensor;
use trainyard_continual::ContinualError;
use trainyard_openapi::error::ErrorCode;
use trainyard_plan::Plan;

pub use adapter::Adapter;
pub use staged::Staged;
pub use state::StreamState;

use crate::arch::{CausalLm, ModelBatch, StepOptions};
use crate::continual::rehearsal::Rehearsal;
use crate::data::Dataset;
use crate::data::encode::Example;
use crate::error::{Result, TrainerError};
use crate::objective::cross_entropy::LossSums;
use crate::peft::lora::LoraSettings;
use crate::run::events::Events;
use crate::train::control::Control;
use crate::weights::WeightSource;

/// The stage at hand.
#[derive(Debug, Clone)]
pub struct StageAt {
    /// Its place in the stream, from 0, the stages of earlier jobs included.
    pub number: u32,
    /// Its place as the plan gives the stages, from 0.
    pub given: usize,
    /// Its training rows.
    pub training: Rc<Dataset>,
}

/// What strategies work with.
#[derive(Clone, Copy)]
pub struct Tools<'a> {
    /// The model with the adapter that is in training.
    pub model: &'a CausalLm,
    /// That adapter's settings.
    pub settings: &'a LoraSettings,
    /// What to do.
    pub plan: &'a Plan,
    /// The token for padding.
    pub pad: u32,
    /// Rows through the model at once.
    pub micro_batch_size: usize,
    /// Steps of the run that are done.
    pub step: u64,
    /// Steps of the stage that are done.
    pub stage_step: u64,
    /// The stage.
    pub stage: &'a StageAt,
    /// Wishes from outside.
    pub control: &'a Control,
    /// Where events go.
    pub events: &'a Events,
}

impl Tools<'_> {
    /// The flat parameters.
    pub fn values(&self) -> Tensor {
        self.model.parameters().values.shallow_clone()
    }

    /// The flat gradient.
    pub fn gradient(&self) -> Tensor {
        self.model.parameters().gradients.shallow_clone()
    }
}

/// Something that is done against forgetting. Hooks come in the order in which they stand here; those that a strategy does not need do
/// nothing. A step may be computed more than once, after memory ran out or a stop: up to `after_update` the same calls give the same.
pub trait Strategy: Debug {
    /// The run goes on from the adapter in training, the result of `stages` stages of earlier jobs, and not from a state of this strategy.
    ///
    /// # Errors
    /// As libtorch reports; so does everything here.
    fn adopt(&mut self, _tools: &Tools<'_>, _stages: u32) -> Result<()> {
        Ok(())
    }

    /// The state that was loaded is that of an earlier job, whose result this run goes on from.
    fn begin_another_job(&mut self) {}

    /// The stage begins. Gives the adapter that it trains, where that is not the one before.
    fn before_stage(&mut self, _tools: &Tools<'_>) -> Result<Option<Adapter>> {
        Ok(None)
    }

    /// A step begins, with room for `replayed` rows of earlier stages in its batch.
    fn before_step(&mut self, _tools: &Tools<'_>, _replayed: usize) -> Result<()> {
        Ok(())
    }

    /// Rows of earlier stages that are in the batch.
    fn replayed(&self) -> Vec<&Example> {
        Vec::new()
    }

    /// Adds the gradient of `scale * loss_sum` of a micro-batch with a loss of its own; none leaves that to the usual one.
    fn on_loss(
        &self,
        _tools: &Tools<'_>,
        _batch: &ModelBatch,
        _options: &StepOptions,
        _scale: f64,
    ) -> Result<Option<LossSums>> {
        Ok(None)
    }

    /// The batch's gradient is there: adds to it or turns it.
    fn before_update(&mut self, _tools: &Tools<'_>) -> Result<()> {
        Ok(())
    }

    /// The parameters were updated.
    fn after_update(&mut self, _tools: &Tools<'_>) -> Result<()> {
        Ok(())
    }

    /// The stage is over and kept; false where the work was cut short.
    fn after_stage(&mut self, _tools: &Tools<'_>) -> Result<bool> {
        Ok(true)
    }

    /// The adapter in force, where it is not the one in training. `trained`: what the stage has trained is to count although
    /// [`Strategy::after_stage`] has not been called.
    fn in_force(&self, _tools: &Tools<'_>, _trained: bool) -> Result<Option<Adapter>> {
        Ok(None)
    }

    /// The examples that it remembers, if it does.
    fn rehearsal(&mut self) -> Option<&mut Rehearsal> {
        None
    }

    /// The share of a batch that it replays, once it remembers anything.
    fn share(&self) -> Option<f64> {
        None
    }

    /// Everything that a resume needs but tensors.
    fn state(&self) -> Result<Value> {
        Ok(Value::Null)
    }

    /// The tensors that a resume needs. They are not changed in place later.
    fn tensors(&self) -> Result<Vec<(String, Tensor)>> {
        Ok(Vec::new())
    }

    /// Goes on from what [`Strategy::state`] and [`Strategy::tensors`] gave.
    fn load(&mut self, _state: &Value, _tensors: &dyn WeightSource) -> Result<()> {
        Ok(())
    }
}

/// A refusal of what the request asks for, or of a stored value.
pub(crate) fn refused(error: ContinualError) -> TrainerError {
    match error {
        ContinualError::Corrupt { .. } => TrainerError::Checkpoint(error.to_string()),
        _ => TrainerError::request(
            ErrorCode::InvalidValue,
            Some("trainyard.continual".to_string()),
            format!("trainyard.continual: {error}"),
        ),
    }
}

/// A stored value that cannot be read, or one that cannot be written.
pub(crate) fn json(error: serde_json::Error) -> TrainerError {
    TrainerError::Checkpoint(format!("the state of a strategy: {error}"))
}

/// The tensor `name`, on the device of `like`.
pub(crate) fn stored(source: &dyn WeightSource, name: &str, like: tch::Device) -> Result<Tensor> {
    let tensor = source.tensor(name)?.ok_or_else(|| {
        TrainerError::Checkpoint(format!("the state of a strategy has no tensor '{name}'"))
    })?;
    Ok(tensor.f_to_device(like)?)
}

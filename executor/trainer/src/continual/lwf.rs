//! Learning without forgetting (Li and Hoiem, 2016): the adapter before the stage is the teacher. It stands on the same base, so it is a
//! second flat buffer that takes the parameters' place for a forward pass.

use serde_json::{Value, json};
use tch::Tensor;
use trainyard_openapi::extension::Lwf as Settings;

use crate::arch::{CausalLm, ModelBatch, StepOptions};
use crate::continual::guided::{Guide, Scales, guided_cross_entropy};
use crate::continual::{Adapter, Strategy, Tools, stored};
use crate::error::Result;
use crate::nn::compute::copied;
use crate::objective::cross_entropy::LossSums;
use crate::weights::WeightSource;

/// The teacher and how much it weighs.
#[derive(Debug)]
pub struct Lwf {
    settings: Settings,
    /// None before anything was learned.
    teacher: Option<Tensor>,
}

impl Lwf {
    /// Without a teacher: the first stage of a stream has none.
    pub fn new(settings: &Settings) -> Self {
        Self { settings: settings.clone(), teacher: None }
    }
}

/// Hidden states (n, d) of `batch` with `values` for the adapter's parameters, which are as before afterwards.
///
/// # Errors
/// As libtorch reports.
pub fn hidden_of(model: &CausalLm, values: &Tensor, batch: &ModelBatch) -> Result<Tensor> {
    let _no_grad = tch::no_grad_guard();
    let mut own = model.parameters().values.shallow_clone();
    let kept = copied(&own)?;
    own.f_copy_(values)?;
    let hidden = model.hidden(batch);
    own.f_copy_(&kept)?;
    hidden
}

impl Strategy for Lwf {
    fn before_stage(&mut self, tools: &Tools<'_>) -> Result<Option<Adapter>> {
        self.teacher = match tools.stage.number {
            0 => None,
            _ => Some(copied(&tools.values())?),
        };
        Ok(None)
    }

    fn on_loss(
        &self,
        tools: &Tools<'_>,
        batch: &ModelBatch,
        options: &StepOptions,
        scale: f64,
    ) -> Result<Option<LossSums>> {
        let Some(teacher) = &self.teacher else { return Ok(None) };
        let hidden_nd = hidden_of(tools.model, teacher, batch)?;
        let guide =
            Guide::Teacher { hidden_nd: &hidden_nd, temperature: self.settings.temperature };
        let scales = Scales { cross_entropy: scale, guide: scale * self.settings.alpha };
        let sums = tools.model.accumulate_with(batch, options, &mut |at| {
            let (sums, guided) = guided_cross_entropy(at, &batch.targets, &guide, scales)?;
            Ok((sums, guided.map(|(_, gradient)| gradient)))
        })?;
        Ok(Some(sums))
    }

    fn state(&self) -> Result<Value> {
        Ok(json!({ "teacher": self.teacher.is_some() }))
    }

    fn tensors(&self) -> Result<Vec<(String, Tensor)>> {
        let teacher = self.teacher.iter();
        Ok(teacher.map(|teacher| ("teacher".to_string(), teacher.shallow_clone())).collect())
    }

    fn load(&mut self, state: &Value, tensors: &dyn WeightSource) -> Result<()> {
        self.teacher = match state["teacher"] == true {
            true => Some(stored(tensors, "teacher", crate::device::choose())?),
            false => None,
        };
        Ok(())
    }
}

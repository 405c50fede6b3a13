//! A-GEM (Chaudhry et al., 2019): a gradient that would raise the loss on remembered examples loses that part of it:
//! `g - (g . g_ref / g_ref . g_ref) g_ref` where `g . g_ref < 0`.

use serde_json::Value;
use tch::{Kind, Tensor};
use trainyard_openapi::extension::AGem as Settings;

use crate::arch::StepOptions;
use crate::continual::rehearsal::Rehearsal;
use crate::continual::{Strategy, Tools};
use crate::data::Batch;
use crate::data::encode::Example;
use crate::error::Result;
use crate::nn::compute::copied;
use crate::run::tensors::to_device;
use crate::weights::WeightSource;

/// Turns `gradient` in place where it points against `reference`; whether it did.
///
/// # Errors
/// As libtorch reports.
pub fn project(gradient: &mut Tensor, reference: &Tensor) -> Result<bool> {
    let dot = |a: &Tensor, b: &Tensor| -> Result<f64> {
        Ok(a.f_mul(b)?.f_sum(Kind::Double)?.f_double_value(&[])?)
    };
    let (along, own) = (dot(gradient, reference)?, dot(reference, reference)?);
    if along >= 0.0 || own == 0.0 {
        return Ok(false);
    }
    let _ = gradient.f_sub_(&reference.f_mul_scalar(along / own)?)?;
    Ok(true)
}

/// Adds the gradient of the mean loss on `examples`, in micro-batches of `tools`.
fn add_mean_gradient(tools: &Tools<'_>, examples: &[&Example]) -> Result<()> {
    let mut rows: Vec<Vec<&Example>> = examples.iter().map(|example| vec![*example]).collect();
    rows.sort_by_key(|row| row[0].ids.len());
    let targets: usize = examples.iter().map(|example| example.targets()).sum();
    let options = StepOptions {
        gradient_checkpointing: tools.plan.batching.gradient_checkpointing,
        ..StepOptions::default()
    };
    for rows in rows.chunks(tools.micro_batch_size) {
        let batch = to_device(&Batch::new(rows, tools.pad, false), tools.model.device())?;
        tools.model.accumulate_gradients(&batch, 1.0 / targets.max(1) as f64, &options)?;
    }
    Ok(())
}

/// A-GEM with its memory.
#[derive(Debug)]
pub struct AGem {
    batch_size: Option<u32>,
    rehearsal: Rehearsal,
}

impl AGem {
    /// A-GEM that remembers nothing yet.
    ///
    /// # Errors
    /// A capacity outside its limits.
    pub fn new(settings: &Settings, seed: u64) -> Result<Self> {
        let rehearsal = Rehearsal::new(settings.policy, settings.capacity, seed)?;
        Ok(Self { batch_size: settings.batch_size, rehearsal })
    }
}

impl Strategy for AGem {
    fn before_step(&mut self, tools: &Tools<'_>, _: usize) -> Result<()> {
        let count = self.batch_size.unwrap_or(tools.plan.batch_size);
        self.rehearsal.draw(tools.step, count as usize)
    }

    fn before_update(&mut self, tools: &Tools<'_>) -> Result<()> {
        let examples = self.rehearsal.rows();
        if examples.is_empty() {
            return Ok(());
        }
        let _no_grad = tch::no_grad_guard();
        let mut all = tools.gradient();
        let mut gradient = copied(&all)?;
        let _ = all.f_zero_()?;
        add_mean_gradient(tools, &examples)?;
        project(&mut gradient, &all)?;
        all.f_copy_(&gradient)?;
        Ok(())
    }

    fn after_stage(&mut self, tools: &Tools<'_>) -> Result<bool> {
        self.rehearsal.take_up(tools.stage)?;
        Ok(true)
    }

    fn rehearsal(&mut self) -> Option<&mut Rehearsal> {
        Some(&mut self.rehearsal)
    }

    fn state(&self) -> Result<Value> {
        self.rehearsal.state()
    }

    fn load(&mut self, state: &Value, _: &dyn WeightSource) -> Result<()> {
        self.rehearsal.load(state)
    }
}

//! A moving average of the parameters, begun at those after the first step. It is what is measured and handed back; training goes on from
//! the parameters themselves.

use serde_json::{Value, json};
use tch::Tensor;
use trainyard_continual::merge::Ema as Average;
use trainyard_openapi::extension::Ema as Settings;

use crate::continual::{Adapter, Strategy, Tools, refused, stored};
use crate::error::Result;
use crate::nn::compute::copied;
use crate::weights::WeightSource;

/// The average.
#[derive(Debug)]
pub struct Ema {
    average: Average,
    mean: Option<Tensor>,
}

impl Ema {
    /// The average of nothing yet.
    ///
    /// # Errors
    /// A decay outside its limits.
    pub fn new(settings: &Settings) -> Result<Self> {
        Ok(Self { average: Average::new(settings.decay).map_err(refused)?, mean: None })
    }

    /// The average with `values` taken in.
    ///
    /// # Errors
    /// As libtorch reports.
    pub fn take(&mut self, values: &Tensor) -> Result<()> {
        let _no_grad = tch::no_grad_guard();
        let (kept, added) = self.average.step();
        self.mean = Some(match &self.mean {
            Some(mean) => mean.f_mul_scalar(kept)?.f_add_(&values.f_mul_scalar(added)?)?,
            None => copied(values)?,
        });
        Ok(())
    }

    /// The average so far.
    pub fn mean(&self) -> Option<&Tensor> {
        self.mean.as_ref()
    }
}

impl Strategy for Ema {
    fn after_update(&mut self, tools: &Tools<'_>) -> Result<()> {
        self.take(&tools.values())
    }

    fn in_force(&self, tools: &Tools<'_>, _: bool) -> Result<Option<Adapter>> {
        let adapter = |mean: &Tensor| Adapter {
            settings: tools.settings.clone(),
            values: mean.shallow_clone(),
        };
        Ok(self.mean.as_ref().map(adapter))
    }

    fn state(&self) -> Result<Value> {
        Ok(json!({ "begun": self.mean.is_some() }))
    }

    fn tensors(&self) -> Result<Vec<(String, Tensor)>> {
        let mean = self.mean.iter();
        Ok(mean.map(|mean| ("mean".to_string(), mean.shallow_clone())).collect())
    }

    fn load(&mut self, state: &Value, tensors: &dyn WeightSource) -> Result<()> {
        self.mean = match state["begun"] == true {
            true => Some(stored(tensors, "mean", crate::device::choose())?),
            false => None,
        };
        Ok(())
    }
}

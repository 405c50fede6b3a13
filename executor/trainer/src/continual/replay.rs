//! Replay: a share of every batch are examples of earlier stages.

use serde_json::Value;
use trainyard_openapi::extension::Replay as Settings;

use crate::continual::rehearsal::Rehearsal;
use crate::continual::{Strategy, Tools};
use crate::data::encode::Example;
use crate::error::Result;
use crate::weights::WeightSource;

/// Replay with its memory.
#[derive(Debug)]
pub struct Replay {
    ratio: f64,
    rehearsal: Rehearsal,
}

impl Replay {
    /// Replay that remembers nothing yet.
    ///
    /// # Errors
    /// A capacity outside its limits.
    pub fn new(settings: &Settings, seed: u64) -> Result<Self> {
        let rehearsal = Rehearsal::new(settings.policy, settings.capacity, seed)?;
        Ok(Self { ratio: settings.ratio, rehearsal })
    }
}

impl Strategy for Replay {
    fn before_step(&mut self, tools: &Tools<'_>, replayed: usize) -> Result<()> {
        self.rehearsal.draw(tools.step, replayed)
    }

    fn replayed(&self) -> Vec<&Example> {
        self.rehearsal.rows()
    }

    fn after_stage(&mut self, tools: &Tools<'_>) -> Result<bool> {
        self.rehearsal.take_up(tools.stage)?;
        Ok(true)
    }

    fn rehearsal(&mut self) -> Option<&mut Rehearsal> {
        Some(&mut self.rehearsal)
    }

    fn share(&self) -> Option<f64> {
        Some(self.ratio).filter(|_| !self.rehearsal.is_empty())
    }

    fn state(&self) -> Result<Value> {
        self.rehearsal.state()
    }

    fn load(&mut self, state: &Value, _: &dyn WeightSource) -> Result<()> {
        self.rehearsal.load(state)
    }
}

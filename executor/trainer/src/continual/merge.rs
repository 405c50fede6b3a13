//! Merging: every stage trains a fresh adapter of its own, and the result is their weighted sum, exactly, as one adapter whose rank is the
//! sum of theirs.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use tch::Tensor;
use trainyard_continual::merge::{Concatenation, Part};
use trainyard_openapi::extension::Merge as Settings;
use trainyard_openapi::limits::RANK_MAX;

use crate::continual::adapter::{Shape, fresh, laid_out, lay, layout};
use crate::continual::{Adapter, Strategy, Tools, json, refused, stored};
use crate::error::Result;
use crate::nn::compute::copied;
use crate::peft::AdapterSettings;
use crate::rng::Rng;
use crate::run::INIT_STREAM;
use crate::weights::WeightSource;

/// The adapters of the stages that are over.
#[derive(Debug)]
pub struct Merge {
    weights: Option<Vec<f64>>,
    parts: Vec<(Of, Tensor)>,
}

/// What an adapter is of.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Of {
    shape: Shape,
    /// The stage of this job, by its place in the plan; none of an earlier job's.
    given: Option<usize>,
    /// How many stages it is the result of.
    stages: u32,
}

impl Merge {
    /// A sum of nothing yet.
    pub fn new(settings: &Settings) -> Self {
        Self { weights: settings.weights.clone(), parts: Vec::new() }
    }

    /// Each adapter's weight: as the plan says, and 1 for what earlier jobs gave; or else each stage the same, 1 in all.
    fn weights(&self, parts: &[&Of]) -> Vec<f64> {
        let all: u32 = parts.iter().map(|of| of.stages).sum();
        let weight = |of: &&Of| match (&self.weights, of.given) {
            (Some(weights), Some(given)) => weights.get(given).copied().unwrap_or(0.0),
            (Some(_), None) => 1.0,
            (None, _) => f64::from(of.stages) / f64::from(all.max(1)),
        };
        parts.iter().map(weight).collect()
    }
}

impl Strategy for Merge {
    fn adopt(&mut self, tools: &Tools<'_>, stages: u32) -> Result<()> {
        let of = Of { shape: Shape::of(tools.settings), given: None, stages };
        self.parts = vec![(of, copied(&tools.values())?)];
        Ok(())
    }

    fn before_stage(&mut self, tools: &Tools<'_>) -> Result<Option<Adapter>> {
        let settings = AdapterSettings::of(&tools.plan.adapter).lora()?.clone();
        let mut rng = Rng::new(tools.plan.seed, INIT_STREAM).fork(u64::from(tools.stage.number));
        let values = fresh(tools.model.parameters(), settings.rank, &mut rng)?.values;
        Ok(Some(Adapter { settings, values }))
    }

    fn after_stage(&mut self, tools: &Tools<'_>) -> Result<bool> {
        let (shape, given) = (Shape::of(tools.settings), Some(tools.stage.given));
        self.parts.push((Of { shape, given, stages: 1 }, copied(&tools.values())?));
        Ok(true)
    }

    fn in_force(&self, tools: &Tools<'_>, trained: bool) -> Result<Option<Adapter>> {
        let own =
            Of { shape: Shape::of(tools.settings), given: Some(tools.stage.given), stages: 1 };
        let values = tools.values();
        let mut all: Vec<(&Of, &Tensor)> =
            self.parts.iter().map(|(of, values)| (of, values)).collect();
        if trained {
            all.push((&own, &values));
        }
        if all.is_empty() {
            return Ok(None);
        }
        let weights = self.weights(&all.iter().map(|(of, _)| *of).collect::<Vec<_>>());
        let parts: Vec<Part> = all
            .iter()
            .zip(weights)
            .map(|((of, _), weight)| {
                let scale = of.shape.put_on(tools.settings).scale();
                Part { rank: of.shape.rank as u32, scale, weight }
            })
            .collect();
        let plan = Concatenation::plan(&parts, RANK_MAX).map_err(refused)?;
        let parameters = tools.model.parameters();
        let rank = i64::from(plan.rank());
        let whole = layout(parameters, rank)?;
        for ((of, values), placed) in all.iter().zip(plan.parts()) {
            let part = laid_out(parameters, of.shape.rank, values)?;
            lay(&whole, &part, i64::from(placed.offset), placed.factor)?;
        }
        let shape = Shape { rank, alpha: rank as f64, rslora: false };
        Ok(Some(Adapter { settings: shape.put_on(tools.settings), values: whole.values }))
    }

    fn state(&self) -> Result<Value> {
        let all: Vec<&Of> = self.parts.iter().map(|(of, _)| of).collect();
        serde_json::to_value(all).map_err(json)
    }

    fn tensors(&self) -> Result<Vec<(String, Tensor)>> {
        let parts = self.parts.iter().enumerate();
        Ok(parts
            .map(|(number, (_, values))| (format!("part.{number}"), values.shallow_clone()))
            .collect())
    }

    fn load(&mut self, state: &Value, tensors: &dyn WeightSource) -> Result<()> {
        let all: Vec<Of> = serde_json::from_value(state.clone()).map_err(json)?;
        let device = crate::device::choose();
        let part = |(number, of)| Ok((of, stored(tensors, &format!("part.{number}"), device)?));
        self.parts = all.into_iter().enumerate().map(part).collect::<Result<_>>()?;
        Ok(())
    }

    fn begin_another_job(&mut self) {
        for (of, _) in &mut self.parts {
            of.given = None;
        }
    }
}

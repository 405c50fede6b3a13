//! DER++ (Buzzega et al., 2020): remembered examples have a loss of their own in every step, `alpha` times the squared distance to the
//! logits that the model gave at the end of their stage, and `beta` times their cross entropy. Of a token's logits the highest k are kept.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use tch::{Kind, Tensor};
use trainyard_continual::memory::{Example as Place, Mixture};
use trainyard_openapi::extension::Derpp as Settings;
use trainyard_plan::trainer::Stage;

use crate::arch::StepOptions;
use crate::continual::guided::{Guide, Scales, guided_cross_entropy, top_logits};
use crate::continual::rehearsal::Rehearsal;
use crate::continual::{Strategy, Tools, json as unreadable, refused, stored};
use crate::data::Batch;
use crate::data::encode::Example;
use crate::error::{Result, TrainerError};
use crate::run::tensors::to_device;
use crate::weights::WeightSource;

/// The logits of a line's target tokens: which, and what they were.
#[derive(Debug)]
struct Kept {
    ids_mk: Tensor,
    logits_mk: Tensor,
}

/// DER++ with its memory.
#[derive(Debug)]
pub struct Derpp {
    settings: Settings,
    mixture: Mixture,
    rehearsal: Rehearsal,
    kept: BTreeMap<Place, Kept>,
}

/// An example with its kept logits.
struct Remembered<'a> {
    example: &'a Example,
    ids_mk: Tensor,
    logits_mk: Tensor,
}

impl Derpp {
    /// DER++ that remembers nothing yet.
    ///
    /// # Errors
    /// A capacity or ratio outside its limits.
    pub fn new(settings: &Settings, seed: u64) -> Result<Self> {
        Ok(Self {
            settings: settings.clone(),
            mixture: Mixture::new(settings.ratio).map_err(refused)?,
            rehearsal: Rehearsal::new(settings.policy, settings.capacity, seed)?,
            kept: BTreeMap::new(),
        })
    }

    /// The drawn examples with their logits, short ones first.
    fn remembered(&self) -> Result<Vec<Remembered<'_>>> {
        let mut all = Vec::new();
        for place in self.rehearsal.drawn() {
            let kept = self.kept.get(place).ok_or_else(|| {
                TrainerError::Checkpoint("no logits are kept of a remembered example".into())
            })?;
            let mut start = 0;
            // A line that was split is several examples.
            for example in self.rehearsal.examples(place) {
                let targets = example.targets() as i64;
                all.push(Remembered {
                    example,
                    ids_mk: kept.ids_mk.f_narrow(0, start, targets)?,
                    logits_mk: kept.logits_mk.f_narrow(0, start, targets)?,
                });
                start += targets;
            }
        }
        all.sort_by_key(|remembered| remembered.example.ids.len());
        Ok(all)
    }

    /// Keeps the logits of what is remembered of the stage.
    fn keep_logits(&mut self, tools: &Tools<'_>) -> Result<bool> {
        let places: Vec<Place> = self.rehearsal.places().copied().collect();
        self.kept.retain(|place, _| places.contains(place));
        for place in places.iter().filter(|place| place.stage == tools.stage.number) {
            let lines: Vec<Vec<&Example>> =
                self.rehearsal.examples(place).iter().map(|example| vec![example]).collect();
            let batch = to_device(&Batch::new(&lines, tools.pad, false), tools.model.device())?;
            let hidden_nd = tools.model.hidden(&batch)?;
            let at = tools.model.at_head(&hidden_nd);
            let (ids_mk, logits_mk) =
                top_logits(&at, &batch.targets, i64::from(self.settings.top_k))?;
            self.kept.insert(*place, Kept { ids_mk, logits_mk });
            tools.events.working(Stage::Evaluating)?;
            if tools.control.is_interrupted() {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

impl Strategy for Derpp {
    fn before_step(&mut self, tools: &Tools<'_>, _: usize) -> Result<()> {
        let batch = u64::from(tools.plan.batch_size);
        let (from, to) = (tools.stage_step * batch, (tools.stage_step + 1) * batch);
        let count = self.mixture.of_first(to) - self.mixture.of_first(from);
        self.rehearsal.draw(tools.step, count as usize)
    }

    fn before_update(&mut self, tools: &Tools<'_>) -> Result<()> {
        let all = self.remembered()?;
        let targets: usize = all.iter().map(|remembered| remembered.example.targets()).sum();
        let scales = Scales {
            cross_entropy: self.settings.beta / targets.max(1) as f64,
            guide: self.settings.alpha / targets.max(1) as f64,
        };
        let options = StepOptions {
            gradient_checkpointing: tools.plan.batching.gradient_checkpointing,
            ..StepOptions::default()
        };
        for rows in all.chunks(tools.micro_batch_size) {
            let lines: Vec<Vec<&Example>> = rows.iter().map(|row| vec![row.example]).collect();
            let batch = to_device(&Batch::new(&lines, tools.pad, false), tools.model.device())?;
            let ids: Vec<&Tensor> = rows.iter().map(|row| &row.ids_mk).collect();
            let logits: Vec<&Tensor> = rows.iter().map(|row| &row.logits_mk).collect();
            let (ids_mk, logits_mk) = (Tensor::f_cat(&ids, 0)?, Tensor::f_cat(&logits, 0)?);
            let guide = Guide::Kept { ids_mk: &ids_mk, logits_mk: &logits_mk };
            tools.model.accumulate_with(&batch, &options, &mut |at| {
                let (sums, guided) = guided_cross_entropy(at, &batch.targets, &guide, scales)?;
                Ok((sums, guided.map(|(_, gradient)| gradient)))
            })?;
        }
        Ok(())
    }

    fn after_stage(&mut self, tools: &Tools<'_>) -> Result<bool> {
        self.rehearsal.take_up(tools.stage)?;
        self.keep_logits(tools)
    }

    fn rehearsal(&mut self) -> Option<&mut Rehearsal> {
        Some(&mut self.rehearsal)
    }

    fn state(&self) -> Result<Value> {
        let remembered: Vec<Place> = self.rehearsal.places().copied().collect();
        let kept: Vec<(&Place, i64)> = self
            .kept
            .iter()
            .filter(|(place, _)| remembered.contains(place))
            .map(|(place, kept)| (place, kept.ids_mk.size()[0]))
            .collect();
        Ok(json!({ "rehearsal": self.rehearsal.state()?, "kept": kept }))
    }

    fn tensors(&self) -> Result<Vec<(String, Tensor)>> {
        let remembered: Vec<Place> = self.rehearsal.places().copied().collect();
        let kept: Vec<&Kept> = self
            .kept
            .iter()
            .filter(|(place, _)| remembered.contains(place))
            .map(|(_, kept)| kept)
            .collect();
        if kept.is_empty() {
            return Ok(Vec::new());
        }
        let ids: Vec<&Tensor> = kept.iter().map(|kept| &kept.ids_mk).collect();
        let logits: Vec<&Tensor> = kept.iter().map(|kept| &kept.logits_mk).collect();
        Ok(vec![
            ("ids".to_string(), Tensor::f_cat(&ids, 0)?.f_to_kind(Kind::Int)?),
            ("logits".to_string(), Tensor::f_cat(&logits, 0)?),
        ])
    }

    fn load(&mut self, state: &Value, tensors: &dyn WeightSource) -> Result<()> {
        self.rehearsal.load(&state["rehearsal"])?;
        let counts: Vec<(Place, i64)> =
            serde_json::from_value(state["kept"].clone()).map_err(unreadable)?;
        self.kept.clear();
        if counts.is_empty() {
            return Ok(());
        }
        let device = crate::device::choose();
        let ids = stored(tensors, "ids", device)?.f_to_kind(Kind::Int64)?;
        let logits = stored(tensors, "logits", device)?;
        let mut start = 0;
        for (place, count) in counts {
            let kept = Kept {
                ids_mk: ids.f_narrow(0, start, count)?,
                logits_mk: logits.f_narrow(0, start, count)?,
            };
            self.kept.insert(place, kept);
            start += count;
        }
        Ok(())
    }
}

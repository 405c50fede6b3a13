//! Elastic weight consolidation: `lambda / 2 sum over stages, parameters of F (theta - theta*)^2`.
//!
//! F is the mean over examples of the squared gradient of the example's log-likelihood, the sum over its target tokens: the diagonal of the
//! empirical Fisher information, by an exact gradient for each example and not by a batch's. `online` keeps one F, `decay` times what it was
//! plus that of the new stage, and the newest theta* (Schwarz et al., 2018).

use serde_json::{Value, json};
use tch::{Kind, Tensor};
use trainyard_continual::random::SplitMix64;
use trainyard_openapi::extension::Ewc as Settings;
use trainyard_plan::trainer::Stage;

use crate::arch::{CausalLm, StepOptions};
use crate::continual::{Strategy, Tools, json as unreadable, stored};
use crate::data::Batch;
use crate::data::encode::Example;
use crate::error::Result;
use crate::nn::compute::copied;
use crate::privacy::ghost::Written;
use crate::privacy::gradients::UnitGradients;
use crate::run::tensors::to_device;
use crate::weights::WeightSource;

/// Where parameters are held, and how strongly each.
#[derive(Debug)]
pub struct Anchor {
    /// F.
    pub fisher: Tensor,
    /// theta*.
    pub center: Tensor,
}

impl Anchor {
    /// `lambda / 2 sum F (theta - theta*)^2`.
    ///
    /// # Errors
    /// As libtorch reports.
    pub fn penalty(&self, values: &Tensor, lambda: f64) -> Result<f64> {
        let squares = values.f_sub(&self.center)?.f_square()?;
        let sum = squares.f_mul(&self.fisher)?.f_sum(tch::Kind::Double)?;
        Ok(lambda / 2.0 * sum.f_double_value(&[])?)
    }

    /// Adds the gradient of the same: `lambda F (theta - theta*)`.
    ///
    /// # Errors
    /// As libtorch reports.
    pub fn add_gradient(&self, gradient: &mut Tensor, values: &Tensor, lambda: f64) -> Result<()> {
        let pull = values.f_sub(&self.center)?;
        let _ = gradient.f_add_(&{ pull }.f_mul_(&self.fisher)?.f_mul_scalar_(lambda)?)?;
        Ok(())
    }
}

/// The mean over `examples` of the squared gradient of each one's log-likelihood, `rows` of them side by side. Calls `progress` after each
/// such group; none where it says that the work is to be left.
///
/// # Errors
/// As libtorch reports, and what `progress` does.
pub fn fisher(
    model: &CausalLm,
    examples: &[&Example],
    rows: usize,
    pad: u32,
    gradient_checkpointing: bool,
    mut progress: impl FnMut() -> Result<bool>,
) -> Result<Option<Tensor>> {
    let parameters = model.parameters();
    let mut sum = parameters.values.f_zeros_like()?;
    let mut room = UnitGradients::new(
        rows.min(examples.len()) as i64,
        parameters.blocks(),
        (Kind::Float, model.device()),
    )?;
    let mut sorted = examples.to_vec();
    sorted.sort_by_key(|example| example.ids.len());
    for group in sorted.chunks(rows.max(1)) {
        let units = group.len() as i64;
        room.clear(units, Written::Always);
        let lines: Vec<Vec<&Example>> = group.iter().map(|example| vec![*example]).collect();
        let batch = to_device(&Batch::new(&lines, pad, false), model.device())?;
        let of_rows = (room.rows((0..units).collect())?, vec![1.0; group.len()]);
        let options = StepOptions { gradient_checkpointing, dropout: None, units: Some(of_rows) };
        model.accumulate_gradients(&batch, 1.0, &options)?;
        room.add_squares_to(&mut sum, units)?;
        if !progress()? {
            return Ok(None);
        }
    }
    Ok(Some(sum.f_div_scalar_(examples.len().max(1) as f64)?))
}

/// EWC with what it holds.
#[derive(Debug)]
pub struct Ewc {
    settings: Settings,
    anchors: Vec<Anchor>,
}

impl Ewc {
    /// EWC that holds nothing yet.
    pub fn new(settings: &Settings) -> Self {
        Self { settings: settings.clone(), anchors: Vec::new() }
    }
}

impl Strategy for Ewc {
    fn before_update(&mut self, tools: &Tools<'_>) -> Result<()> {
        let (mut gradient, values) = (tools.gradient(), tools.values());
        for anchor in &self.anchors {
            anchor.add_gradient(&mut gradient, &values, self.settings.lambda)?;
        }
        Ok(())
    }

    fn after_stage(&mut self, tools: &Tools<'_>) -> Result<bool> {
        let training = &tools.stage.training;
        let all: Vec<&Example> =
            (0..training.lines()).flat_map(|line| training.line(line)).collect();
        let wanted = self.settings.samples.map_or(all.len(), |samples| samples as usize);
        let seed = tools.plan.seed.wrapping_add(u64::from(tools.stage.number));
        let chosen = SplitMix64::new(seed).subset(all.len() as u64, wanted as u64);
        let examples: Vec<&Example> = chosen.iter().map(|&place| all[place as usize]).collect();
        let progress = || {
            tools.events.working(Stage::Evaluating)?;
            Ok(!tools.control.is_interrupted())
        };
        let found = fisher(
            tools.model,
            &examples,
            tools.micro_batch_size,
            tools.pad,
            tools.plan.batching.gradient_checkpointing,
            progress,
        )?;
        let Some(mut fisher) = found else { return Ok(false) };
        if self.settings.online
            && let Some(before) = self.anchors.pop()
        {
            let _ = fisher.f_add_(&before.fisher.f_mul_scalar(self.settings.decay)?)?;
        }
        self.anchors.push(Anchor { fisher, center: copied(&tools.values())? });
        Ok(true)
    }

    fn state(&self) -> Result<Value> {
        Ok(json!({ "anchors": self.anchors.len() }))
    }

    fn tensors(&self) -> Result<Vec<(String, Tensor)>> {
        let named = |(number, anchor): (usize, &Anchor)| {
            [
                (format!("fisher.{number}"), anchor.fisher.shallow_clone()),
                (format!("center.{number}"), anchor.center.shallow_clone()),
            ]
        };
        Ok(self.anchors.iter().enumerate().flat_map(named).collect())
    }

    fn load(&mut self, state: &Value, tensors: &dyn WeightSource) -> Result<()> {
        let count: usize = serde_json::from_value(state["anchors"].clone()).map_err(unreadable)?;
        let device = crate::device::choose();
        let anchor = |number| {
            Ok(Anchor {
                fisher: stored(tensors, &format!("fisher.{number}"), device)?,
                center: stored(tensors, &format!("center.{number}"), device)?,
            })
        };
        self.anchors = (0..count).map(anchor).collect::<Result<_>>()?;
        Ok(())
    }
}

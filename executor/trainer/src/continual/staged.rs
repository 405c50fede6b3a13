//! The strategies of a run with the stage at hand, and how both go into a checkpoint and come out of it.

use serde_json::Value;
use tch::Tensor;
use trainyard_openapi::error::ErrorCode;
use trainyard_openapi::extension::Strategy as Planned;

use crate::continual::a_gem::AGem;
use crate::continual::adapter::{Shape, laid_out};
use crate::continual::derpp::Derpp;
use crate::continual::ema::Ema;
use crate::continual::ewc::Ewc;
use crate::continual::lwf::Lwf;
use crate::continual::merge::Merge;
use crate::continual::o_lora::OLora;
use crate::continual::replay::Replay;
use crate::continual::state::BeforeState;
use crate::continual::{Adapter, StageAt, Strategy, StreamState, Tools, stored};
use crate::error::{Result, TrainerError};
use crate::nn::compute::copied;
use crate::optim::adamw::AdamW;
use crate::peft::lora::LoraSettings;
use crate::rng::Rng;
use crate::run::adamw_settings;
use crate::train::checkpoint::StagedFiles;
use crate::train::session::{Mode, Session};
use crate::train::step::EpochOrder;
use crate::weights::WeightSource;

/// The strategies and the stage.
#[derive(Debug)]
pub struct Staged {
    /// What is done against forgetting, what changes the adapter's rank first.
    pub strategies: Vec<Box<dyn Strategy>>,
    /// The same as the plan says it.
    pub planned: Vec<Planned>,
    /// The stage at hand.
    pub at: StageAt,
    /// The order of its rows.
    pub order: EpochOrder,
    /// What was before the stage, where it may be rejected.
    pub before: Option<Before>,
}

/// Adapter and strategies at one moment.
#[derive(Debug)]
pub struct Before {
    /// The adapter in training.
    pub adapter: Adapter,
    /// What each strategy remembered.
    pub states: Vec<Value>,
    /// Their tensors.
    pub tensors: Tensors,
}

/// Tensors in memory under the names that they have in a file.
#[derive(Debug)]
pub struct Tensors(pub Vec<(String, Tensor)>);

impl WeightSource for Tensors {
    fn names(&self) -> Vec<String> {
        self.0.iter().map(|(name, _)| name.clone()).collect()
    }

    fn tensor(&self, name: &str) -> Result<Option<Tensor>> {
        let found = self.0.iter().find(|(known, _)| known == name);
        Ok(found.map(|(_, tensor)| tensor.shallow_clone()))
    }
}

/// The tensors of a source whose names begin in one way, without that beginning.
pub struct Part<'a>(pub &'a dyn WeightSource, pub String);

impl WeightSource for Part<'_> {
    fn names(&self) -> Vec<String> {
        let names = self.0.names();
        names.iter().filter_map(|name| name.strip_prefix(&self.1).map(str::to_string)).collect()
    }

    fn tensor(&self, name: &str) -> Result<Option<Tensor>> {
        self.0.tensor(&format!("{}{name}", self.1))
    }
}

impl Staged {
    /// The strategies of a plan before anything was learned.
    ///
    /// # Errors
    /// Strategies that cannot be combined, or settings outside their limits.
    pub fn new(planned: &[Planned], seed: u64, at: StageAt) -> Result<Self> {
        check_together(planned)?;
        let mut planned = planned.to_vec();
        planned.sort_by_key(|plan| !matches!(plan, Planned::OLora(_) | Planned::Merge(_)));
        let mut strategies: Vec<Box<dyn Strategy>> = Vec::new();
        for (number, plan) in planned.iter().enumerate() {
            let seed = seed.wrapping_add(number as u64);
            strategies.push(match plan {
                Planned::Replay(settings) => Box::new(Replay::new(settings, seed)?),
                Planned::Derpp(settings) => Box::new(Derpp::new(settings, seed)?),
                Planned::Ewc(settings) => Box::new(Ewc::new(settings)),
                Planned::Lwf(settings) => Box::new(Lwf::new(settings)),
                Planned::AGem(settings) => Box::new(AGem::new(settings, seed)?),
                Planned::OLora(settings) => Box::new(OLora::new(settings)),
                Planned::Ema(settings) => Box::new(Ema::new(settings)?),
                Planned::Merge(settings) => Box::new(Merge::new(settings)),
                // All stages at once: there is nothing to be done against forgetting.
                Planned::Joint(_) => continue,
            });
        }
        planned.retain(|plan| !matches!(plan, Planned::Joint(_)));
        Ok(Self { strategies, planned, at, order: EpochOrder::default(), before: None })
    }

    /// What each strategy remembers.
    ///
    /// # Errors
    /// Where it cannot be written as JSON.
    pub fn states(&self) -> Result<Vec<Value>> {
        self.strategies.iter().map(|strategy| strategy.state()).collect()
    }

    /// The tensors of all strategies, each under its place and its own name.
    ///
    /// # Errors
    /// As libtorch reports.
    pub fn tensors(&self) -> Result<Tensors> {
        let mut all = Vec::new();
        for (number, strategy) in self.strategies.iter().enumerate() {
            let own = strategy.tensors()?.into_iter();
            all.extend(own.map(|(name, tensor)| (format!("{number}.{name}"), tensor)));
        }
        Ok(Tensors(all))
    }

    /// Goes on from what [`Staged::states`] and [`Staged::tensors`] gave.
    ///
    /// # Errors
    /// A checkpoint error where it does not fit.
    pub fn load(&mut self, states: &[Value], tensors: &dyn WeightSource) -> Result<()> {
        if states.len() != self.strategies.len() {
            let (seen, want) = (states.len(), self.strategies.len());
            return Err(TrainerError::Checkpoint(format!(
                "the state is of {seen} strategies, the plan has {want}"
            )));
        }
        for (number, (strategy, state)) in self.strategies.iter_mut().zip(states).enumerate() {
            strategy.load(state, &Part(tensors, format!("{number}.")))?;
        }
        Ok(())
    }

    /// The adapter in force, where it is not the one in training.
    ///
    /// # Errors
    /// As libtorch reports.
    pub fn in_force(&self, tools: &Tools<'_>, trained: bool) -> Result<Option<Adapter>> {
        for strategy in &self.strategies {
            if let Some(adapter) = strategy.in_force(tools, trained)? {
                return Ok(Some(adapter));
            }
        }
        Ok(None)
    }
}

/// Refuses strategies whose parts would undo each other.
fn check_together(planned: &[Planned]) -> Result<()> {
    let name = |plan: &Planned| match plan {
        Planned::Replay(_) => "replay",
        Planned::Derpp(_) => "derpp",
        Planned::Ewc(_) => "ewc",
        Planned::Lwf(_) => "lwf",
        Planned::AGem(_) => "a_gem",
        Planned::OLora(_) => "o_lora",
        Planned::Ema(_) => "ema",
        Planned::Merge(_) => "merge",
        Planned::Joint(_) => "joint",
    };
    let names: Vec<&str> = planned.iter().map(name).collect();
    let refuse = |message: String| {
        let param = Some("trainyard.continual.strategies".to_string());
        Err(TrainerError::request(
            ErrorCode::InvalidValue,
            param,
            format!("trainyard.continual.strategies: {message}"),
        ))
    };
    let with = |name: &str, refused: &[&str]| {
        names.contains(&name).then(|| names.iter().find(|other| refused.contains(other)))?
    };
    for (number, name) in names.iter().enumerate() {
        if names[..number].contains(name) {
            return refuse(format!("'{name}' stands there twice"));
        }
    }
    if names.contains(&"joint") && names.len() > 1 {
        return refuse("'joint' has no earlier stages, so nothing can be combined with it".into());
    }
    // A fresh adapter has no parameters of earlier stages; one of another rank none of the same places.
    for (one, others) in
        [("merge", ["ewc", "lwf", "o_lora", "ema"]), ("o_lora", ["ewc", "ema", "merge", "merge"])]
    {
        if let Some(other) = with(one, &others) {
            return refuse(format!("'{one}' changes the adapter that '{other}' needs as it was"));
        }
    }
    Ok(())
}

impl Session<'_> {
    /// What strategies work with.
    ///
    /// # Errors
    /// A refusal where something else than low-rank adaptation is trained.
    pub(crate) fn tools<'a>(&'a self, at: &'a StageAt) -> Result<Tools<'a>> {
        Ok(Tools {
            model: &self.model,
            settings: self.adapter.settings.lora()?,
            plan: self.plan,
            pad: self.pad,
            micro_batch_size: self.micro_batch_size as usize,
            step: self.state.step,
            stage_step: self.stage_step(),
            stage: at,
            control: self.control,
            events: self.events,
        })
    }

    /// The adapter in training, as it is now.
    pub(crate) fn adapter_now(&self) -> Result<Adapter> {
        let values = copied(&self.model.parameters().values)?;
        Ok(Adapter { settings: self.adapter.settings.lora()?.clone(), values })
    }

    /// Puts another adapter into training, with a fresh optimizer.
    pub(crate) fn wear(&mut self, adapter: &Adapter) -> Result<()> {
        self.attach(&adapter.settings)?;
        let _no_grad = tch::no_grad_guard();
        self.model.parameters().values.shallow_clone().f_copy_(&adapter.values)?;
        Ok(())
    }

    /// Makes room for an adapter of `settings`, with a fresh optimizer. What stands in it is not yet that adapter.
    pub(crate) fn attach(&mut self, settings: &LoraSettings) -> Result<()> {
        if settings != self.adapter.settings.lora()? {
            self.model.attach_lora(settings, &mut Rng::new(self.plan.seed, 0))?;
            self.adapter.settings = settings.clone().into();
        }
        self.optimizer = AdamW::new(self.model.parameters().share(), adamw_settings(self.plan))?;
        self.optimizer.discard_gradients()
    }

    /// What a checkpoint of a run with stages holds beside that of any run; the state is brought up to date. At the `end` of a stage the
    /// adapter in force is the checkpoint's.
    pub(crate) fn staged_files(&mut self, end: bool) -> Result<Option<StagedFiles>> {
        let Mode::Staged(staged) = &self.mode else { return Ok(None) };
        let shape = Shape::of(self.adapter.settings.lora()?);
        let states = staged.states()?;
        let mut tensors = staged.tensors()?.0;
        let before = staged.before.as_ref().map(|before| {
            let own = before.tensors.0.iter();
            tensors.extend(own.map(|(name, t)| (format!("before.{name}"), t.shallow_clone())));
            tensors.push(("before.values".to_string(), before.adapter.values.shallow_clone()));
            let shape = Shape::of(&before.adapter.settings);
            BeforeState { shape, strategies: before.states.clone() }
        });
        let mut in_force = None;
        if end && let Some(adapter) = staged.in_force(&self.tools(&staged.at)?, false)? {
            let parameters = self.model.parameters();
            tensors.push(("training".to_string(), copied(&parameters.values)?));
            let named = laid_out(parameters, adapter.settings.rank, &adapter.values)?.named()?;
            let mut description = self.adapter.clone();
            description.settings = adapter.settings.into();
            in_force = Some((named, description));
        }
        if let Some(stream) = &mut self.state.continual {
            (stream.shape, stream.strategies, stream.before) = (shape, states, before);
        }
        Ok(Some(StagedFiles { in_force, tensors }))
    }
}

/// What was before the stage, out of a checkpoint.
///
/// # Errors
/// A checkpoint error where it is not there.
pub fn before_of(
    state: &StreamState,
    settings: &LoraSettings,
    tensors: &dyn WeightSource,
) -> Result<Option<Before>> {
    let Some(before) = &state.before else { return Ok(None) };
    let device = crate::device::choose();
    let values = stored(tensors, "before.values", device)?;
    let part = Part(tensors, "before.".to_string());
    let mut own = Vec::new();
    for name in part.names().into_iter().filter(|name| name != "values") {
        let tensor = stored(&part, &name, device)?;
        own.push((name, tensor));
    }
    let adapter = Adapter { settings: before.shape.put_on(settings), values };
    Ok(Some(Before { adapter, states: before.strategies.clone(), tensors: Tensors(own) }))
}

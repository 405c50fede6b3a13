//! The stages of a run, one after the other: set up, trained by the session's loop, measured, judged, and written down.

use std::collections::BTreeMap;
use std::rc::Rc;

use trainyard_continual::StageName;
use trainyard_continual::gate::Gate;
use trainyard_openapi::error::ErrorCode;
use trainyard_openapi::extension::{ContinualProgress, ContinualResult, Strategy as Planned};
use trainyard_plan::ContinualPlan;
use trainyard_plan::trainer::{RunSpec, TrainerEvent};

use crate::continual::columns::Columns;
use crate::continual::earlier::{Earlier, Reader, goes_on, name_of};
use crate::continual::staged::Part;
use crate::continual::{StageAt, Staged, matrices, refused};
use crate::data::{ChatTokenizer, DataReport, Dataset, DatasetOptions};
use crate::error::{Result, TrainerError};
use crate::run::events::Events;
use crate::run::pack_if_it_pays;
use crate::train::session::{Ending, Mode, Session};

/// A stage as the plan gives it.
#[derive(Debug)]
pub struct StageData {
    /// Its name.
    pub name: StageName,
    /// Its rows.
    pub training: Rc<Dataset>,
    /// What it is measured with.
    pub validation: Option<Rc<Dataset>>,
}

/// The stages of a run.
#[derive(Debug)]
pub struct Stream<'a> {
    pub(super) plan: &'a ContinualPlan,
    /// As the plan gives them.
    pub stages: Vec<StageData>,
    /// The rows of all stages, where they are trained at once.
    pub(super) joint: Option<Rc<Dataset>>,
    /// The general file.
    pub held_out: Option<Rc<Dataset>>,
    /// The result that the run goes on from.
    pub earlier: Option<Earlier>,
    pub(super) gate: Option<Gate>,
    /// Training files that may be replayed, by SHA-256.
    pub(super) library: BTreeMap<String, Rc<Dataset>>,
    /// Whether rows of any stage are packed.
    pub packed: bool,
    /// What happened to the lines of each file: its name, and whether it is trained on.
    pub reports: Vec<(String, bool, DataReport)>,
}

impl<'a> Stream<'a> {
    /// Reads the files of `spec`.
    ///
    /// # Errors
    /// A user error where a file cannot be trained on, or strategies cannot be combined.
    pub fn load(
        spec: &'a RunSpec,
        tokenizer: &ChatTokenizer,
        options: &DatasetOptions,
        events: &Events,
    ) -> Result<Option<Self>> {
        let (plan, files) = match (&spec.plan.continual, &spec.continual) {
            (Some(plan), Some(files)) => (plan, files),
            (None, None) => return Ok(None),
            _ => return Err(unfit("plan and files do not both have stages")),
        };
        if plan.stages.is_empty() || plan.stages.len() != files.stages.len() {
            return Err(unfit("the plan's stages are not those of the files"));
        }
        if spec.plan.privacy.is_some() {
            return Err(unfit("a private run has no stages"));
        }
        let working = || events.working(trainyard_plan::trainer::Stage::Loading);
        let mut reports = Vec::new();
        let mut packed = false;
        let is_joint = plan.strategies.iter().any(|plan| matches!(plan, Planned::Joint(_)));
        let mut stages = Vec::new();
        for (place, (stage, files)) in plan.stages.iter().zip(&files.stages).enumerate() {
            let load = |what: &str, file: &trainyard_plan::trainer::NamedFile| {
                let param = format!("trainyard.continual.stages[{place}].{what}");
                Dataset::load(&file.path, (&param, &file.name), tokenizer, options, &working)
            };
            let (mut training, mut report) = load("training_file", &files.training)?;
            packed |= !is_joint && pack_if_it_pays(&mut training, &mut report, spec);
            reports.push((files.training.name.clone(), true, report));
            let validation = match &files.validation {
                Some(file) => {
                    let (validation, report) = load("validation_file", file)?;
                    reports.push((file.name.clone(), false, report));
                    Some(Rc::new(validation))
                }
                None => None,
            };
            let name = StageName::try_from(stage.name.clone()).map_err(refused)?;
            stages.push(StageData { name, training: Rc::new(training), validation });
        }
        let joint = is_joint.then(|| {
            let parts: Vec<&Dataset> = stages.iter().map(|stage| &*stage.training).collect();
            let mut all = Dataset::joined(&parts);
            packed = pack_if_it_pays(&mut all, &mut DataReport::default(), spec);
            Rc::new(all)
        });
        let held_out = match &files.held_out {
            Some(file) => {
                let known = ("trainyard.continual.held_out_file", file.name.as_str());
                let (dataset, report) =
                    Dataset::load(&file.path, known, tokenizer, options, &working)?;
                reports.push((file.name.clone(), false, report));
                Some(Rc::new(dataset))
            }
            None => None,
        };
        let reader = Reader { files: &files.earlier, tokenizer, options, events };
        let earlier = match (&plan.parent, &files.parent) {
            (Some(plan), Some(directory)) => Some(Earlier::open(directory, plan, &reader)?),
            (None, None) => None,
            _ => return Err(unfit("plan and files do not both have an earlier result")),
        };
        let mut library: BTreeMap<String, Rc<Dataset>> = stages
            .iter()
            .map(|stage| (stage.training.sha256.clone(), Rc::clone(&stage.training)))
            .collect();
        // What stands in no file that is still there is forgotten where it was remembered.
        for stage in earlier.iter().flat_map(|earlier| &earlier.stages) {
            let Some(sha256) = &stage.training_sha256 else { continue };
            if !library.contains_key(sha256)
                && let Some(dataset) = reader.open(sha256)?
            {
                library.insert(sha256.clone(), dataset);
            }
        }
        let gate = match (plan.max_forgetting, plan.max_held_out_fall) {
            (None, None) => None,
            // Any loss may rise where only the general file has a limit.
            (limit, held_out) => {
                Some(Gate::new(limit.unwrap_or(f64::MAX), held_out).map_err(refused)?)
            }
        };
        Ok(Some(Self { plan, stages, joint, held_out, earlier, gate, library, packed, reports }))
    }

    /// How many stages are trained.
    pub fn courses(&self) -> usize {
        if self.joint.is_some() { 1 } else { self.stages.len() }
    }

    /// The rows that the run begins with.
    pub fn first(&self) -> &Rc<Dataset> {
        self.joint.as_ref().unwrap_or(&self.stages[0].training)
    }

    /// SHA-256 of everything that is trained on, and of everything that is measured.
    pub fn binding(&self) -> (String, String) {
        let training: Vec<&str> =
            self.stages.iter().map(|stage| stage.training.sha256.as_str()).collect();
        let measured = self.stages.iter().map(|stage| stage.validation.as_ref());
        let measured: Vec<&str> = measured
            .chain([self.held_out.as_ref()])
            .map(|dataset| dataset.map_or("-", |dataset| dataset.sha256.as_str()))
            .collect();
        let hash =
            |all: Vec<&str>| crate::artifact::manifest::hash_bytes(all.join("\n").as_bytes());
        (hash(training), hash(measured))
    }

    /// Stages of earlier jobs.
    fn stages_before(&self) -> u32 {
        self.earlier.as_ref().map_or(0, |earlier| earlier.stages.len() as u32)
    }

    /// Puts the strategies into the session, and the earlier result's adapter.
    ///
    /// # Errors
    /// A user error where that adapter does not fit the plan's layers; strategies that cannot be combined.
    pub fn enter(&self, session: &mut Session<'_>) -> Result<()> {
        let at = self.at(0, self.order_as_given().first().copied().unwrap_or(0));
        let mut staged = Staged::new(&self.plan.strategies, session.plan.seed, at)?;
        if let Some(earlier) = &self.earlier {
            let settings = earlier.shape.put_on(session.adapter.settings.lora()?);
            session.attach(&settings)?;
            session.model.load_adapter(&earlier.weights).map_err(|error| {
                TrainerError::user(
                    trainyard_openapi::job_error::JobErrorCode::InvalidModel,
                    Some("model".to_string()),
                    format!(
                        "the earlier result's adapter is not on the layers of this job: {error}"
                    ),
                )
            })?;
            let tools = session.tools(&staged.at)?;
            let pairs = staged.strategies.iter_mut().zip(&staged.planned);
            for (strategy, now) in pairs {
                let found = earlier.strategies.iter().position(|then| goes_on(now, &then.plan));
                match (found, &earlier.tensors) {
                    (Some(place), Some(tensors)) => {
                        let state = &earlier.strategies[place].state;
                        strategy.load(state, &Part(tensors, format!("{place}.")))?;
                        strategy.begin_another_job();
                    }
                    _ => {
                        strategy.adopt(&tools, self.stages_before())?;
                        let text = format!(
                            "{} begins anew: the earlier result has nothing that it could go on with",
                            name_of(now)
                        );
                        session.events.log("info", text)?;
                    }
                }
            }
        }
        session.mode = Mode::Staged(Box::new(staged));
        self.open_files(session)
    }

    /// Gives strategies the files that they remember examples of, and tells what is forgotten.
    fn open_files(&self, session: &mut Session<'_>) -> Result<()> {
        let Mode::Staged(staged) = &mut session.mode else { return Ok(()) };
        for (strategy, plan) in staged.strategies.iter_mut().zip(&staged.planned) {
            let Some(rehearsal) = strategy.rehearsal() else { continue };
            for (sha256, examples) in rehearsal.open(&self.library)? {
                let text = format!(
                    "{}: {examples} remembered examples are forgotten: their file, {sha256}, is gone",
                    name_of(plan)
                );
                session.events.log("warn", text)?;
            }
        }
        Ok(())
    }

    /// Goes on from a checkpoint: its state is in the session, its adapter not yet.
    ///
    /// # Errors
    /// A checkpoint error where it does not fit.
    pub fn resume(
        &self,
        session: &mut Session<'_>,
        tensors: &dyn crate::weights::WeightSource,
    ) -> Result<()> {
        let Some(state) = session.state.continual.clone() else { return Ok(()) };
        let settings = state.shape.put_on(session.adapter.settings.lora()?);
        session.attach(&settings)?;
        session.place.first_step = state.first_step;
        if let Mode::Staged(staged) = &mut session.mode {
            staged.load(&state.strategies, tensors)?;
            staged.before = super::staged::before_of(&state, &settings, tensors)?;
        }
        self.open_files(session)
    }

    fn order_as_given(&self) -> Vec<usize> {
        (0..self.courses()).collect()
    }

    pub(super) fn at(&self, place: usize, given: usize) -> StageAt {
        let training = self.joint.as_ref().unwrap_or(&self.stages[given].training);
        StageAt {
            number: self.stages_before() + place as u32,
            given,
            training: Rc::clone(training),
        }
    }

    /// The columns, once the order is known.
    pub(super) fn columns(&self, order: &[usize]) -> Columns {
        let earlier = self.earlier.iter().flat_map(|earlier| earlier.columns.iter().cloned());
        let own = self.of_job(order);
        Columns { stages: earlier.chain(own).collect(), held_out: self.held_out.clone() }
    }

    /// The columns of this job's stages in the order of training. A job whose only stage is not measured has none.
    pub(super) fn of_job(&self, order: &[usize]) -> Vec<(StageName, Rc<Dataset>)> {
        let order =
            if self.joint.is_some() { (0..self.stages.len()).collect() } else { order.to_vec() };
        let stages = order.iter().map(|&given| &self.stages[given]);
        stages.filter_map(|stage| Some((stage.name.clone(), stage.validation.clone()?))).collect()
    }

    /// Trains the stages to the end, or until something else is wanted. The adapter in force is the session's afterwards.
    ///
    /// # Errors
    /// As [`Session::train`].
    pub fn train(&self, session: &mut Session<'_>) -> Result<Ending> {
        if session.state.continual.is_none() && !self.start(session)? {
            return cut_short(session);
        }
        while let Some(progress) = self.next_stage(session)? {
            session.events.emit(&TrainerEvent::StageBegan(progress))?;
            match session.train()? {
                Ending::Done => {}
                other => return Ok(other),
            }
            if !self.end(session)? {
                return cut_short(session);
            }
        }
        let mode = std::mem::take(&mut session.mode);
        if let Mode::Staged(staged) = &mode
            && let Some(adapter) = staged.in_force(&session.tools(&staged.at)?, false)?
        {
            session.wear(&adapter)?;
        }
        session.mode = mode;
        Ok(Ending::Done)
    }

    /// What came of all stages so far.
    ///
    /// # Errors
    /// None for a state that was made here.
    pub fn result(&self, session: &Session<'_>) -> Result<ContinualResult> {
        let Some(state) = &session.state.continual else { return Ok(ContinualResult::default()) };
        let metrics = &session.plan.evaluation.metrics;
        matrices::result(&state.stages, &state.matrices, metrics, self.joint.is_some())
            .map_err(refused)
    }

    /// Sets up the stage at hand, if there is one left.
    fn next_stage(&self, session: &mut Session<'_>) -> Result<Option<ContinualProgress>> {
        let Some(state) = &session.state.continual else { return Ok(None) };
        let (stage, begun) = (state.stage, state.begun);
        let Some(&given) = state.order.get(stage) else {
            self.set_course(session)?;
            return Ok(None);
        };
        if !begun {
            self.begin(session)?;
        }
        self.set_course(session)?;
        Ok(Some(ContinualProgress {
            stage: stage as u32 + 1,
            stages: self.courses() as u32,
            name: self.name(given),
            first_step: session.place.first_step,
            steps: session.sampler.total_steps(),
        }))
    }

    pub(super) fn name(&self, given: usize) -> String {
        match self.joint {
            Some(_) => matrices::JOINT.to_string(),
            None => self.stages[given].name.to_string(),
        }
    }
}

fn cut_short(session: &mut Session<'_>) -> Result<Ending> {
    if session.control.is_cancelled() {
        return Ok(Ending::Cancelled);
    }
    session.checkpoint()?;
    Ok(Ending::Stopped)
}

fn unfit(message: &str) -> TrainerError {
    TrainerError::request(
        ErrorCode::InvalidValue,
        Some("trainyard.continual".to_string()),
        format!("trainyard.continual: {message}"),
    )
}

//! The stages of a run, one after the other: set up, trained by the session's loop, measured, judged, and written down.

use std::collections::BTreeMap;
use std::rc::Rc;

use trainyard_continual::StageName;
use trainyard_continual::gate::Gate;
use trainyard_continual::stages::Order;
use trainyard_openapi::error::ErrorCode;
use trainyard_openapi::extension::{
    ContinualProgress, ContinualResult, StageOrder, StageResult, Strategy as Planned,
};
use trainyard_plan::ContinualPlan;
use trainyard_plan::trainer::{RunSpec, TrainerEvent};

use crate::continual::adapter::Shape;
use crate::continual::columns::{Columns, MeasuredRow};
use crate::continual::earlier::{Earlier, LeftStage, Reader, goes_on, name_of};
use crate::continual::staged::{Before, Part};
use crate::continual::{StageAt, Staged, StreamState, matrices, refused};
use crate::data::{ChatTokenizer, DataReport, Dataset, DatasetOptions, Sampler};
use crate::error::{Result, TrainerError};
use crate::run::events::Events;
use crate::run::{pack_if_it_pays, schedule};
use crate::train::session::{Ending, Mode, Session, StepPlace};
use crate::train::state::Measured;

/// What sets the orders of rows of two stages apart.
const STAGE_SEEDS_APART: u64 = 0x9e37_79b9_7f4a_7c15;

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
    plan: &'a ContinualPlan,
    /// As the plan gives them.
    pub stages: Vec<StageData>,
    /// The rows of all stages, where they are trained at once.
    joint: Option<Rc<Dataset>>,
    /// The general file.
    pub held_out: Option<Rc<Dataset>>,
    /// The result that the run goes on from.
    pub earlier: Option<Earlier>,
    gate: Option<Gate>,
    /// Training files that may be replayed, by SHA-256.
    library: BTreeMap<String, Rc<Dataset>>,
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
            let settings = earlier.shape.put_on(&session.adapter.settings);
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
            let tools = session.tools(&staged.at);
            let pairs = staged.strategies.iter_mut().zip(&staged.planned);
            for (strategy, now) in pairs {
                let found = earlier.strategies.iter().position(|then| goes_on(now, &then.plan));
                match (found, &earlier.tensors) {
                    (Some(place), Some(tensors)) => {
                        let state = &earlier.strategies[place].state;
                        strategy.load(state, &Part(tensors, format!("{place}.")))?;
                        strategy.from_earlier_job();
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
        let settings = state.shape.put_on(&session.adapter.settings);
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

    fn at(&self, place: usize, given: usize) -> StageAt {
        let training = self.joint.as_ref().unwrap_or(&self.stages[given].training);
        StageAt {
            number: self.stages_before() + place as u32,
            given,
            training: Rc::clone(training),
        }
    }

    /// The columns, once the order is known.
    fn columns(&self, order: &[usize]) -> Columns {
        let earlier = self.earlier.iter().flat_map(|earlier| earlier.columns.iter().cloned());
        let own = self.of_job(order);
        Columns { stages: earlier.chain(own).collect(), held_out: self.held_out.clone() }
    }

    /// The columns of this job's stages in the order of training. A job whose only stage is not measured has none.
    fn of_job(&self, order: &[usize]) -> Vec<(StageName, Rc<Dataset>)> {
        let order =
            if self.joint.is_some() { (0..self.stages.len()).collect() } else { order.to_vec() };
        let stages = order.iter().map(|&given| &self.stages[given]);
        stages.filter_map(|stage| Some((stage.name.clone(), stage.validation.clone()?))).collect()
    }

    /// Measures what was before the first step, and decides the order; false where that was cut short.
    fn start(&self, session: &mut Session<'_>) -> Result<bool> {
        let given: Vec<usize> = (0..self.stages.len()).collect();
        let new = Columns { stages: self.of_job(&given), held_out: self.held_out.clone() };
        session.model.set_adapter_enabled(false);
        let base = new.measure(session);
        session.model.set_adapter_enabled(true);
        let Some(base) = base? else { return Ok(false) };
        let parent = match self.earlier {
            Some(_) => match new.measure(session)? {
                Some(row) => Some(row),
                None => return Ok(false),
            },
            None => None,
        };
        let measured = new.stages.len() == self.stages.len();
        let difficulty = || base.stages.iter().map(|measured| measured.loss).collect();
        let order = match self.plan.order {
            _ if self.joint.is_some() || !measured => Order::AsGiven,
            StageOrder::AsGiven => Order::AsGiven,
            StageOrder::EasiestFirst => Order::EasiestFirst { difficulty: difficulty() },
            StageOrder::HardestFirst => Order::HardestFirst { difficulty: difficulty() },
            StageOrder::Shuffled => Order::Shuffled { seed: session.plan.seed },
        };
        let all = order.arrange(self.stages.len()).map_err(refused)?;
        let order = if self.joint.is_some() { vec![0] } else { all.clone() };
        let arranged = |row: &MeasuredRow| MeasuredRow {
            stages: match measured {
                true => all.iter().map(|&given| row.stages[given]).collect(),
                false => row.stages.clone(),
            },
            held_out: row.held_out,
        };
        let (base, parent) = (arranged(&base), parent.as_ref().map(arranged));
        let names: Vec<StageName> = self.of_job(&order).into_iter().map(|(name, _)| name).collect();
        let before = self.before_matrices();
        let mut begun = Vec::new();
        if !names.is_empty() {
            begun = matrices::begin(&before, &names, &base, parent.as_ref()).map_err(refused)?;
        } else if !before.available.is_empty() {
            session.events.log("warn", "the stage has no validation file: nothing is measured")?;
        }
        let before = self.earlier.iter().flat_map(|earlier| &earlier.stages);
        session.state.continual = Some(StreamState {
            order,
            stage: 0,
            begun: false,
            replays: false,
            first_step: 0,
            shape: Shape::of(&session.adapter.settings),
            matrices: begun,
            stages: before.map(|stage| stage.result.clone()).collect(),
            strategies: Vec::new(),
            before: None,
        });
        self.set_course(session)?;
        let first = parent.as_ref().unwrap_or(&base);
        let first: Vec<Measured> = match self.joint {
            Some(_) => first.stages.clone(),
            None => first.stages.iter().take(1).copied().collect(),
        };
        match mean(&first, 0) {
            Some(measured) => session.note(measured)?,
            None => session.state.history.push(crate::train::history::Row::default()),
        }
        Ok(true)
    }

    fn before_matrices(&self) -> matrices::Before {
        let Some(earlier) = &self.earlier else { return matrices::Before::default() };
        let same = self.held_out.as_ref().map(|dataset| &dataset.sha256);
        matrices::Before {
            matrices: earlier.matrices.clone(),
            available: earlier.columns.iter().map(|(name, _)| name.clone()).collect(),
            same_held_out: same.is_some() && same == earlier.held_out_sha256.as_ref(),
        }
    }

    /// Sets data, steps and rate of the stage at hand, whether it begins or goes on.
    pub fn set_course(&self, session: &mut Session<'_>) -> Result<()> {
        let Some(state) = session.state.continual.clone() else {
            session.place.later_steps =
                (1..self.courses()).map(|given| self.steps(session, given)).sum();
            return Ok(());
        };
        let Some(&given) = state.order.get(state.stage) else {
            session.place = StepPlace { first_step: state.first_step, later_steps: 0 };
            return Ok(());
        };
        let at = self.at(state.stage, given);
        let later = state.order[state.stage + 1..].iter();
        session.place = StepPlace {
            first_step: state.first_step,
            later_steps: later.map(|&given| self.steps(session, given)).sum(),
        };
        session.sampler = self.sampler(session, given, &at.training, state.replays)?;
        session.schedule = schedule(session.plan, session.sampler.total_steps());
        session.training = Rc::clone(&at.training);
        session.validation = match self.joint {
            Some(_) => None,
            None => self.stages[given].validation.clone(),
        };
        if let Mode::Staged(staged) = &mut session.mode {
            staged.at = at;
        }
        Ok(())
    }

    /// The steps that a later stage will have: with replay, where the plan has that.
    fn steps(&self, session: &Session<'_>, given: usize) -> u64 {
        let training = &self.stages[given].training;
        self.sampler(session, given, training, true).map_or(0, |sampler| sampler.total_steps())
    }

    fn sampler(
        &self,
        session: &Session<'_>,
        given: usize,
        training: &Dataset,
        replays: bool,
    ) -> Result<Sampler> {
        let plan = session.plan;
        let seed = plan.seed.wrapping_add((given as u64).wrapping_mul(STAGE_SEEDS_APART));
        let (batch, epochs) = (plan.batch_size as usize, plan.epochs as usize);
        let sampler = Sampler::new(training.len(), batch, epochs, seed);
        let share = self.plan.strategies.iter().find_map(|plan| match plan {
            Planned::Replay(replay) => Some(replay.ratio),
            _ => None,
        });
        match share.filter(|_| replays) {
            Some(ratio) => sampler.with_replay(ratio).map_err(refused),
            None => Ok(sampler),
        }
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
            && let Some(adapter) = staged.in_force(&session.tools(&staged.at), false)?
        {
            session.wear(&adapter)?;
        }
        session.mode = mode;
        Ok(Ending::Done)
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

    fn name(&self, given: usize) -> String {
        match self.joint {
            Some(_) => "joint".to_string(),
            None => self.stages[given].name.to_string(),
        }
    }

    /// Begins the stage at hand: strategies, moments and early stopping anew.
    fn begin(&self, session: &mut Session<'_>) -> Result<()> {
        if let Some(state) = &mut session.state.continual {
            state.replays = false;
        }
        self.set_course(session)?;
        let mut mode = std::mem::take(&mut session.mode);
        if let Mode::Staged(staged) = &mut mode {
            self.begin_with(session, staged)?;
        }
        session.mode = mode;
        Ok(())
    }

    fn begin_with(&self, session: &mut Session<'_>, staged: &mut Staged) -> Result<()> {
        let Some(state) = &session.state.continual else { return Ok(()) };
        let given = state.order.get(state.stage).copied().unwrap_or(0);
        staged.at = self.at(state.stage, given);
        staged.order = crate::train::step::EpochOrder::default();
        let settings = session.adapter.settings.clone();
        // Moments begin anew.
        session.attach(&settings)?;
        staged.before = match self.gate {
            Some(_) => Some(Before {
                adapter: session.adapter_now()?,
                states: staged.states()?,
                tensors: staged.tensors()?,
            }),
            None => None,
        };
        let mut replays = false;
        for strategy in &mut staged.strategies {
            let fresh = strategy.before_stage(&session.tools(&staged.at))?;
            if let Some(adapter) = fresh {
                session.wear(&adapter)?;
            }
            replays |= strategy.share().is_some();
        }
        session.state.stopped_early = false;
        session.state.best = crate::train::state::Best::default();
        if let Some(state) = &mut session.state.continual {
            (state.begun, state.replays) = (true, replays);
        }
        Ok(())
    }

    /// Ends the stage at hand; false where that was cut short, which leaves everything as it was.
    fn end(&self, session: &mut Session<'_>) -> Result<bool> {
        let mut mode = std::mem::take(&mut session.mode);
        let ended = match &mut mode {
            Mode::Staged(staged) => self.end_with(session, staged),
            _ => Ok(None),
        };
        session.mode = mode;
        let Some((name, result)) = ended? else { return Ok(false) };
        let StageResult { kept, reason, .. } = result;
        let told = self.result(session)?;
        session.events.emit(&TrainerEvent::StageEnded {
            name: name.clone(),
            kept,
            reason,
            result: told,
        })?;
        session.write_checkpoint(Some(&name))?;
        Ok(true)
    }

    /// What came of all stages so far.
    ///
    /// # Errors
    /// None for a state that was made here.
    pub fn result(&self, session: &Session<'_>) -> Result<ContinualResult> {
        let Some(state) = &session.state.continual else { return Ok(ContinualResult::default()) };
        let metrics = &session.plan.evaluation.metrics;
        matrices::result(&state.stages, &state.matrices, metrics).map_err(refused)
    }

    fn end_with(
        &self,
        session: &mut Session<'_>,
        staged: &mut Staged,
    ) -> Result<Option<(String, StageResult)>> {
        let Some(state) = session.state.continual.clone() else { return Ok(None) };
        let given = state.order.get(state.stage).copied().unwrap_or(0);
        let measured = match state.matrices.is_empty() {
            true => None,
            false => {
                let trained = session.adapter_now()?;
                let candidate = staged.in_force(&session.tools(&staged.at), true)?;
                if let Some(candidate) = &candidate {
                    session.wear(candidate)?;
                }
                let row = self.columns(&state.order).measure(session);
                if candidate.is_some() {
                    session.wear(&trained)?;
                }
                match row? {
                    Some(row) => Some(row),
                    None => return Ok(None),
                }
            }
        };
        let verdict = match (&self.gate, &measured) {
            (Some(gate), Some(row)) => {
                Some(matrices::judge(gate, &state.matrices, row).map_err(refused)?)
            }
            _ => None,
        };
        let kept = verdict.as_ref().is_none_or(|verdict| verdict.keeps());
        if kept && !take_up(session, staged)? {
            return Ok(None);
        }
        if !kept && let Some(before) = staged.before.take() {
            session.wear(&before.adapter)?;
            staged.load(&before.states, &before.tensors)?;
        }
        staged.before = None;
        if !kept && staged.strategies.iter_mut().any(|strategy| strategy.rehearsal().is_some()) {
            // What was loaded names its files; they are opened again.
            for strategy in &mut staged.strategies {
                if let Some(rehearsal) = strategy.rehearsal() {
                    rehearsal.open(&self.library)?;
                }
            }
        }
        let result = StageResult {
            name: self.name(given),
            kept,
            reason: verdict.map(|verdict| verdict.to_string()),
            last_step: Some(session.state.step),
        };
        let mut state = state;
        if let Some(row) = &measured {
            matrices::add(&mut state.matrices, row, kept).map_err(refused)?;
            self.note_own(session, &state)?;
        }
        state.stages.push(result.clone());
        (state.stage, state.begun, state.replays) = (state.stage + 1, false, false);
        state.first_step = session.state.step;
        session.state.continual = Some(state);
        Ok(Some((result.name.clone(), result)))
    }

    /// Notes what the adapter in force scores on the stage that is over.
    fn note_own(&self, session: &mut Session<'_>, state: &StreamState) -> Result<()> {
        let [loss, accuracy] = state.matrices.as_slice() else { return Ok(()) };
        let last = |column: usize| Measured {
            step: session.state.step,
            loss: loss.latest().stages[column],
            accuracy: accuracy.latest().stages[column],
        };
        let own: Vec<Measured> = match self.joint {
            Some(_) => {
                let all = loss.stages().len();
                (all - self.stages.len()..all).map(last).collect()
            }
            None => vec![last(loss.rows().len() - 1)],
        };
        match mean(&own, session.state.step) {
            Some(measured) => session.note(measured),
            None => Ok(()),
        }
    }
}

/// Lets strategies take up what the stage has trained; false where that was cut short, which leaves them as they were.
fn take_up(session: &mut Session<'_>, staged: &mut Staged) -> Result<bool> {
    let (states, tensors) = (staged.states()?, staged.tensors()?);
    let mut whole = true;
    for strategy in &mut staged.strategies {
        let tools = session.tools(&staged.at);
        whole = whole && strategy.after_stage(&tools)?;
    }
    session.optimizer.discard_gradients()?;
    if !whole {
        staged.load(&states, &tensors)?;
    }
    Ok(whole)
}

fn cut_short(session: &mut Session<'_>) -> Result<Ending> {
    if session.control.is_cancelled() {
        return Ok(Ending::Cancelled);
    }
    session.checkpoint()?;
    Ok(Ending::Stopped)
}

/// The mean of what was measured on several stages; `None` of none.
fn mean(measured: &[Measured], step: u64) -> Option<Measured> {
    let count = measured.len() as f64;
    let of = |value: fn(&Measured) -> f64| measured.iter().map(value).sum::<f64>() / count;
    (!measured.is_empty()).then(|| Measured {
        step,
        loss: of(|one| one.loss),
        accuracy: of(|one| one.accuracy),
    })
}

fn unfit(message: &str) -> TrainerError {
    TrainerError::request(
        ErrorCode::InvalidValue,
        Some("trainyard.continual".to_string()),
        format!("trainyard.continual: {message}"),
    )
}

/// What is left of stages for the next job.
impl Stream<'_> {
    /// Whether all stages are trained at once.
    pub fn is_joint(&self) -> bool {
        self.joint.is_some()
    }

    /// A stage with its files.
    pub fn left(&self, result: StageResult, given: usize) -> LeftStage {
        let stage = &self.stages[given];
        LeftStage {
            result,
            training_sha256: Some(stage.training.sha256.clone()),
            validation_sha256: stage.validation.as_ref().map(|dataset| dataset.sha256.clone()),
        }
    }

    /// Every stage of those that were one.
    pub fn left_jointly(&self, result: &StageResult) -> Vec<LeftStage> {
        let of = |given: usize| {
            let name = self.stages[given].name.to_string();
            self.left(StageResult { name, ..result.clone() }, given)
        };
        (0..self.stages.len()).map(of).collect()
    }
}

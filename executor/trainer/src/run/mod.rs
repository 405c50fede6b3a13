//! One job as a table of contents: open, read, load, attach, resume, train, check, write.

pub mod base;
pub mod events;
pub mod export;
pub mod inspect;
pub mod output;
pub mod spec;
pub mod tensors;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::rc::Rc;

use trainyard_plan::trainer::{RunSpec, Stage, Started, TrainerEvent};
use trainyard_plan::{AdapterPlan, OptimizerPlan, Plan, SchedulePlan};

use crate::arch::CausalLm;
use crate::artifact::description::AdapterDescription;
use crate::artifact::directory;
use crate::artifact::manifest::{self, hash_bytes};
use crate::continual::stream::Stream;
use crate::data::{ChatTokenizer, DataReport, Dataset, DatasetOptions, Sampler, packing};
use crate::device;
use crate::error::{Result, TrainerError};
use crate::optim::adamw::{AdamW, AdamWSettings};
use crate::optim::schedule::Schedule;
use crate::peft::AdapterSettings;
use crate::privacy::local::{self, LocalLedger};
use crate::privacy::reserve::Reservations;
use crate::rng::Rng;
use crate::run::events::Events;
use crate::run::output::OutputDir;
use crate::train::checkpoint;
use crate::train::control::Control;
use crate::train::private::Private;
use crate::train::session::{Ending, Mode, Session, StepPlace};
use crate::train::state::{Binding, RunState};
use crate::weights::WeightSource;
use crate::weights::safetensors::SafetensorsSource;

/// The stream of the run's random numbers that the adapter starts from.
pub(crate) const INIT_STREAM: u64 = 0x494e_4954;

/// Where a run goes on from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Resume {
    /// From the newest complete checkpoint in the output directory, or from the beginning.
    Auto,
    /// From the beginning; older checkpoints in the output directory are removed.
    Never,
    /// From this checkpoint directory.
    From(PathBuf),
}

/// Runs `spec` in `out`. A private run asks whoever commands it for leave to take steps where it `asks`, and else keeps a ledger of its own.
///
/// # Errors
/// A user error where request or data cannot be trained; anything else where the machine failed.
pub fn run(
    spec: &RunSpec,
    out: &OutputDir,
    resume: &Resume,
    threads: Option<u32>,
    asks: bool,
    control: &Control,
    events: &Events,
) -> Result<Ending> {
    let device = device::choose();
    let threads = device::set_threads(threads);
    let plan = &spec.plan;
    let loading = || events.working(Stage::Loading);
    let base = base::open(&spec.model, out, events)?;
    let tokenizer = ChatTokenizer::load(&base.dir, &base.config)?;
    let options = dataset_options(spec, base.config.vocab_size, threads);
    let stream = Stream::load(spec, &tokenizer, &options, events)?;
    let (training, report, packing) = match &stream {
        Some(stream) => (Rc::clone(stream.first()), DataReport::default(), stream.packed),
        None => {
            let known = ("training_file", spec.training_file_name.as_str());
            let (mut training, mut report) =
                Dataset::load(&spec.training_file, known, &tokenizer, &options, &loading)?;
            let packing = pack_if_it_pays(&mut training, &mut report, spec);
            (Rc::new(training), report, packing)
        }
    };
    let validation = match stream {
        Some(_) => None,
        None => load_validation(spec, &tokenizer, &options, &loading)?,
    };
    if control.is_cancelled() {
        events.emit(&TrainerEvent::Cancelled { step: 0 })?;
        return Ok(Ending::Cancelled);
    }
    let mut reports = Vec::new();
    match &stream {
        Some(stream) => {
            let of_files = stream.reports.iter();
            reports.extend(of_files.map(|(name, _, report)| (name.as_str(), report.to_map())));
        }
        None => reports.push((spec.training_file_name.as_str(), report.to_map())),
    }
    if let (Some((_, report)), Some(name)) = (&validation, &spec.validation_file_name) {
        reports.push((name.as_str(), report.to_map()));
    }
    let (data_report, validation_report) = match &stream {
        Some(stream) => (sum_of(stream, true), Some(sum_of(stream, false))),
        None => (reports[0].1.clone(), reports.get(1).map(|(_, report)| report.clone())),
    };

    let weights = SafetensorsSource::open_dir(&base.dir)?;
    loading()?;
    let mut model = CausalLm::load(&weights, &base.config, device, device::kind(plan.precision))?;
    loading()?;
    let settings = AdapterSettings::of(&plan.adapter);
    model.attach(&settings, &mut Rng::new(plan.seed, INIT_STREAM))?;
    if settings == AdapterSettings::Full {
        // The base may be stored in more than the format that is computed in.
        model.load_masters(&weights)?;
    }
    drop(weights);
    loading()?;
    let sampler = sampler(plan, &training);
    let (training_data, validation_data) = match &stream {
        Some(stream) => {
            let (training, measured) = stream.binding();
            (training, Some(measured))
        }
        None => (
            training.sha256.clone(),
            validation.as_ref().map(|(dataset, _)| dataset.sha256.clone()),
        ),
    };
    let binding = Binding {
        plan: plan_sha256(spec)?,
        training_data,
        validation_data,
        model: base::fingerprint(&base.dir)?,
    };
    let mut session = Session {
        plan,
        optimizer: AdamW::new(model.parameters().share(), adamw_settings(plan))?,
        schedule: schedule(plan, sampler.total_steps()),
        sampler,
        training,
        validation: validation.map(|(dataset, _)| Rc::new(dataset)),
        micro_batch_size: spec.micro_batch_size.unwrap_or(plan.batching.micro_batch_size).max(1),
        pad: tokenizer.pad_token_id,
        checkpoints: out.checkpoints(),
        saved_step: None,
        adapter: AdapterDescription {
            base_model: spec.model_name.clone(),
            base_dir: base.dir.clone(),
            settings: settings.clone(),
            model: base.config.clone(),
            target_suffixes: model.target_suffixes(),
        },
        model,
        state: RunState::new(binding, format!("{}, {threads} threads", device::name(device))),
        control,
        events,
        mode: Mode::default(),
        place: StepPlace::default(),
    };
    if let Some(stream) = &stream {
        stream.enter(&mut session)?;
    }
    let resumed_from_step = go_on(&mut session, resume, stream.as_ref())?;
    if let Some(stream) = &stream {
        stream.set_course(&mut session)?;
    }
    if let Some(privacy) = &plan.privacy {
        let reservations = match asks {
            true => Reservations::Agent,
            false => {
                let path = out.path.join(local::FILE);
                let ledger = LocalLedger::open(path, privacy, &session.training.sha256)?;
                Reservations::Local(Box::new(ledger))
            }
        };
        let (units, tokens) = (session.training.units(), (report.tokens, report.target_tokens));
        let place = (threads, session.state.step);
        let parameters = session.model.parameters();
        let private = Private::new(privacy, units, tokens, parameters, place, reservations)?;
        session.state.privacy.get_or_insert_with(|| private.start());
        session.mode = Mode::Private(Box::new(private));
    }
    loading()?;
    let trainable: usize =
        session.optimizer.parameters()?.iter().map(|(_, parameter)| parameter.numel()).sum();
    events.emit(&TrainerEvent::Started(Started {
        device: device::name(device).to_string(),
        parameters: session.model.parameter_count() as u64 + trainable as u64,
        trainable_parameters: trainable as u64,
        total_steps: session.place.first_step
            + session.sampler.total_steps()
            + session.place.later_steps,
        resumed_from_step,
        packing,
        data_report,
        validation_report,
        training_data_sha256: session.training.sha256.clone(),
    }))?;

    let ending = match &stream {
        Some(stream) => stream.train(&mut session)?,
        None => session.train()?,
    };
    session.settle()?;
    match ending {
        Ending::Done => {
            let finished =
                export::export(&mut session, spec, stream.as_ref(), &tokenizer, &reports, out)?;
            events.emit(&TrainerEvent::Finished(finished))?;
        }
        Ending::Stopped => events.emit(&TrainerEvent::Stopped { step: session.state.step })?,
        Ending::Cancelled => events.emit(&TrainerEvent::Cancelled { step: session.state.step })?,
    }
    Ok(ending)
}

/// What happened to the lines of the files that are trained on, or of those that are measured, added up.
fn sum_of(stream: &Stream<'_>, trained: bool) -> BTreeMap<String, u64> {
    let mut all = BTreeMap::new();
    for (_, _, report) in stream.reports.iter().filter(|(_, of, _)| *of == trained) {
        for (name, count) in report.to_map() {
            *all.entry(name).or_default() += count;
        }
    }
    all
}

fn dataset_options(spec: &RunSpec, vocab_size: i64, threads: u32) -> DatasetOptions {
    DatasetOptions {
        max_length: (spec.plan.sequence.max_length - spec.plan.adapter.virtual_tokens()) as usize,
        overlong: spec.plan.sequence.overlong,
        vocab_size,
        threads: threads as usize,
        user_field: spec.plan.privacy.as_ref().and_then(|privacy| privacy.user_field.clone()),
    }
}

/// The steps of a run. Those of a private one are counted in units, whatever rows they became.
fn sampler(plan: &Plan, training: &Dataset) -> Sampler {
    let rows = match &plan.privacy {
        Some(privacy) => privacy.population.units() as usize,
        None => training.len(),
    };
    Sampler::new(rows, plan.batch_size as usize, plan.epochs as usize, plan.seed)
}

/// Packs if the plan says so, or leaves it to the rule and padding would waste too much; whether it did.
pub(crate) fn pack_if_it_pays(
    training: &mut Dataset,
    report: &mut DataReport,
    spec: &RunSpec,
) -> bool {
    let plan = &spec.plan;
    let packing = plan.sequence.packing.resolve(|| {
        let mut rows: Vec<usize> = (0..training.len()).collect();
        Rng::new(plan.seed, 0).shuffle(&mut rows);
        // As the loop does it: rows of like length share a micro-batch inside an effective batch.
        for batch in rows.chunks_mut(plan.batch_size as usize) {
            batch.sort_by_key(|&row| training.row_length(row));
        }
        let micro = plan.batching.micro_batch_size as usize;
        let batches = rows.chunks(plan.batch_size as usize).flat_map(|batch| batch.chunks(micro));
        packing::fill(batches, |row| training.row_length(row)) < packing::FILL_WORTH_PACKING
    });
    if packing {
        let before = match &plan.adapter {
            AdapterPlan::Prompt(prompt) => prompt.num_virtual_tokens as usize,
            // A prefix takes no place in a row.
            _ => 0,
        };
        training.pack(before, report);
    }
    packing
}

fn load_validation(
    spec: &RunSpec,
    tokenizer: &ChatTokenizer,
    options: &DatasetOptions,
    progress: &dyn Fn() -> Result<()>,
) -> Result<Option<(Dataset, DataReport)>> {
    let (Some(path), Some(name)) = (&spec.validation_file, &spec.validation_file_name) else {
        return Ok(None);
    };
    Dataset::load(path, ("validation_file", name), tokenizer, options, progress).map(Some)
}

/// The optimizer's constants of a plan.
pub(crate) fn adamw_settings(plan: &Plan) -> AdamWSettings {
    let OptimizerPlan { betas, eps, weight_decay, .. } = plan.optimizer;
    AdamWSettings { betas, eps, weight_decay }
}

/// The rates of a plan over so many steps.
pub(crate) fn schedule(plan: &Plan, steps: u64) -> Schedule {
    let SchedulePlan { kind, warmup_ratio, min_ratio } = plan.schedule;
    Schedule::new(kind, plan.optimizer.learning_rate, warmup_ratio, min_ratio, steps)
}

fn plan_sha256(spec: &RunSpec) -> Result<String> {
    let json = serde_json::to_vec(&spec.plan)
        .map_err(|error| TrainerError::Checkpoint(error.to_string()))?;
    Ok(hash_bytes(&json))
}

/// Brings the session to where an earlier attempt left it; the step it goes on from.
fn go_on(session: &mut Session<'_>, resume: &Resume, stream: Option<&Stream<'_>>) -> Result<u64> {
    let mut notes = Vec::new();
    let found = match resume {
        Resume::Never => {
            directory::remove(&session.checkpoints)?;
            None
        }
        Resume::Auto => {
            checkpoint::sweep(&session.checkpoints)?;
            checkpoint::newest(&session.checkpoints, &mut notes)?.map(|(directory, _)| directory)
        }
        Resume::From(directory) => {
            manifest::verify(directory)?;
            Some(directory.clone())
        }
    };
    for note in notes {
        session.events.log("warn", note)?;
    }
    let Some(found) = found else { return Ok(0) };
    let machine = session.state.machine.clone();
    session.state = checkpoint::read_state(&found, &session.state)?;
    let tensors = match stream {
        Some(stream) => {
            let tensors = SafetensorsSource::open_file(&found.join(checkpoint::STAGED))?;
            stream.resume(session, &tensors)?;
            Some(tensors)
        }
        None => None,
    };
    checkpoint::read_moments(&found, &mut session.optimizer)?;
    session.optimizer.step = session.state.step - session.place.first_step;
    if let Some(rows) = session.state.micro_batch_size {
        session.micro_batch_size = session.micro_batch_size.min(rows);
    }
    if session.micro_batch_size < session.plan.batching.micro_batch_size {
        session.state.micro_batch_size = Some(session.micro_batch_size);
    }
    let training = tensors.as_ref().map(|tensors| tensors.tensor("training")).transpose()?;
    match training.flatten() {
        Some(values) => {
            let _no_grad = tch::no_grad_guard();
            session.model.parameters().values.shallow_clone().f_copy_(&values)?;
        }
        None => {
            let weights = found.join(session.adapter.weights());
            session.model.load_adapter(&SafetensorsSource::open_file(&weights)?)?;
        }
    }
    if session.state.machine != machine {
        let message = format!(
            "the checkpoint was computed on {}; going on with {machine}, the last bits may differ",
            session.state.machine
        );
        session.events.log("warn", message)?;
        session.state.machine = machine;
    }
    if *resume == Resume::Auto {
        session.saved_step = Some(session.state.step);
    }
    Ok(session.state.step)
}

//! Times training steps on a model: the trainer's side of the benchmark beside the peers.

use std::io::{Write, stdin, stdout};
use std::path::Path;
use std::time::Instant;

use serde_json::{Value, json};
use tch::{Device, Kind, Tensor};
use trainyard_openapi::error::ErrorCode;
use trainyard_openapi::extension::{Clipping, TargetModules};
use trainyard_plan::PrivacyPlan;
use trainyard_privacy::unit::{self, Population};
use trainyard_privacy::{Accounting, Budget, Phase, PrivacyError};

use crate::arch::config::ModelConfig;
use crate::arch::{CausalLm, ModelBatch, StepOptions};
use crate::cli::{BenchArgs, BenchStepArgs};
use crate::data::Sequences;
use crate::device;
use crate::error::{Result, TrainerError};
use crate::objective::cross_entropy::LossSums;
use crate::optim::adamw::{AdamW, AdamWSettings};
use crate::optim::clip::{clip_scale, global_norm};
use crate::optim::parameters::Parameters;
use crate::peft::AdapterSettings;
use crate::peft::lora::LoraSettings;
use crate::privacy::ghost::Written;
use crate::privacy::reserve::Reservations;
use crate::privacy::units::Units;
use crate::rng::Rng;
use crate::train::private::{Private, Sum};
use crate::weights::safetensors::SafetensorsSource;

/// Runs the steps; tokens a second (median), seconds of each step, losses, and the process's peak memory.
///
/// # Errors
/// As loading and libtorch report.
pub fn bench_step(args: &BenchStepArgs) -> Result<Value> {
    let begun = Instant::now();
    let shape = &args.shape;
    let device = device::named(shape.device)?;
    device::set_threads(Some(shape.threads));
    let config = ModelConfig::read(&shape.model.join("config.json"))?;
    let source = SafetensorsSource::open_dir(&shape.model)?;
    let mut model = CausalLm::load(&source, &config, device, shape.precision.kind())?;
    let settings = match args.full {
        true => AdapterSettings::Full,
        false => AdapterSettings::Lora(LoraSettings {
            rank: shape.rank,
            alpha: 2.0 * shape.rank as f64,
            dropout: 0.0,
            target_modules: TargetModules::AllLinear,
            rslora: false,
        }),
    };
    model.attach(&settings, &mut Rng::new(0, 0))?;
    if args.full {
        model.load_masters(&source)?;
    }
    drop(source);
    let rate = if args.full { 2e-5 } else { 1e-4 };
    let load_seconds = begun.elapsed().as_secs_f64();
    if args.plain {
        model.set_plain();
    }
    let adamw = AdamWSettings { betas: [0.9, 0.999], eps: 1e-8, weight_decay: 0.0 };
    let mut optimizer = AdamW::new(model.parameters().share(), adamw)?;
    let batch = batch(shape, args.tokens.as_deref(), config.vocab_size, device)?;
    let options = StepOptions {
        gradient_checkpointing: args.gradient_checkpointing,
        ..StepOptions::default()
    };
    let targets = shape.batch * (shape.length - 1);
    let mut private = args.private.then(|| private(shape, model.parameters())).transpose()?;
    let (mut seconds, mut losses) = (Vec::new(), Vec::new());
    let mut first_step_seconds = None;
    while next_step(args, losses.len())? {
        let start = Instant::now();
        let mut clipping = 1.0;
        let stats = match &mut private {
            None => {
                let sums = model.accumulate_gradients(&batch, 1.0 / targets as f64, &options)?;
                let (stats, norm) = sums.read_with(&global_norm(&optimizer.gradients())?)?;
                clipping = clip_scale(norm, Some(1.0));
                stats
            }
            Some(private) => {
                let mut gradients = optimizer.gradients();
                private_gradients(private, &model, &mut gradients, &batch, &options)?.read()?
            }
        };
        optimizer.update(rate, clipping)?;
        device::finish(device);
        losses.push(stats.mean_loss());
        let took = start.elapsed().as_secs_f64();
        match first_step_seconds {
            None => first_step_seconds = Some(begun.elapsed().as_secs_f64()),
            Some(_) => seconds.push(took),
        }
        if args.turns {
            writeln!(stdout(), "{took}").map_err(TrainerError::io("standard output"))?;
        }
    }
    let mut sorted = seconds.clone();
    sorted.sort_by(f64::total_cmp);
    let median = sorted.get(sorted.len() / 2).copied().unwrap_or(f64::NAN);
    Ok(json!({
        "tokens_per_second": (shape.batch * shape.length) as f64 / median,
        "step_seconds": seconds,
        "load_seconds": load_seconds,
        "first_step_seconds": first_step_seconds,
        "peak_rss_bytes": peak_rss_bytes(),
        "peak_device_bytes": device::memory(device)?.map(|memory| memory.peak),
        "losses": losses,
        "device": device::name(device),
    }))
}

/// Whether there is a step to take after so many: the first one always, which loads and makes what the others use again.
fn next_step(args: &BenchStepArgs, taken: usize) -> Result<bool> {
    if taken == 0 || !args.turns {
        return Ok(taken <= args.steps);
    }
    let bytes = stdin().read_line(&mut String::new());
    Ok(bytes.map_err(TrainerError::io("standard input"))? > 0)
}

/// A private run of as many units as make this batch the expected one.
fn private(shape: &BenchArgs, parameters: &Parameters) -> Result<Private> {
    let units = (shape.batch * 100) as u64;
    let broken = |error: PrivacyError| TrainerError::Privacy(error.to_string());
    let population = Population::new(unit::PrivacyUnit::Example, units).map_err(broken)?;
    let plan = PrivacyPlan {
        population,
        user_field: None,
        phase: Phase::new(
            1.0,
            population.sampling_rate(shape.batch as f64).map_err(broken)?,
            1_000,
        )
        .map_err(broken)?,
        limit: Budget::new(8.0, population.default_delta()).map_err(broken)?,
        accounting: Accounting::Prv,
        expected_epsilon: 8.0,
        clipping: Clipping::Flat,
        clip_norm: 1.0,
        count_noise: None,
    };
    let lines = (0..units as u32).map(|line| line..line + 1).collect();
    let place = (shape.threads, 0);
    Private::new(&plan, Units::new(lines, None), (0, 0), parameters, place, Reservations::Agent)
}

/// The gradient of a private step over `batch`, whose rows are the units.
fn private_gradients(
    private: &mut Private,
    model: &CausalLm,
    sum_p: &mut Tensor,
    batch: &ModelBatch,
    options: &StepOptions,
) -> Result<LossSums> {
    let (rows, length) = batch.input_ids.size2()?;
    let writing = Written::WhereCheaper(length);
    let room = private.room((rows as usize, rows as usize), writing, sum_p)?;
    let weights = vec![1.0 / (length - 1) as f32; rows as usize];
    let units = Some((room.rows((0..rows).collect())?, weights));
    let sums = model.accumulate_gradients(batch, 1.0, &StepOptions { units, ..options.clone() })?;
    let mut state = private.start();
    let below = private.fold(rows as usize, &state, sum_p)?;
    private.release(sum_p, &Sum { drawn: rows as usize, below }, &mut state)?;
    Ok(sums)
}

fn batch(
    args: &BenchArgs,
    tokens: Option<&Path>,
    vocab_size: i64,
    device: Device,
) -> Result<ModelBatch> {
    let ids: Vec<i64> = match tokens {
        Some(path) => {
            let text = std::fs::read(path).map_err(TrainerError::io(path))?;
            let rows: Vec<Vec<i64>> = serde_json::from_slice(&text).map_err(|error| {
                let param = Some("--tokens".to_string());
                TrainerError::request(ErrorCode::InvalidValue, param, error.to_string())
            })?;
            rows.concat()
        }
        None => {
            let mut rng = Rng::new(1, 1);
            (0..args.batch * args.length).map(|_| rng.below(vocab_size as u64) as i64).collect()
        }
    };
    let input_ids = Tensor::f_from_slice(&ids)?.f_view([args.batch, args.length])?;
    let position_ids = Tensor::f_arange(args.length, (Kind::Int64, Device::Cpu))?.f_unsqueeze(0)?;
    let sequences = Sequences::whole(args.batch as usize, args.length as usize);
    ModelBatch::new(&input_ids, &input_ids, &position_ids, sequences, device)
}

/// The largest resident set that the kernel saw of this process.
fn peak_rss_bytes() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.trim().strip_suffix(" kB")?.trim().parse::<u64>().ok().map(|kib| kib * 1024)
}

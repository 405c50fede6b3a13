//! Times training steps on a model: the trainer's side of the benchmark beside the peers.

use std::path::Path;
use std::time::Instant;

use serde_json::{Value, json};
use tch::{Device, Kind, Tensor};
use trainyard_openapi::error::ErrorCode;
use trainyard_openapi::extension::TargetModules;

use crate::arch::config::ModelConfig;
use crate::arch::{CausalLm, ModelBatch, StepOptions};
use crate::cli::{BenchArgs, BenchStepArgs};
use crate::device;
use crate::error::{Result, TrainerError};
use crate::optim::adamw::{AdamW, AdamWSettings};
use crate::optim::clip::clip_global_norm;
use crate::peft::lora::LoraSettings;
use crate::rng::Rng;
use crate::weights::safetensors::SafetensorsSource;

/// Runs the steps; tokens a second (median), seconds of each step, losses, and the process's peak memory.
///
/// # Errors
/// As loading and libtorch report.
pub fn bench_step(args: &BenchStepArgs) -> Result<Value> {
    let begun = Instant::now();
    let shape = &args.shape;
    let device = device::choose();
    device::set_threads(Some(shape.threads));
    let config = ModelConfig::read(&shape.model.join("config.json"))?;
    let source = SafetensorsSource::open_dir(&shape.model)?;
    let mut model = CausalLm::load(&source, &config, device, shape.precision.kind())?;
    let settings = LoraSettings {
        rank: shape.rank,
        alpha: 2.0 * shape.rank as f64,
        dropout: 0.0,
        target_modules: TargetModules::AllLinear,
        rslora: false,
    };
    model.attach_lora(&settings, &mut Rng::new(0, 0))?;
    if args.plain {
        model.set_plain();
    }
    let adamw = AdamWSettings { betas: [0.9, 0.999], eps: 1e-8, weight_decay: 0.0 };
    let mut optimizer = AdamW::new(model.parameters().share(), adamw)?;
    let batch = batch(shape, args.tokens.as_deref(), config.vocab_size, device)?;
    let options =
        StepOptions { gradient_checkpointing: args.gradient_checkpointing, dropout: None };
    let targets = shape.batch * (shape.length - 1);
    let (mut seconds, mut losses) = (Vec::new(), Vec::new());
    let mut first_step_seconds = 0.0;
    for step in 0..=args.steps {
        let start = Instant::now();
        let stats = model.accumulate_gradients(&batch, 1.0 / targets as f64, &options)?;
        clip_global_norm(&mut optimizer.gradients(), Some(1.0))?;
        optimizer.update(1e-4)?;
        losses.push(stats.mean_loss());
        match step {
            0 => first_step_seconds = begun.elapsed().as_secs_f64(),
            _ => seconds.push(start.elapsed().as_secs_f64()),
        }
    }
    let mut sorted = seconds.clone();
    sorted.sort_by(f64::total_cmp);
    let median = sorted.get(sorted.len() / 2).copied().unwrap_or(f64::NAN);
    Ok(json!({
        "tokens_per_second": (shape.batch * shape.length) as f64 / median,
        "step_seconds": seconds,
        "first_step_seconds": first_step_seconds,
        "peak_rss_bytes": peak_rss_bytes(),
        "losses": losses,
        "device": device::name(device),
    }))
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
    let input_ids =
        Tensor::f_from_slice(&ids)?.f_view([args.batch, args.length])?.f_to_device(device)?;
    let position_ids = Tensor::f_arange(args.length, (Kind::Int64, device))?.f_unsqueeze(0)?;
    Ok(ModelBatch { labels: input_ids.shallow_clone(), input_ids, position_ids, segment_ids: None })
}

/// The largest resident set that the kernel saw of this process.
fn peak_rss_bytes() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.trim().strip_suffix(" kB")?.trim().parse::<u64>().ok().map(|kib| kib * 1024)
}

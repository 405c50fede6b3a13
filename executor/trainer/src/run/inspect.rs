//! Looks at a run's files as training would, and trains nothing: tokens counted, bad lines listed, the machine's rate measured.

use std::time::{Duration, Instant};

use trainyard_plan::trainer::{InspectedFile, Inspection, RunSpec};

use super::{dataset_options, pack_if_it_pays, sampler};
use crate::arch::config::ModelConfig;
use crate::data::{ChatTokenizer, Dataset};
use crate::device;
use crate::error::{Result, TrainerError};

/// How long the machine's rate is measured, after one product that is not timed.
const MEASURE: Duration = Duration::from_millis(300);
/// Rows of the products that are timed: a micro-batch of usual size.
const MEASURE_ROWS: i64 = 1024;

/// Looks at the files of `spec`. The base model must be a directory.
///
/// # Errors
/// Where model or files cannot be read.
pub fn inspect(spec: &RunSpec, threads: Option<u32>) -> Result<Inspection> {
    let device = device::choose();
    let threads = device::set_threads(threads);
    let config = ModelConfig::read(&spec.model.join("config.json"))?;
    let tokenizer = ChatTokenizer::load(&spec.model, &config)?;
    let options = dataset_options(spec, config.vocab_size, threads);
    let (mut training, mut report, errors, error_count) =
        Dataset::examine(&spec.training_file, &tokenizer, &options)?;
    let packing = !training.is_empty() && pack_if_it_pays(&mut training, &mut report, spec);
    let total_steps = match training.is_empty() {
        true => 0,
        false => sampler(&spec.plan, &training).total_steps(),
    };
    let training = InspectedFile { report: report.to_map(), errors, error_count };
    let validation = match &spec.validation_file {
        Some(path) => {
            let (_, report, errors, error_count) = Dataset::examine(path, &tokenizer, &options)?;
            Some(InspectedFile { report: report.to_map(), errors, error_count })
        }
        None => None,
    };
    let kind = device::kind(spec.plan.precision);
    let shape = (config.hidden_size, config.intermediate_size);
    let matmul_flops_per_second = rate(shape, (kind, device))?;
    Ok(Inspection { training, validation, packing, total_steps, matmul_flops_per_second })
}

/// Floating-point operations a second of products `[rows, hidden] x [hidden, intermediate]`.
fn rate((hidden, wide): (i64, i64), options: (tch::Kind, tch::Device)) -> Result<f64> {
    let _guard = tch::no_grad_guard();
    let torch = |error: tch::TchError| TrainerError::from(error);
    let rows = tch::Tensor::f_ones([MEASURE_ROWS, hidden], options).map_err(torch)?;
    let weights = tch::Tensor::f_ones([hidden, wide], options).map_err(torch)?;
    let product = || rows.f_matmul(&weights).and_then(|out| out.f_get(0)?.f_get(0)).map_err(torch);
    // Reading a number waits for the device.
    product()?.f_double_value(&[]).map_err(torch)?;
    let (begun, mut products) = (Instant::now(), 0_u32);
    while begun.elapsed() < MEASURE {
        product()?.f_double_value(&[]).map_err(torch)?;
        products += 1;
    }
    let operations = 2.0 * MEASURE_ROWS as f64 * hidden as f64 * wide as f64 * f64::from(products);
    Ok(operations / begun.elapsed().as_secs_f64())
}

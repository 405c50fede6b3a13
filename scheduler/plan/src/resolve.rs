//! Resolves a request: defaults, limits, and the rules behind each `"auto"`.

use std::collections::BTreeMap;

use trainyard_openapi::auto::Auto;
use trainyard_openapi::error::ApiError;
use trainyard_openapi::extension::{
    Batching, Checkpointing, EarlyStopping, Evaluation, Extension, Optimizer, Precision, Resources,
    Schedule, Sequence, Strategy,
};
use trainyard_openapi::job::CreateJob;
use trainyard_openapi::limits;
use trainyard_openapi::method::{Hyperparameters, MethodKind};

use crate::adapter::resolve_adapter;
use crate::check::{invalid, not_available, positive, text, within};
use crate::continual::{ContinualPlan, resolve_continual};
use crate::facts::{DataFacts, HostFacts, ModelFacts, StreamFacts};
use crate::lineage::{as_before, check_growth, grows};
use crate::memory::activation_bytes;
use crate::plan::{
    BatchingPlan, CheckpointPlan, EarlyStoppingPlan, EvaluationPlan, OptimizerPlan, Plan,
    SchedulePlan, SequencePlan,
};
use crate::privacy::{self, resolve_privacy};

/// `"auto"` aims at about so many optimizer steps in a pass, so that the schedule has room on small files.
const STEPS_PER_EPOCH_AIM: u64 = 64;
/// `"auto"` aims at about so many optimizer steps in all on small files.
const STEPS_AIM: u64 = 150;
/// Evaluations that `"auto"` spreads over a run: enough to see the turn, few enough not to cost.
const EVALUATIONS_AIM: u64 = 10;
/// Micro-batches that `"auto"` chooses on a processor, where larger ones only cost memory.
const CPU_MICRO_BATCH: u32 = 4;

/// Resolves `request`, whose default seed is `seed`. `data` is of the job's own training file; `stream` of its stages and of the earlier
/// result that it names as its model, where it has any.
///
/// # Errors
/// An error of the contract whose `param` names the field; nothing that passes here is refused later for its
/// settings.
pub fn resolve(
    request: &CreateJob,
    seed: u64,
    data: DataFacts,
    stream: &StreamFacts,
    model: &ModelFacts,
    host: HostFacts,
) -> Result<Plan, ApiError> {
    let CreateJob {
        model: _,
        training_file: _,
        validation_file: _,
        suffix,
        seed: wanted_seed,
        metadata,
        hyperparameters,
        method,
        integrations,
        trainyard,
    } = request;
    if let Some(suffix) = suffix {
        check_suffix(suffix)?;
    }
    if let Some(metadata) = metadata {
        check_metadata(metadata)?;
    }
    if integrations.as_ref().is_some_and(|list| !list.is_empty()) {
        return Err(not_available("integrations", "reporting to experiment trackers"));
    }
    let seed = within("seed", wanted_seed.unwrap_or(seed), 0..=limits::SEED_MAX)?;
    let (path, hyper) = match (method, hyperparameters) {
        (Some(method), None) => match method.kind {
            MethodKind::Supervised => {
                let hyper = method.supervised.clone().unwrap_or_default().hyperparameters;
                ("method.supervised.hyperparameters", hyper)
            }
            MethodKind::Dpo => return Err(not_available("method.type", "'dpo'")),
            MethodKind::Reinforcement => {
                return Err(not_available("method.type", "'reinforcement'"));
            }
        },
        (None, Some(hyper)) => ("hyperparameters", hyper.clone()),
        (None, None) => ("hyperparameters", Hyperparameters::default()),
        (Some(_), Some(_)) => {
            return Err(invalid(
                "hyperparameters",
                "give either 'method' or 'hyperparameters', not both",
            ));
        }
    };
    let Extension {
        adapter,
        optimizer,
        schedule,
        precision,
        sequence,
        batching,
        checkpoint,
        evaluation,
        early_stopping,
        data: cleaning,
        privacy,
        continual: _,
        resources,
        // Not part of the plan: the scheduler checks it and keeps it apart.
        webhook: _,
    } = trainyard.clone().unwrap_or_default();
    if cleaning.is_some() {
        return Err(not_available("trainyard.data", "data cleaning"));
    }
    let continual = resolve_continual(request, stream)?;
    let stages = stage_examples(continual.as_ref(), stream, data)?;

    // What batches and passes are counted in, and how they are chosen.
    let (units, batch_max) = match &privacy {
        Some(privacy) => (privacy::units(privacy, data)?, limits::PRIVATE_BATCH_SIZE_MAX),
        // Of several stages the mean: each is batched by itself.
        None => (stages.iter().sum::<u64>() / stages.len() as u64, limits::BATCH_SIZE_MAX),
    };
    let batch_size = hyper.batch_size.resolve(|| match &privacy {
        Some(_) => privacy::auto_batch_size(units),
        None => auto_batch_size(units),
    });
    within(&format!("{path}.batch_size"), batch_size, 1..=batch_max)?;
    let epochs = hyper.n_epochs.resolve(|| match &privacy {
        Some(_) => privacy::auto_epochs(units, batch_size, STEPS_AIM),
        None => auto_epochs(units * stages.len() as u64, batch_size),
    });
    within(&format!("{path}.n_epochs"), epochs, 1..=limits::EPOCHS_MAX)?;
    let multiplier = hyper.learning_rate_multiplier.resolve(|| 1.0);
    positive(&format!("{path}.learning_rate_multiplier"), multiplier)?;
    let steps_of = |examples: u64| examples.div_ceil(u64::from(batch_size)) * u64::from(epochs);
    let total_steps = match &privacy {
        Some(_) => steps_of(units),
        None => stages.iter().copied().map(steps_of).sum(),
    };

    let precision = resolve_precision(precision, host)?;
    if early_stopping.is_some() && request.validation_file.is_none() {
        return Err(invalid(
            "trainyard.early_stopping",
            "early stopping needs a 'validation_file'",
        ));
    }
    let mut sequence = resolve_sequence(sequence, model)?;
    let adapter = match &stream.parent {
        None => adapter,
        Some(parent) => as_before(adapter, parent, grows(continual.as_ref()))?,
    };
    let adapter = resolve_adapter(adapter, model, &sequence, continual.as_ref())?;
    if let Some(lora) = adapter.lora() {
        check_growth(lora.rank, continual.as_ref())?;
    }
    let default_rate = adapter.learning_rate() * multiplier;
    let mut optimizer = resolve_optimizer(optimizer, default_rate)?;
    let privacy = match privacy {
        Some(privacy) => {
            keep_units_apart(&mut sequence)?;
            // Each unit is cut already; the noise would make the default limit on the sum a different one at every size of model.
            optimizer.max_grad_norm = optimizer
                .max_grad_norm
                .filter(|norm| Some(*norm) != Optimizer::default().max_grad_norm);
            Some(resolve_privacy(privacy, units, batch_size, total_steps)?)
        }
        None => None,
    };
    Ok(Plan {
        seed,
        epochs,
        batch_size,
        learning_rate_multiplier: multiplier,
        adapter,
        optimizer,
        schedule: resolve_schedule(schedule)?,
        precision,
        batching: resolve_batching(batching, batch_size, &sequence, precision, model, host)?,
        sequence,
        checkpoint: resolve_checkpoint(checkpoint)?,
        evaluation: resolve_evaluation(evaluation, total_steps)?,
        early_stopping: early_stopping.map(resolve_early_stopping).transpose()?,
        privacy,
        continual,
        resources: resolve_resources(resources)?,
    })
}

/// Examples of each stage as it is trained: at least one stage, which is the job's own file where it has no others.
fn stage_examples(
    continual: Option<&ContinualPlan>,
    stream: &StreamFacts,
    data: DataFacts,
) -> Result<Vec<u64>, ApiError> {
    let Some(plan) = continual.filter(|plan| plan.stages.len() > 1) else {
        return Ok(vec![data.examples]);
    };
    let (stages, counted) = (plan.stages.len(), stream.stage_examples.len());
    if stages != counted {
        let text = format!("the lines of {counted} files were counted, not of {stages}");
        return Err(invalid("trainyard.continual.stages", text));
    }
    let joint = plan.strategies.iter().any(|strategy| matches!(strategy, Strategy::Joint(_)));
    Ok(match joint {
        true => vec![stream.stage_examples.iter().sum()],
        false => stream.stage_examples.clone(),
    })
}

fn check_suffix(suffix: &str) -> Result<(), ApiError> {
    text("suffix", suffix, limits::SUFFIX_CHARS_MAX)?;
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    match suffix.chars().find(|c| !plain(*c)) {
        // The suffix becomes part of a model name, which must fit a URL path.
        Some(other) => Err(invalid(
            "suffix",
            format!("may contain letters, digits, '-', '_' and '.', not {other:?}"),
        )),
        None => Ok(()),
    }
}

fn check_metadata(metadata: &BTreeMap<String, String>) -> Result<(), ApiError> {
    let pairs = metadata.len();
    if pairs > limits::METADATA_PAIRS_MAX {
        let limit = limits::METADATA_PAIRS_MAX;
        return Err(invalid("metadata", format!("may have at most {limit} pairs, not {pairs}")));
    }
    for (key, value) in metadata {
        text("metadata", key, limits::METADATA_KEY_CHARS_MAX)?;
        let chars = value.chars().count();
        if chars > limits::METADATA_VALUE_CHARS_MAX {
            let limit = limits::METADATA_VALUE_CHARS_MAX;
            let param = format!("metadata.{key}");
            return Err(invalid(
                &param,
                format!("may have at most {limit} characters, not {chars}"),
            ));
        }
    }
    Ok(())
}

/// The power of two nearest below a 64th of the examples, 1 to 16: small batches suit `LoRA`, and a pass keeps
/// enough steps.
fn auto_batch_size(examples: u64) -> u32 {
    let target = (examples / STEPS_PER_EPOCH_AIM).clamp(1, 16);
    1 << target.ilog2()
}

/// Three passes; more, up to ten, where the file is so small that three would be too few steps to learn from.
fn auto_epochs(examples: u64, batch_size: u32) -> u32 {
    let steps_per_epoch = examples.div_ceil(u64::from(batch_size.max(1))).max(1);
    u32::try_from(STEPS_AIM.div_ceil(steps_per_epoch).clamp(3, 10)).unwrap_or(3)
}

fn resolve_precision(precision: Auto<Precision>, host: HostFacts) -> Result<Precision, ApiError> {
    let precision =
        precision.resolve(|| if host.fast_bf16 { Precision::Bf16 } else { Precision::Fp32 });
    if precision == Precision::Fp16 {
        // fp16 needs loss scaling; bf16 gives the same speed without it wherever fp16 has fast kernels.
        return Err(not_available("trainyard.precision", "'fp16' (use 'bf16')"));
    }
    Ok(precision)
}

fn resolve_optimizer(optimizer: Optimizer, default_rate: f64) -> Result<OptimizerPlan, ApiError> {
    let Optimizer { kind: _, learning_rate, betas, eps, weight_decay, max_grad_norm } = optimizer;
    let learning_rate = match learning_rate {
        Some(rate) => positive("trainyard.optimizer.learning_rate", rate)?,
        None => default_rate,
    };
    within("trainyard.optimizer.learning_rate", learning_rate, 0.0..=10.0)?;
    for beta in betas {
        if !(0.0..1.0).contains(&beta) {
            return Err(invalid(
                "trainyard.optimizer.betas",
                format!("must be from 0 to below 1, not {beta}"),
            ));
        }
    }
    positive("trainyard.optimizer.eps", eps)?;
    within("trainyard.optimizer.weight_decay", weight_decay, 0.0..=10.0)?;
    if let Some(norm) = max_grad_norm {
        positive("trainyard.optimizer.max_grad_norm", norm)?;
    }
    Ok(OptimizerPlan { learning_rate, betas, eps, weight_decay, max_grad_norm })
}

fn resolve_schedule(schedule: Schedule) -> Result<SchedulePlan, ApiError> {
    let Schedule { kind, warmup_ratio, min_ratio } = schedule;
    within("trainyard.schedule.warmup_ratio", warmup_ratio, 0.0..=1.0)?;
    within("trainyard.schedule.min_ratio", min_ratio, 0.0..=1.0)?;
    Ok(SchedulePlan { kind, warmup_ratio, min_ratio })
}

fn resolve_sequence(sequence: Sequence, model: &ModelFacts) -> Result<SequencePlan, ApiError> {
    let Sequence { max_length, packing, overlong } = sequence;
    let limit = u32::try_from(model.context_length).unwrap_or(u32::MAX);
    // The default must not make a model of a shorter context unusable; a client's own value is held to it.
    let max_length = if max_length == Sequence::default().max_length {
        max_length.min(limit)
    } else {
        max_length
    };
    within("trainyard.sequence.max_length", max_length, 8..=limit.max(8))?;
    Ok(SequencePlan { max_length, packing, overlong })
}

/// Rows of several units in one would share their attention and their gradient.
fn keep_units_apart(sequence: &mut SequencePlan) -> Result<(), ApiError> {
    if sequence.packing == Auto::Value(true) {
        let text = "must be false or \"auto\" in a private job: a packed row holds several units";
        return Err(invalid("trainyard.sequence.packing", text));
    }
    sequence.packing = Auto::Value(false);
    Ok(())
}

fn resolve_batching(
    batching: Batching,
    batch_size: u32,
    sequence: &SequencePlan,
    precision: Precision,
    model: &ModelFacts,
    host: HostFacts,
) -> Result<BatchingPlan, ApiError> {
    let Batching { micro_batch_size, gradient_checkpointing } = batching;
    let aim = if host.cuda { batch_size } else { CPU_MICRO_BATCH };
    let micro = micro_batch_size.resolve(|| aim.min(batch_size));
    within("trainyard.batching.micro_batch_size", micro, 1..=batch_size)?;
    let checkpointing = gradient_checkpointing.resolve(|| {
        let rows = u64::from(micro) * u64::from(sequence.max_length);
        activation_bytes(model, rows, precision) > host.memory_bytes / 2
    });
    Ok(BatchingPlan { micro_batch_size: micro, gradient_checkpointing: checkpointing })
}

fn resolve_checkpoint(checkpoint: Checkpointing) -> Result<CheckpointPlan, ApiError> {
    let Checkpointing { every_steps, every_seconds, keep } = checkpoint;
    if let Some(steps) = every_steps {
        within("trainyard.checkpoint.every_steps", steps, 1..=u32::MAX)?;
    }
    if let Some(seconds) = every_seconds {
        within("trainyard.checkpoint.every_seconds", seconds, 1..=86_400)?;
    }
    within("trainyard.checkpoint.keep", keep, 1..=1_000)?;
    Ok(CheckpointPlan { every_steps, every_seconds, keep })
}

fn resolve_evaluation(
    evaluation: Evaluation,
    total_steps: u64,
) -> Result<EvaluationPlan, ApiError> {
    let Evaluation { every_steps, metrics } = evaluation;
    let every_steps = match every_steps {
        Auto::Auto => {
            u32::try_from(total_steps.div_ceil(EVALUATIONS_AIM).max(1)).unwrap_or(u32::MAX)
        }
        Auto::Value(steps) => within("trainyard.evaluation.every_steps", steps, 1..=u32::MAX)?,
    };
    Ok(EvaluationPlan { every_steps: Some(every_steps), metrics })
}

fn resolve_early_stopping(early: EarlyStopping) -> Result<EarlyStoppingPlan, ApiError> {
    let EarlyStopping { patience, min_delta } = early;
    within("trainyard.early_stopping.patience", patience, 1..=10_000)?;
    within("trainyard.early_stopping.min_delta", min_delta, 0.0..=1_000.0)?;
    Ok(EarlyStoppingPlan { patience, min_delta })
}

fn resolve_resources(resources: Resources) -> Result<Resources, ApiError> {
    text("trainyard.resources.pool", &resources.pool, 64)?;
    if resources.devices != 1 {
        return Err(not_available(
            "trainyard.resources.devices",
            format!("training on {} devices", resources.devices),
        ));
    }
    within(
        "trainyard.resources.max_runtime_seconds",
        resources.max_runtime_seconds,
        60..=2_592_000,
    )?;
    Ok(resources)
}

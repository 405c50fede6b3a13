//! What is done against forgetting: settings within their limits, and which strategies go together.

use trainyard_openapi::error::ApiError;
use trainyard_openapi::extension::{
    AGem, Derpp, Ema, Ewc, Lwf, MemoryPolicy, Merge, OLora, Replay, StageOrder, Strategy,
};
use trainyard_openapi::limits;

use crate::check::{invalid, not_available, positive, within};
use crate::continual::{ContinualPlan, PATH};

/// The largest share of remembered examples in a batch.
const RATIO_MAX: f64 = 0.9;
/// The most examples that a memory holds.
const CAPACITY_MAX: u32 = 1_000_000;
/// The same where each carries logits.
const LOGITS_CAPACITY_MAX: u32 = 100_000;
/// The most logits of a token that are kept.
const TOP_K_MAX: u32 = 256;
/// The largest weight of a term of the loss.
const WEIGHT_MAX: f64 = 1e6;
/// The largest weight of EWC's penalty: Fisher information is small.
const LAMBDA_MAX: f64 = 1e12;
/// The largest temperature.
const TEMPERATURE_MAX: f64 = 100.0;

/// The name of a strategy in a request.
pub(crate) const fn name_of(strategy: &Strategy) -> &'static str {
    match strategy {
        Strategy::Replay(_) => "replay",
        Strategy::Derpp(_) => "derpp",
        Strategy::Ewc(_) => "ewc",
        Strategy::Lwf(_) => "lwf",
        Strategy::AGem(_) => "a_gem",
        Strategy::OLora(_) => "o_lora",
        Strategy::Ema(_) => "ema",
        Strategy::Merge(_) => "merge",
        Strategy::Joint(_) => "joint",
    }
}

/// Checks each strategy by itself, then each pair, for a job of `stages` stages after `earlier` ones.
pub(crate) fn check_strategies(
    strategies: &[Strategy],
    stages: usize,
    earlier: usize,
) -> Result<(), ApiError> {
    for (place, strategy) in strategies.iter().enumerate() {
        let path = format!("{PATH}.strategies[{place}]");
        check_settings(&path, strategy, stages, earlier)?;
        for other in &strategies[..place] {
            if let Some(why) = apart(other, strategy) {
                let (first, second) = (name_of(other), name_of(strategy));
                let text = match first == second {
                    true => format!("'{first}' stands there twice"),
                    false => format!("'{first}' and '{second}' do not go together: {why}"),
                };
                return Err(invalid(&path, text));
            }
        }
    }
    Ok(())
}

/// Why two strategies cannot be had together; none where they can.
fn apart(one: &Strategy, other: &Strategy) -> Option<&'static str> {
    if name_of(one) == name_of(other) {
        return Some("once is enough");
    }
    let pair = |a: &str, b: &str| {
        let names = (name_of(one), name_of(other));
        names == (a, b) || names == (b, a)
    };
    let has = |name: &str| name_of(one) == name || name_of(other) == name;
    if has("joint") {
        return Some("'joint' trains all stages at once, so that there is nothing to forget");
    }
    if pair("derpp", "replay") {
        return Some("DER++ replays examples itself");
    }
    if has("merge") && !has("replay") {
        return Some(
            "'merge' trains each stage's adapter from the start, with no adapter of the stage before to hold on to",
        );
    }
    if pair("o_lora", "ema") {
        return Some(
            "'o_lora' gives every stage parameters of its own, which 'ema' has nothing to average with",
        );
    }
    if pair("o_lora", "ewc") {
        return Some("'o_lora' freezes the parameters that 'ewc' would hold in place");
    }
    None
}

fn check_settings(
    path: &str,
    strategy: &Strategy,
    stages: usize,
    earlier: usize,
) -> Result<(), ApiError> {
    let all = stages + earlier;
    match strategy {
        Strategy::Replay(Replay { ratio, capacity, policy }) => {
            check_ratio(path, *ratio)?;
            check_memory(path, *capacity, CAPACITY_MAX, *policy, all)
        }
        Strategy::Derpp(Derpp { ratio, capacity, policy, alpha, beta, top_k }) => {
            check_ratio(path, *ratio)?;
            check_memory(path, *capacity, LOGITS_CAPACITY_MAX, *policy, all)?;
            within(&format!("{path}.alpha"), *alpha, 0.0..=WEIGHT_MAX)?;
            within(&format!("{path}.beta"), *beta, 0.0..=WEIGHT_MAX)?;
            within(&format!("{path}.top_k"), *top_k, 1..=TOP_K_MAX)?;
            Ok(())
        }
        Strategy::Ewc(Ewc { lambda, online, decay, samples }) => {
            positive(&format!("{path}.lambda"), *lambda)?;
            within(&format!("{path}.lambda"), *lambda, 0.0..=LAMBDA_MAX)?;
            within(&format!("{path}.decay"), *decay, 0.0..=1.0)?;
            if !online && decay.to_bits() != Ewc::default().decay.to_bits() {
                let text = "is of the running Fisher information alone: set 'online' to true";
                return Err(invalid(&format!("{path}.decay"), text));
            }
            match samples {
                None => Ok(()),
                Some(samples) => {
                    within(&format!("{path}.samples"), *samples, 1..=CAPACITY_MAX).map(|_| ())
                }
            }
        }
        Strategy::Lwf(Lwf { alpha, temperature }) => {
            positive(&format!("{path}.alpha"), *alpha)?;
            within(&format!("{path}.alpha"), *alpha, 0.0..=WEIGHT_MAX)?;
            positive(&format!("{path}.temperature"), *temperature)?;
            within(&format!("{path}.temperature"), *temperature, 0.0..=TEMPERATURE_MAX)?;
            Ok(())
        }
        Strategy::AGem(AGem { batch_size, capacity, policy }) => {
            if let Some(batch_size) = batch_size {
                within(&format!("{path}.batch_size"), *batch_size, 1..=limits::BATCH_SIZE_MAX)?;
            }
            check_memory(path, *capacity, CAPACITY_MAX, *policy, all)
        }
        Strategy::OLora(OLora { orthogonality, norm }) => {
            within(&format!("{path}.orthogonality"), *orthogonality, 0.0..=WEIGHT_MAX)?;
            within(&format!("{path}.norm"), *norm, 0.0..=WEIGHT_MAX)?;
            Ok(())
        }
        Strategy::Ema(Ema { decay }) => match (0.0..1.0).contains(decay) {
            true => Ok(()),
            false => {
                let text = format!("must be from 0 to below 1, not {decay}");
                Err(invalid(&format!("{path}.decay"), text))
            }
        },
        Strategy::Merge(Merge { weights }) => check_weights(path, weights.as_deref(), stages),
        Strategy::Joint(_) => Ok(()),
    }
}

fn check_ratio(path: &str, ratio: f64) -> Result<(), ApiError> {
    if ratio > 0.0 && ratio <= RATIO_MAX {
        return Ok(());
    }
    let text = format!("must be above 0 and at most {RATIO_MAX}, not {ratio}");
    Err(invalid(&format!("{path}.ratio"), text))
}

fn check_memory(
    path: &str,
    capacity: u32,
    max: u32,
    policy: MemoryPolicy,
    stages: usize,
) -> Result<(), ApiError> {
    let path = format!("{path}.capacity");
    within(&path, capacity, 1..=max)?;
    if policy == MemoryPolicy::BalancedPerStage && (capacity as usize) < stages {
        let text = format!("must give each of {stages} stages a place, but is {capacity}");
        return Err(invalid(&path, text));
    }
    Ok(())
}

fn check_weights(path: &str, weights: Option<&[f64]>, stages: usize) -> Result<(), ApiError> {
    let path = format!("{path}.weights");
    let Some(weights) = weights else { return Ok(()) };
    if weights.len() != stages {
        let text = format!("must be one for each of {stages} stages, not {}", weights.len());
        return Err(invalid(&path, text));
    }
    for (place, weight) in weights.iter().enumerate() {
        let path = format!("{path}[{place}]");
        within(&path, *weight, -WEIGHT_MAX..=WEIGHT_MAX)?;
        if *weight == 0.0 {
            let text = "must not be 0: it would fill the rank with nothing; leave the stage out";
            return Err(invalid(&path, text));
        }
    }
    Ok(())
}

/// A private job may go on from an earlier result and average its parameters, which both come after the noise. Of anything else nobody has
/// shown what it would cost.
pub(crate) fn check_private(plan: &ContinualPlan) -> Result<(), ApiError> {
    let refuse = |field: String, what: &str, why: &str| {
        let text = format!("{what} cannot be had in a private job: {why}");
        Err(invalid(&format!("{PATH}.{field}"), text))
    };
    if plan.stages.len() > 1 {
        let why = "the budget is that of one file; train each stage in a job that goes on from the one before";
        return refuse("stages".to_string(), "several stages", why);
    }
    if let Some((place, strategy)) =
        plan.strategies.iter().enumerate().find(|(_, one)| !matches!(one, Strategy::Ema(_)))
    {
        let why = match strategy {
            Strategy::Replay(_) | Strategy::Derpp(_) | Strategy::AGem(_) => {
                "it keeps examples and reads them again, which no step is charged for"
            }
            Strategy::Ewc(_) => "its Fisher information is taken of examples without noise",
            Strategy::Lwf(_) | Strategy::OLora(_) => {
                "its term of the loss is added to each example's after clipping, and no proof covers that"
            }
            Strategy::Merge(_) | Strategy::Joint(_) | Strategy::Ema(_) => {
                "it is of several stages, and the budget is that of one file"
            }
        };
        let what = format!("'{}'", name_of(strategy));
        return refuse(format!("strategies[{place}]"), &what, why);
    }
    let set = [
        ("held_out_file", plan.held_out_file.is_some()),
        ("max_forgetting", plan.max_forgetting.is_some()),
        ("max_held_out_fall", plan.max_held_out_fall.is_some()),
        ("order", plan.order != StageOrder::AsGiven),
    ];
    match set.into_iter().find(|(_, set)| *set) {
        // The proof is there, the run is not: a private run takes its units from one file and begins with the base model.
        None => Err(not_available(
            "trainyard.privacy",
            "a private job that has stages or goes on from an earlier result",
        )),
        Some((field, _)) => {
            let why = "whether a stage is kept would depend on its examples without noise";
            refuse(field.to_string(), "it", why)
        }
    }
}

//! The adapter of a job that goes on from an earlier result: that of the result, or one beside it.

use trainyard_openapi::error::ApiError;
use trainyard_openapi::extension::{Adapter, AdapterKind, Strategy};
use trainyard_openapi::limits::RANK_MAX;

use crate::adapter::LoraPlan;
use crate::check::{invalid, not_available};
use crate::continual::ContinualPlan;
use crate::facts::ParentFacts;

/// The strategy under which every stage gets an adapter of its own, whose rank adds to that of the result.
pub(crate) fn grows(plan: Option<&ContinualPlan>) -> Option<&'static str> {
    plan?.strategies.iter().find_map(|strategy| match strategy {
        Strategy::OLora(_) => Some("o_lora"),
        Strategy::Merge(_) => Some("merge"),
        _ => None,
    })
}

/// `adapter` with what the result settles: its layers always, and rank and scale unless stages have adapters of their own. A value that is
/// the default counts as left out.
pub(crate) fn as_before(
    adapter: Adapter,
    parent: &ParentFacts,
    grows: Option<&'static str>,
) -> Result<Adapter, ApiError> {
    let LoraPlan { rank, alpha, dropout: _, target_modules, rslora } = lora_of(parent)?;
    let (default, mut adapter) = (Adapter::default(), adapter);
    let other = |field: &str, before: String, wanted: String| {
        let model = &parent.model;
        let text = format!("must be that of '{model}', {before}, not {wanted}: leave it out");
        Err(invalid(&format!("trainyard.adapter.{field}"), text))
    };
    if adapter.kind != AdapterKind::Lora {
        return other("type", "'lora'".to_string(), shown(&adapter.kind));
    }
    if adapter.target_modules != default.target_modules && adapter.target_modules != *target_modules
    {
        return other("target_modules", shown(target_modules), shown(&adapter.target_modules));
    }
    adapter.target_modules = target_modules.clone();
    if grows.is_some() {
        return Ok(adapter);
    }
    if adapter.rank != default.rank && adapter.rank != *rank {
        return other("rank", rank.to_string(), adapter.rank.to_string());
    }
    if adapter.alpha != default.alpha && adapter.alpha != *alpha {
        return other("alpha", alpha.to_string(), adapter.alpha.to_string());
    }
    if adapter.rslora != default.rslora && adapter.rslora != *rslora {
        return other("rslora", rslora.to_string(), adapter.rslora.to_string());
    }
    (adapter.rank, adapter.alpha, adapter.rslora) = (*rank, *alpha, *rslora);
    Ok(adapter)
}

/// The adapter of an earlier result: only one of low rank can be gone on from.
pub(crate) fn lora_of(parent: &ParentFacts) -> Result<&LoraPlan, ApiError> {
    parent.adapter.lora().ok_or_else(|| {
        let (model, kind) = (&parent.model, parent.adapter.kind().name());
        not_available(
            "model",
            format!("to go on from '{model}', a result of adapter type '{kind}',"),
        )
    })
}

/// The rank of what comes out: that of `rank`, or where stages have adapters of their own the sum over them and the earlier result.
pub(crate) fn rank_of_result(rank: u32, plan: Option<&ContinualPlan>) -> u64 {
    let Some(plan) = plan.filter(|plan| grows(Some(plan)).is_some()) else {
        return u64::from(rank);
    };
    let before = plan.parent.as_ref().map_or(0, |parent| u64::from(parent.rank));
    before + u64::from(rank) * plan.stages.len() as u64
}

/// Refuses stages whose ranks add up to more than can be served.
pub(crate) fn check_growth(rank: u32, plan: Option<&ContinualPlan>) -> Result<(), ApiError> {
    let (Some(plan), Some(strategy)) = (plan, grows(plan)) else { return Ok(()) };
    let total = rank_of_result(rank, Some(plan));
    if total <= u64::from(RANK_MAX) {
        return Ok(());
    }
    let stages = plan.stages.len();
    let earlier = match &plan.parent {
        None => String::new(),
        Some(parent) => format!("{} of '{}' and ", parent.rank, parent.model),
    };
    let text = format!(
        "'{strategy}' adds up the ranks of all stages: {earlier}{stages} x {rank} make {total}, and the most is {RANK_MAX}"
    );
    Err(invalid("trainyard.adapter.rank", text))
}

fn shown(value: &impl serde::Serialize) -> String {
    serde_json::to_string(value).unwrap_or_default()
}

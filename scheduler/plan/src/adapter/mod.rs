//! What a job trains: one file for each method, with its limits, its default rate, what it takes of memory and who can use its result.

mod full;
mod lora;

use serde::{Deserialize, Serialize};
use trainyard_openapi::error::ApiError;
use trainyard_openapi::extension::{Adapter, AdapterKind, Precision};
use trainyard_openapi::preflight::Compatibility;

use crate::check::{invalid, not_available};
use crate::continual::ContinualPlan;
use crate::facts::ModelFacts;
use crate::plan::Plan;

pub use full::FullPlan;
pub use lora::LoraPlan;

/// Where the fields stand in a request.
const PATH: &str = "trainyard.adapter";

/// What is trained. A new method is a new variant, and a file beside this one.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase", tag = "type")]
pub enum AdapterPlan {
    /// Low-rank adaptation.
    Lora(LoraPlan),
    /// All weights of the model.
    Full(FullPlan),
}

impl AdapterPlan {
    /// The method's name in a request.
    pub fn kind(&self) -> AdapterKind {
        match self {
            Self::Lora(_) => AdapterKind::Lora,
            Self::Full(_) => AdapterKind::Full,
        }
    }

    /// The settings of low-rank adaptation, where that is the method.
    pub fn lora(&self) -> Option<&LoraPlan> {
        match self {
            Self::Lora(lora) => Some(lora),
            Self::Full(_) => None,
        }
    }

    /// As the job shows it.
    pub(crate) fn shown(&self) -> Adapter {
        match self {
            Self::Lora(lora) => lora.shown(),
            Self::Full(FullPlan {}) => Adapter { kind: AdapterKind::Full, ..Adapter::default() },
        }
    }

    /// Peak rate where the client names none.
    pub(crate) fn learning_rate(&self) -> f64 {
        match self {
            Self::Lora(_) => lora::LEARNING_RATE,
            Self::Full(_) => full::LEARNING_RATE,
        }
    }

    /// Bytes of the parameters in training with all that belongs to each.
    pub(crate) fn bytes(&self, model: &ModelFacts, precision: Precision) -> u64 {
        match self {
            Self::Lora(lora) => lora.bytes(model),
            Self::Full(_) => full::bytes(model, precision),
        }
    }

    /// Bytes of the gradient of one unit of a private job.
    pub(crate) fn unit_bytes(&self, model: &ModelFacts, precision: Precision) -> u64 {
        match self {
            Self::Lora(lora) => lora.unit_bytes(model),
            Self::Full(_) => full::unit_bytes(model, precision),
        }
    }

    /// Whether the base model's weights are among the parameters in training, so that there are none beside them.
    pub(crate) fn trains_base(&self) -> bool {
        matches!(self, Self::Full(_))
    }
}

/// What PEFT, vLLM and llama.cpp would make of the result of `plan`.
pub fn compatibility(plan: &Plan) -> Vec<Compatibility> {
    match &plan.adapter {
        AdapterPlan::Lora(lora) => lora.compatibility(plan.continual.as_ref()),
        AdapterPlan::Full(_) => full::compatibility(),
    }
}

/// Resolves what a request says of the adapter; `continual` says what else the job is.
pub(crate) fn resolve_adapter(
    adapter: Adapter,
    model: &ModelFacts,
    continual: Option<&ContinualPlan>,
) -> Result<AdapterPlan, ApiError> {
    let kind = adapter.kind;
    if !matches!(kind, AdapterKind::Lora | AdapterKind::Full) {
        return Err(not_carried_out(kind));
    }
    check_own(&adapter)?;
    if kind != AdapterKind::Lora && continual.is_some() {
        let what = format!("with adapter type '{}'", kind.name());
        return Err(not_available("trainyard.continual", what));
    }
    match kind {
        AdapterKind::Lora => lora::resolve(adapter, model).map(AdapterPlan::Lora),
        AdapterKind::Full => Ok(AdapterPlan::Full(FullPlan {})),
        other => Err(not_carried_out(other)),
    }
}

fn not_carried_out(kind: AdapterKind) -> ApiError {
    not_available(&format!("{PATH}.type"), format!("'{}'", kind.name()))
}

/// Refuses settings of another method than the one that is asked for.
fn check_own(adapter: &Adapter) -> Result<(), ApiError> {
    let default = Adapter::default();
    let own = adapter.kind.settings();
    let set = [
        ("rank", adapter.rank != default.rank),
        ("alpha", adapter.alpha.to_bits() != default.alpha.to_bits()),
        ("dropout", adapter.dropout.to_bits() != default.dropout.to_bits()),
        ("target_modules", adapter.target_modules != default.target_modules),
        ("rslora", adapter.rslora != default.rslora),
    ];
    match set.into_iter().find(|(field, set)| *set && !own.contains(field)) {
        None => Ok(()),
        Some((field, _)) => {
            let text =
                format!("adapter type '{}' has no such setting: leave it out", adapter.kind.name());
            Err(invalid(&format!("{PATH}.{field}"), text))
        }
    }
}

/// What a consumer makes of a result; refusals are the reasons why it takes none.
fn consumer(name: &str, mut notes: Vec<String>, refusals: Vec<String>) -> Compatibility {
    let accepted = refusals.is_empty();
    notes.extend(refusals);
    Compatibility { consumer: name.to_string(), accepted, notes }
}

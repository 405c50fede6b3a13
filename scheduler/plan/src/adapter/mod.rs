//! What a job trains: one file for each method, with its limits, its default rate, what it takes of memory and who can use its result.

mod full;
mod head;
mod ia3;
mod lora;
mod virtual_tokens;

use serde::{Deserialize, Serialize};
use trainyard_openapi::error::ApiError;
use trainyard_openapi::extension::{Adapter, AdapterKind, Precision};
use trainyard_openapi::limits;
use trainyard_openapi::preflight::Compatibility;

use crate::check::{invalid, not_available, text, within};
use crate::continual::ContinualPlan;
use crate::facts::ModelFacts;
use crate::plan::{Plan, SequencePlan};

pub use full::FullPlan;
pub use head::HeadPlan;
pub use ia3::Ia3Plan;
pub use lora::LoraPlan;
pub use virtual_tokens::{PrefixPlan, PromptPlan};

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
    /// Learned rescaling of activations.
    Ia3(Ia3Plan),
    /// Learned embeddings before the sequence.
    Prompt(PromptPlan),
    /// Learned keys and values before the sequence.
    Prefix(PrefixPlan),
    /// A new output head alone.
    Head(HeadPlan),
}

impl AdapterPlan {
    /// The method's name in a request.
    pub fn kind(&self) -> AdapterKind {
        match self {
            Self::Lora(_) => AdapterKind::Lora,
            Self::Full(_) => AdapterKind::Full,
            Self::Ia3(_) => AdapterKind::Ia3,
            Self::Prompt(_) => AdapterKind::Prompt,
            Self::Prefix(_) => AdapterKind::Prefix,
            Self::Head(_) => AdapterKind::Head,
        }
    }

    /// The settings of low-rank adaptation, where that is the method.
    pub fn lora(&self) -> Option<&LoraPlan> {
        match self {
            Self::Lora(lora) => Some(lora),
            Self::Full(_) | Self::Ia3(_) | Self::Prompt(_) | Self::Prefix(_) | Self::Head(_) => {
                None
            }
        }
    }

    /// Learned positions before each sequence, which leave fewer for its tokens.
    pub fn virtual_tokens(&self) -> u32 {
        match self {
            Self::Prompt(PromptPlan { num_virtual_tokens })
            | Self::Prefix(PrefixPlan { num_virtual_tokens }) => *num_virtual_tokens,
            Self::Lora(_) | Self::Full(_) | Self::Ia3(_) | Self::Head(_) => 0,
        }
    }

    /// As the job shows it.
    pub(crate) fn shown(&self) -> Adapter {
        match self {
            Self::Lora(lora) => lora.shown(),
            Self::Ia3(ia3) => ia3.shown(),
            Self::Prompt(_) | Self::Prefix(_) | Self::Full(_) | Self::Head(_) => {
                let default = Adapter::default();
                let tokens = match self.virtual_tokens() {
                    0 => default.num_virtual_tokens,
                    tokens => tokens,
                };
                Adapter { kind: self.kind(), num_virtual_tokens: tokens, ..default }
            }
        }
    }

    /// Peak rate where the client names none.
    pub(crate) fn learning_rate(&self) -> f64 {
        match self {
            Self::Lora(_) => lora::LEARNING_RATE,
            Self::Full(_) => full::LEARNING_RATE,
            Self::Ia3(_) => ia3::LEARNING_RATE,
            Self::Prompt(_) | Self::Prefix(_) => virtual_tokens::LEARNING_RATE,
            Self::Head(_) => head::LEARNING_RATE,
        }
    }

    /// Bytes of the parameters in training with all that belongs to each.
    pub(crate) fn bytes(&self, model: &ModelFacts, precision: Precision) -> u64 {
        match self {
            Self::Lora(lora) => lora.bytes(model),
            Self::Full(_) => full::bytes(model, precision),
            Self::Ia3(ia3) => ia3.bytes(model),
            Self::Prompt(prompt) => prompt.bytes(model),
            Self::Prefix(prefix) => prefix.bytes(model),
            Self::Head(_) => head::bytes(model, precision),
        }
    }

    /// Bytes of the gradient of one unit of a private job: that of an adapter or a head is in fp32.
    pub(crate) fn unit_bytes(&self, model: &ModelFacts, precision: Precision) -> u64 {
        let numbers = match self {
            Self::Full(_) => return full::unit_bytes(model, precision),
            Self::Lora(lora) => lora.parameters(model),
            Self::Ia3(ia3) => ia3.parameters(model),
            Self::Prompt(prompt) => prompt.parameters(model),
            Self::Prefix(prefix) => prefix.parameters(model),
            Self::Head(_) => head::parameters(model),
        };
        numbers * 4
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
        AdapterPlan::Ia3(_) => ia3::compatibility(),
        AdapterPlan::Prompt(_) => virtual_tokens::compatibility("embeddings"),
        AdapterPlan::Prefix(_) => virtual_tokens::compatibility("keys and values"),
        AdapterPlan::Head(_) => head::compatibility(),
    }
}

/// Resolves what a request says of the adapter; `continual` says what else the job is.
pub(crate) fn resolve_adapter(
    adapter: Adapter,
    model: &ModelFacts,
    sequence: &SequencePlan,
    continual: Option<&ContinualPlan>,
) -> Result<AdapterPlan, ApiError> {
    let kind = adapter.kind;
    let not_carried_out =
        || Err(not_available(&format!("{PATH}.type"), format!("'{}'", kind.name())));
    if matches!(kind, AdapterKind::Dora | AdapterKind::Bottleneck) {
        return not_carried_out();
    }
    check_own(&adapter)?;
    if kind != AdapterKind::Lora && continual.is_some() {
        let what = format!("with adapter type '{}'", kind.name());
        return Err(not_available("trainyard.continual", what));
    }
    match kind {
        AdapterKind::Lora => lora::resolve(adapter, model).map(AdapterPlan::Lora),
        AdapterKind::Full => Ok(AdapterPlan::Full(FullPlan {})),
        AdapterKind::Ia3 => ia3::resolve(adapter, model).map(AdapterPlan::Ia3),
        AdapterKind::Prompt => {
            let num_virtual_tokens = virtual_tokens::resolve(&adapter, sequence)?;
            Ok(AdapterPlan::Prompt(PromptPlan { num_virtual_tokens }))
        }
        AdapterKind::Prefix => {
            let num_virtual_tokens = virtual_tokens::resolve(&adapter, sequence)?;
            Ok(AdapterPlan::Prefix(PrefixPlan { num_virtual_tokens }))
        }
        AdapterKind::Head => Ok(AdapterPlan::Head(HeadPlan {})),
        AdapterKind::Dora | AdapterKind::Bottleneck => not_carried_out(),
    }
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
        ("feedforward_modules", adapter.feedforward_modules != default.feedforward_modules),
        ("num_virtual_tokens", adapter.num_virtual_tokens != default.num_virtual_tokens),
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

/// Refuses a list of names of layers that is empty or too long, and names that are no text.
fn check_names(field: &str, names: &[String]) -> Result<(), ApiError> {
    let path = format!("{PATH}.{field}");
    within(&path, names.len(), 1..=limits::TARGET_MODULES_MAX)?;
    names.iter().try_for_each(|name| text(&path, name, 256).map(|_| ()))
}

/// What a consumer makes of a result; refusals are the reasons why it takes none.
fn consumer(name: &str, mut notes: Vec<String>, refusals: Vec<String>) -> Compatibility {
    let accepted = refusals.is_empty();
    notes.extend(refusals);
    Compatibility { consumer: name.to_string(), accepted, notes }
}

//! The model card: what was trained, on what, how, and what came out, for whoever finds the adapter later.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use trainyard_openapi::extension::{Precision, PrivacyUnit};
use trainyard_plan::PrivacyPlan;
use trainyard_plan::trainer::RunSpec;

use crate::artifact::description::AdapterDescription;
use crate::artifact::loading::Loading;
use crate::peft::AdapterSettings;
use crate::train::state::RunState;

/// What is promised to whom, and what it rests on.
fn privacy_section(plan: &PrivacyPlan, state: &RunState) -> String {
    let says = plan.extension();
    let unit = match &says.unit {
        PrivacyUnit::Named(_) => "a line of the training file".to_string(),
        PrivacyUnit::User(user) => format!(
            "a user, named by `{}`, with at most {} lines a step",
            user.user_field, user.examples_per_unit
        ),
    };
    let name =
        |value: serde_json::Result<String>| value.unwrap_or_default().trim_matches('"').to_string();
    let mut section = String::from("## Differential privacy\n\n");
    if let Some(spent) = state.privacy.and_then(|private| private.spent) {
        let _ = writeln!(
            section,
            "The result is ({epsilon:.4}, {delta:.3e})-differentially private for data sets that differ by one unit added or removed.\n\n\
             | | |\n|---|---|\n| Unit | {unit}, {units} in all |\n| Steps charged | {charged} |",
            epsilon = spent.epsilon,
            delta = spent.delta,
            units = says.units,
            charged = spent.steps,
        );
    }
    let _ = writeln!(
        section,
        "| Accountant | {} |\n| Sampling | each unit on its own, with probability {} |\n| Clipping | {}, norm {} |\n\
         | Noise multiplier | {} |\n| Signal over noise, mean of the steps | {} |\n\nNot covered by it:\n",
        name(serde_json::to_string(&says.accountant)),
        says.sampling_rate,
        name(serde_json::to_string(&says.clipping)),
        says.clip_norm,
        says.noise_multiplier,
        state.signal_to_noise().map_or("not measured".to_string(), |ratio| format!("{ratio:.4}")),
    );
    for exclusion in &says.not_covered {
        let _ = writeln!(section, "- {exclusion}");
    }
    section.push('\n');
    section
}

/// The row on the format that a whole model is handed back in; an adapter is fp32 always, and so is a head.
fn written(settings: &AdapterSettings, precision: Precision) -> &'static str {
    match (settings, precision) {
        (
            AdapterSettings::Lora(_)
            | AdapterSettings::Ia3(_)
            | AdapterSettings::Prompt { .. }
            | AdapterSettings::Prefix { .. }
            | AdapterSettings::Head,
            _,
        ) => "",
        (AdapterSettings::Full, Precision::Fp32) => {
            "\n| Number format of the weights | float32, as computed with |"
        }
        (AdapterSettings::Full, Precision::Bf16 | Precision::Fp16) => {
            "\n| Number format of the weights | bfloat16, as computed with; trained as float32, which checkpoints hold |"
        }
    }
}

/// The card as Markdown with the front matter that model hubs read. `continual` is the section on what was forgotten.
pub fn render(
    spec: &RunSpec,
    adapter: &AdapterDescription,
    state: &RunState,
    reports: &[(&str, BTreeMap<String, u64>)],
    adapter_sha256: &str,
    continual: Option<&str>,
) -> String {
    let base = &spec.model_name;
    let figure = |value: Option<f64>| {
        value.map_or("not measured".to_string(), |value| format!("{value:.4}"))
    };
    let last = state.last_evaluation;
    let precision = match spec.plan.precision {
        Precision::Fp32 => "fp32",
        Precision::Bf16 => "bf16",
        Precision::Fp16 => "fp16",
    };
    let Loading { library, tag, what, text: loading } = Loading::of(&adapter.settings, base);
    let mut card = format!(
        "---\nbase_model: {base:?}\nlibrary_name: {library}\npipeline_tag: text-generation\ntags:\n- {tag}\n- trainyard\n---\n\n\
         # {what} of {base}\n\n\
         Trained by Trainyard {version} (libtorch {libtorch}): {steps} steps, {epochs} epochs, {tokens} tokens, {targets} of them learned, {seconds:.0} s.\n\n\
         | | |\n|---|---|\n\
         | Validation loss before | {initial} |\n| Validation loss after | {loss} |\n| Validation token accuracy after | {accuracy} |\n\
         | Training data (SHA-256) | `{data}` |\n| Base model (fingerprint) | `{model}` |\n| {weights} (SHA-256) | `{adapter_sha256}` |\n\
         | Number format while training | {precision} |{written}\n\n\
         The figures of every step stand in `metrics.csv`.\n\n",
        weights = adapter.weights(),
        written = written(&adapter.settings, spec.plan.precision),
        version = env!("CARGO_PKG_VERSION"),
        libtorch = option_env!("LIBTORCH_VERSION").unwrap_or("of unknown version"),
        steps = state.step,
        epochs = spec.plan.epochs,
        tokens = state.tokens,
        targets = state.target_tokens,
        seconds = state.training_seconds,
        initial = figure(state.initial_valid_loss),
        loss = figure(last.map(|measured| measured.loss)),
        accuracy = figure(last.map(|measured| measured.accuracy)),
        data = state.binding.training_data,
        model = state.binding.model,
    );
    if let Some(privacy) = &spec.plan.privacy {
        card.push_str(&privacy_section(privacy, state));
    }
    card.push_str(continual.unwrap_or_default());
    card.push_str("## Data\n\n");
    for (file, report) in reports {
        let counts: Vec<String> =
            report.iter().map(|(name, count)| format!("{name} {count}")).collect();
        let _ = writeln!(card, "- `{file}`: {}", counts.join(", "));
    }
    let _ = write!(card, "\n## Load it\n\n{loading}");
    if spec.model.is_file() {
        card.push_str(
            "The base model was a GGUF file; `trainyard-trainer import` writes it as the directory that PEFT and vLLM load.\n\n",
        );
    }
    if let Ok(plan) = serde_json::to_string_pretty(&spec.plan) {
        let _ = write!(
            card,
            "## Plan\n\nEvery setting of the run, resolved:\n\n```json\n{plan}\n```\n"
        );
    }
    card
}

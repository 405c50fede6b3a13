//! What a job with stages carries out.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use trainyard_continual::StageName;
use trainyard_openapi::error::ApiError;
use trainyard_openapi::extension::{Continual, JobContinual, NewStage, StageOrder, Strategy};
use trainyard_openapi::job::CreateJob;
use trainyard_openapi::limits::STAGES_MAX;

use crate::check::{invalid, within};
use crate::facts::{ParentFacts, StreamFacts};
use crate::lineage::lora_of;
use crate::strategies::{check_private, check_strategies, name_of};

/// Where the fields stand in a request.
pub(crate) const PATH: &str = "trainyard.continual";
/// The most that a limit on forgetting may be, in nats: beyond what any loss reaches.
const LIMIT_MAX: f64 = 1_000.0;

/// The stages of a job and what is done against forgetting, resolved.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ContinualPlan {
    /// At least one, as given: name and the ids (or paths) of its files.
    pub stages: Vec<NewStage>,
    /// What is done against forgetting; none is to train on.
    pub strategies: Vec<Strategy>,
    /// The general file.
    pub held_out_file: Option<String>,
    /// The limit on forgetting, in nats.
    pub max_forgetting: Option<f64>,
    /// The limit on the held-out file.
    pub max_held_out_fall: Option<f64>,
    /// The order of the stages.
    pub order: StageOrder,
    /// The result that the job goes on from; none begins with the base model.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent: Option<ParentPlan>,
}

/// An earlier result.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ParentPlan {
    /// Its name.
    pub model: String,
    /// SHA-256 of its manifest: with another one this is another job.
    pub manifest_sha256: String,
    /// The names of its stages, those of the models before it first.
    pub stages: Vec<String>,
    /// The rank of its adapter.
    pub rank: u32,
}

impl ContinualPlan {
    /// As the job shows it.
    pub(crate) fn extension(&self) -> JobContinual {
        JobContinual {
            stages: self.stages.clone(),
            earlier_stages: self
                .parent
                .as_ref()
                .map(|parent| parent.stages.clone())
                .unwrap_or_default(),
            strategies: self.strategies.clone(),
            held_out_file: self.held_out_file.clone(),
            max_forgetting: self.max_forgetting,
            max_held_out_fall: self.max_held_out_fall,
            order: self.order,
        }
    }
}

/// The stages of `request`, with everything checked that its files' contents do not tell. None where it trains one file from a base model.
pub(crate) fn resolve_continual(
    request: &CreateJob,
    stream: &StreamFacts,
) -> Result<Option<ContinualPlan>, ApiError> {
    let extension = request.trainyard.as_ref();
    let wanted = extension.and_then(|extension| extension.continual.clone());
    let parent = stream.parent.as_ref();
    if wanted.is_none() && parent.is_none() {
        return Ok(None);
    }
    let Continual { stages, strategies, held_out_file, max_forgetting, max_held_out_fall, order } =
        wanted.unwrap_or_default();
    let earlier = parent.map(|parent| parent.stages.as_slice()).unwrap_or_default();
    let named = stages.is_some();
    let stages = match stages {
        None => vec![NewStage {
            name: next_name(earlier),
            training_file: request.training_file.clone(),
            validation_file: request.validation_file.clone(),
        }],
        Some(stages) => {
            check_stages(&stages, earlier)?;
            check_own_files(request, &stages)?;
            stages
        }
    };
    let early = extension.is_some_and(|extension| extension.early_stopping.is_some());
    if early && (named || parent.is_none()) {
        let text = "must be null with 'trainyard.continual': a stage that ended early would shift the steps of those after it";
        return Err(invalid("trainyard.early_stopping", text));
    }
    for (field, limit) in
        [("max_forgetting", max_forgetting), ("max_held_out_fall", max_held_out_fall)]
    {
        if let Some(limit) = limit {
            within(&format!("{PATH}.{field}"), limit, 0.0..=LIMIT_MAX)?;
        }
    }
    if max_held_out_fall.is_some() && held_out_file.is_none() {
        let text = "needs a 'held_out_file' to measure it on";
        return Err(invalid(&format!("{PATH}.max_held_out_fall"), text));
    }
    if let Some(stage) =
        stages.iter().find(|stage| Some(&stage.training_file) == held_out_file.as_ref())
    {
        let text = format!(
            "stage '{}' trains on it; it must be a file that no stage trains on",
            stage.name
        );
        return Err(invalid(&format!("{PATH}.held_out_file"), text));
    }
    let limited = max_forgetting.is_some() || max_held_out_fall.is_some();
    check_measured(&stages, named, limited, parent)?;
    if order != StageOrder::AsGiven
        && strategies.iter().any(|strategy| matches!(strategy, Strategy::Joint(_)))
    {
        let text = "must be 'as_given' with the strategy 'joint': all stages are trained at once";
        return Err(invalid(&format!("{PATH}.order"), text));
    }
    check_strategies(&strategies, stages.len(), earlier.len())?;
    if let Some(parent) = parent.filter(|parent| parent.private) {
        check_private_parent(&strategies, parent)?;
    }
    let plan = ContinualPlan {
        stages,
        strategies,
        held_out_file,
        max_forgetting,
        max_held_out_fall,
        order,
        parent: parent.map(parent_plan).transpose()?,
    };
    if extension.is_some_and(|extension| extension.privacy.is_some()) {
        check_private(&plan)?;
    }
    Ok(Some(plan))
}

fn parent_plan(parent: &ParentFacts) -> Result<ParentPlan, ApiError> {
    Ok(ParentPlan {
        model: parent.model.clone(),
        manifest_sha256: parent.manifest_sha256.clone(),
        stages: parent.stages.clone(),
        rank: lora_of(parent)?.rank,
    })
}

/// `stage-N` for the N-th stage of a model, or the next such name that is free.
fn next_name(earlier: &[String]) -> String {
    let free = (earlier.len() + 1..).map(|number| format!("stage-{number}"));
    // One more name than there are earlier stages is enough.
    free.take(earlier.len() + 1).find(|name| !earlier.contains(name)).unwrap_or_default()
}

fn check_stages(stages: &[NewStage], earlier: &[String]) -> Result<(), ApiError> {
    let path = format!("{PATH}.stages");
    let count = stages.len();
    if count == 0 || count + earlier.len() > STAGES_MAX {
        let before = match earlier.len() {
            0 => String::new(),
            before => format!(" after the {before} of the model"),
        };
        let text = format!("must have 1 to {STAGES_MAX} stages, not {count}{before}");
        return Err(invalid(&path, text));
    }
    let mut seen = BTreeSet::new();
    for (place, stage) in stages.iter().enumerate() {
        let path = format!("{path}[{place}].name");
        StageName::try_from(stage.name.as_str()).map_err(|error| invalid(&path, error))?;
        if earlier.contains(&stage.name) {
            let text =
                format!("'{}' is the name of a stage that the model went through", stage.name);
            return Err(invalid(&path, text));
        }
        if !seen.insert(stage.name.as_str()) {
            return Err(invalid(&path, format!("'{}' stands there twice", stage.name)));
        }
    }
    Ok(())
}

/// What OpenAI's contract calls the job's files has to agree with the stages.
fn check_own_files(request: &CreateJob, stages: &[NewStage]) -> Result<(), ApiError> {
    if request.validation_file.is_some() {
        let text = format!("must be left out with '{PATH}.stages': each stage has its own");
        return Err(invalid("validation_file", text));
    }
    match stages.first() {
        Some(first) if first.training_file != request.training_file => {
            let (own, other) = (&request.training_file, &first.training_file);
            let text = format!("must be that of the first stage, '{other}', not '{own}'");
            Err(invalid("training_file", text))
        }
        _ => Ok(()),
    }
}

/// A stage that is not measured cannot be held to anything.
fn check_measured(
    stages: &[NewStage],
    named: bool,
    limited: bool,
    parent: Option<&ParentFacts>,
) -> Result<(), ApiError> {
    let Some(place) = stages.iter().position(|stage| stage.validation_file.is_none()) else {
        return Ok(());
    };
    let why = match (stages.len(), limited, parent) {
        (1, false, Some(_)) => return Ok(()),
        (2.., _, _) => "is needed: every stage of several is measured after every other",
        (_, true, _) => "is needed: a limit is set, and without it nothing is measured",
        _ => "is needed: what the job forgets is measured with it",
    };
    let path = match named {
        true => format!("{PATH}.stages[{place}].validation_file"),
        false => "validation_file".to_string(),
    };
    Err(invalid(&path, why))
}

/// What has been read under a promise must not be read again without it.
fn check_private_parent(strategies: &[Strategy], parent: &ParentFacts) -> Result<(), ApiError> {
    let reads = |strategy: &Strategy| {
        matches!(
            strategy,
            Strategy::Replay(_) | Strategy::Derpp(_) | Strategy::AGem(_) | Strategy::Ewc(_)
        )
    };
    match strategies.iter().position(reads) {
        None => Ok(()),
        Some(place) => {
            let (name, model) = (name_of(&strategies[place]), &parent.model);
            let text = format!(
                "'{name}' reads examples of earlier stages again, and those of '{model}' were trained with differential privacy: nothing \
                 accounts for a second look without noise"
            );
            Err(invalid(&format!("{PATH}.strategies[{place}]"), text))
        }
    }
}

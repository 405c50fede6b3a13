//! What a job with stages carries out.

use serde::{Deserialize, Serialize};
use trainyard_openapi::extension::{JobContinual, NewStage, StageOrder, Strategy};

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

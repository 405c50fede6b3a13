//! What a run with stages remembers between two steps, beside its tensors.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use trainyard_continual::matrix::ForgettingMatrix;
use trainyard_openapi::extension::StageResult;

use crate::continual::adapter::Shape;

/// Where a stream is. Decided once and never again: the order of the stages, and what the untrained model scores.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StreamState {
    /// The stages by their places in the plan, in the order of training.
    pub order: Vec<usize>,
    /// The stage at hand by its place in `order`; as many as there are, once all are over.
    pub stage: usize,
    /// Whether it has begun.
    pub begun: bool,
    /// Whether its batches have room for replayed rows.
    pub replays: bool,
    /// The run's steps before it.
    pub first_step: u64,
    /// The adapter in training.
    pub shape: Shape,
    /// Loss and token accuracy, in this order, of every stage that can be measured.
    pub matrices: Vec<ForgettingMatrix>,
    /// The stages that are over, those of earlier jobs first.
    pub stages: Vec<StageResult>,
    /// What each strategy remembers.
    pub strategies: Vec<Value>,
    /// What was before the stage, where it may be rejected.
    pub before: Option<BeforeState>,
}

/// The shape of the adapter before a stage, and what each strategy remembered.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BeforeState {
    /// The adapter.
    pub shape: Shape,
    /// The strategies.
    pub strategies: Vec<Value>,
}

impl StreamState {
    /// The steps at which stages of this job ended: their checkpoints are kept.
    pub fn ends(&self) -> Vec<u64> {
        self.stages.iter().filter_map(|stage| stage.last_step).collect()
    }
}

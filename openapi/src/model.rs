//! Base models, fine-tuned models and what they are made of.

use serde::{Deserialize, Serialize};

use crate::job::JobStatus;

/// A model: a base to train from, or the result of a job.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Model {
    /// The name: of a base model as registered, of a result `ft:{base}:{organization}:{suffix}:{id}`.
    pub id: String,
    /// Always `model`.
    #[schema(example = "model")]
    pub object: String,
    /// When it was made, in Unix seconds.
    pub created: i64,
    /// `system` for base models, else the tenant.
    pub owned_by: String,
}

/// A file of a fine-tuned model.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Artifact {
    /// The file's name, such as `adapter_model.safetensors`.
    pub name: String,
    /// Always `model.artifact`.
    #[schema(example = "model.artifact")]
    pub object: String,
    /// The size in bytes.
    pub bytes: u64,
    /// SHA-256 of the content, in hexadecimal.
    pub sha256: String,
}

/// What a model came of, and what came of it: a graph of models, jobs and datasets.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct ModelLineage {
    /// The model's name.
    pub id: String,
    /// Always `model.lineage`.
    #[schema(example = "model.lineage")]
    pub object: String,
    /// Models, jobs and datasets, each once, the nearest to the model first; 1000 at most.
    pub nodes: Vec<ModelLineageNode>,
    /// How they hang together.
    pub edges: Vec<ModelLineageEdge>,
    /// Whether there are more nodes than are shown.
    pub truncated: bool,
}

/// A thing in a lineage.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct ModelLineageNode {
    /// What it is.
    #[serde(rename = "type")]
    pub kind: LineageNodeKind,
    /// The name of a model, the id of a job or of a file.
    pub id: String,
    /// Whether it is still there.
    pub present: bool,
    /// The state of a job; null of anything else.
    #[schema(required = true)]
    pub status: Option<JobStatus>,
}

/// What a thing in a lineage is.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, utoipa::ToSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum LineageNodeKind {
    /// A base model, the result of a job, or a checkpoint.
    Model,
    /// A job.
    Job,
    /// A file.
    Dataset,
}

impl LineageNodeKind {
    /// The word on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Model => "model",
            Self::Job => "job",
            Self::Dataset => "dataset",
        }
    }
}

/// How a thing in a lineage came of another.
#[derive(
    Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, utoipa::ToSchema,
)]
pub struct ModelLineageEdge {
    /// How.
    #[serde(rename = "type")]
    pub kind: LineageEdgeKind,
    /// What came of the other.
    pub from: String,
    /// What it came of.
    pub to: String,
}

/// How a thing came of another.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, utoipa::ToSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum LineageEdgeKind {
    /// A model by a job.
    MadeBy,
    /// A job that began with a model.
    Continues,
    /// A job that trained on a dataset.
    TrainedOn,
    /// A job that measured with a dataset.
    ValidatedOn,
}

impl LineageEdgeKind {
    /// The word on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::MadeBy => "made_by",
            Self::Continues => "continues",
            Self::TrainedOn => "trained_on",
            Self::ValidatedOn => "validated_on",
        }
    }
}

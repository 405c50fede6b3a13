//! Base models, fine-tuned models and what they are made of.

use serde::{Deserialize, Serialize};

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

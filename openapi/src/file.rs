//! Uploaded files and result files.

use serde::{Deserialize, Serialize};

use crate::id::FileId;

/// A file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct File {
    /// The id.
    pub id: FileId,
    /// Always `file`.
    #[schema(example = "file")]
    pub object: String,
    /// The size in bytes.
    pub bytes: u64,
    /// When it was uploaded, in Unix seconds.
    pub created_at: i64,
    /// When it is deleted by itself, in Unix seconds; null for never.
    #[schema(required = true)]
    pub expires_at: Option<i64>,
    /// The name it was uploaded under.
    pub filename: String,
    /// What it is for.
    pub purpose: Purpose,
    /// Always `processed`: deprecated in OpenAI's contract.
    #[schema(example = "processed")]
    pub status: String,
    /// Always null: deprecated in OpenAI's contract.
    #[schema(required = true)]
    pub status_details: Option<String>,
}

/// What a file is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Purpose {
    /// Lines to train on or to measure with.
    FineTune,
    /// The result CSV of a job; made by the server alone.
    FineTuneResults,
}

/// The answer to a deletion.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Deleted {
    /// The id of what is gone.
    pub id: String,
    /// What it was: `file` or `model`.
    pub object: String,
    /// Always true.
    pub deleted: bool,
}

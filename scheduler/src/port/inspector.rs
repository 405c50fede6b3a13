//! Who can look at a job's files as training would. Only a trainer has the tokenizer, so a process without one goes without.

use async_trait::async_trait;
use trainyard_plan::Plan;
use trainyard_plan::trainer::Inspection;

use super::control_plane::InputFile;

/// What is to be looked at.
#[derive(Debug, Clone, PartialEq)]
pub struct InspectRequest {
    /// The plan.
    pub plan: Plan,
    /// The base model's name.
    pub model: String,
    /// The training file.
    pub training_file: InputFile,
    /// The validation file.
    pub validation_file: Option<InputFile>,
}

/// Why nothing was found out, in words for the user.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct InspectError(pub String);

/// Looks at files. A call may take as long as it takes to tokenize them; it ends early where it is dropped.
#[async_trait]
pub trait Inspector: Send + Sync {
    /// Counts tokens and lists bad lines.
    async fn inspect(&self, request: InspectRequest) -> Result<Inspection, InspectError>;
}

//! How a job trains: OpenAI's `method` and its hyperparameters.

use serde::{Deserialize, Serialize};

use crate::auto::Auto;

/// The training method of a job.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Method {
    /// Which of the methods.
    #[serde(rename = "type")]
    pub kind: MethodKind,
    /// Settings of supervised fine-tuning.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub supervised: Option<Supervised>,
    /// Settings of direct preference optimisation. Not available in this version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    pub dpo: Option<serde_json::Value>,
    /// Settings of reinforcement fine-tuning. Not available in this version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    pub reinforcement: Option<serde_json::Value>,
}

/// OpenAI's methods. This version carries out `supervised` and refuses the others by name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum MethodKind {
    /// Learn to write the assistant's part of examples.
    Supervised,
    /// Direct preference optimisation.
    Dpo,
    /// Reinforcement fine-tuning against a grader.
    Reinforcement,
}

/// Settings of supervised fine-tuning.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Supervised {
    /// The hyperparameters.
    #[serde(default)]
    pub hyperparameters: Hyperparameters,
}

/// OpenAI's three hyperparameters; `"auto"` lets the server choose from the data.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Hyperparameters {
    /// Examples in an optimizer step (the effective batch), 1 to 256.
    #[serde(default)]
    #[schema(schema_with = crate::auto::integer)]
    pub batch_size: Auto<u32>,
    /// Factor on the default learning rate, above 0.
    #[serde(default)]
    #[schema(schema_with = crate::auto::number)]
    pub learning_rate_multiplier: Auto<f64>,
    /// Passes over the training file, 1 to 50.
    #[serde(default)]
    #[schema(schema_with = crate::auto::integer)]
    pub n_epochs: Auto<u32>,
}

//! What happened to a job, in order.

use serde::{Deserialize, Serialize};

use crate::id::EventId;

/// An entry of a job's history.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct JobEvent {
    /// The id.
    pub id: EventId,
    /// Always `fine_tuning.job.event`.
    #[schema(example = "fine_tuning.job.event")]
    pub object: String,
    /// When, in Unix seconds.
    pub created_at: i64,
    /// How grave.
    pub level: EventLevel,
    /// A sentence for people.
    pub message: String,
    /// Whether `data` carries metrics of a step.
    #[serde(rename = "type")]
    pub kind: EventKind,
    /// The figures behind the message; empty where there are none.
    #[schema(value_type = Object)]
    pub data: serde_json::Map<String, serde_json::Value>,
}

/// How grave an event is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum EventLevel {
    /// As planned.
    Info,
    /// Worth a look.
    Warn,
    /// Something failed.
    Error,
}

/// What an event carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum EventKind {
    /// A message.
    Message,
    /// Metrics of a step.
    Metrics,
}

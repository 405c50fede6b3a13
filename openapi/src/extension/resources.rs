//! What a job may use.

use serde::{Deserialize, Serialize};

/// What a job may use and how it stands beside the tenant's others.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Resources {
    /// The pool of executors.
    pub pool: String,
    /// Devices for the job; 1 in this version.
    pub devices: u32,
    /// Order among the tenant's own jobs; a day of waiting counts as one step. A higher one may take the place of a running lower one.
    pub priority: Priority,
    /// Whether the job may be put back after a checkpoint to let another run.
    pub preemptible: bool,
    /// Running time over all attempts after which the job fails, in seconds.
    pub max_runtime_seconds: u64,
}

impl Default for Resources {
    fn default() -> Self {
        Self {
            pool: "default".to_string(),
            devices: 1,
            priority: Priority::Normal,
            preemptible: true,
            max_runtime_seconds: 86_400,
        }
    }
}

/// The priorities.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, utoipa::ToSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum Priority {
    /// After the others.
    Low,
    /// As usual.
    Normal,
    /// Before the others.
    High,
}

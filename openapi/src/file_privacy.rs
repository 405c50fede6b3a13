//! The privacy budget of a file's content: what it is, what was spent of it, and by whom.

use serde::{Deserialize, Serialize};

use crate::auto::Auto;
use crate::extension::{PrivacyAccountant, PrivacyUnit};
use crate::id::{FileId, JobId};

/// What was spent of a file's privacy, over all jobs on the same content, whatever their files are called.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct FilePrivacy {
    /// Always `file.privacy`.
    #[schema(example = "file.privacy")]
    pub object: String,
    /// The file.
    pub file: FileId,
    /// SHA-256 of its content, in hexadecimal: another file with the same content has the same budget.
    pub sha256: String,
    /// Whom the guarantee protects; null before the first private job and budget.
    #[schema(required = true)]
    pub unit: Option<PrivacyUnit>,
    /// How many of them the file has.
    #[schema(required = true)]
    pub units: Option<u64>,
    /// How epsilon is counted.
    #[schema(required = true)]
    pub accountant: Option<PrivacyAccountant>,
    /// What may be spent in all; null where no budget was set.
    #[schema(required = true)]
    pub budget: Option<PrivacyBudget>,
    /// Epsilon of every step that a job ran or may have run.
    pub spent_epsilon: f64,
    /// The budget's epsilon less that; null where no budget was set. Epsilons do not add up: a job may fit whose own is larger.
    #[schema(required = true)]
    pub remaining_epsilon: Option<f64>,
    /// The delta at which epsilon was counted.
    #[schema(required = true)]
    pub delta: Option<f64>,
    /// Every run that drew on it, in the order in which they began.
    pub jobs: Vec<FilePrivacyRun>,
}

/// An (epsilon, delta) guarantee.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct PrivacyBudget {
    /// The bound on the privacy loss.
    pub epsilon: f64,
    /// The probability by which it may fail.
    pub delta: f64,
}

/// One run of a job, as it was charged.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct FilePrivacyRun {
    /// The job.
    pub job: JobId,
    /// Which of its attempts.
    pub epoch: u64,
    /// Standard deviation of its noise over the limit on a unit's gradient.
    pub noise_multiplier: f64,
    /// The probability with which a unit took part in a step.
    pub sampling_rate: f64,
    /// Steps that it was given before they ran.
    pub steps_reserved: u64,
    /// Steps that a checkpoint carries.
    pub steps_committed: u64,
    /// Steps that count: all that were reserved, but for a run that ended in order and gave back what it did not use.
    pub steps_charged: u64,
    /// Where the run stands.
    pub state: FilePrivacyState,
}

/// Where a run stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum FilePrivacyState {
    /// It may be running.
    Open,
    /// It ended in order.
    Settled,
    /// It died, or failed: all that it reserved may have run and been seen.
    Crashed,
}

/// Sets what all private jobs on a file's content may spend together.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SetPrivacyBudget {
    /// The budget.
    pub budget: NewPrivacyBudget,
    /// Whom it protects: `"example"` where left out. The first budget or private job on the content settles it.
    #[serde(default)]
    pub unit: Option<PrivacyUnit>,
}

/// A budget that is to be set.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewPrivacyBudget {
    /// The bound on the privacy loss: 0.001 to 1000.
    #[schema(exclusive_minimum = 0)]
    pub epsilon: f64,
    /// The probability by which it may fail: `"auto"` is 1 / units^1.1, and at most 1 / units is taken.
    #[serde(default)]
    #[schema(schema_with = crate::auto::number)]
    pub delta: Auto<f64>,
}

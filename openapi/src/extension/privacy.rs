//! Differential privacy: what a job asks for, and what it then carries out.

use serde::{Deserialize, Serialize};

use crate::auto::Auto;

/// Makes a job differentially private. Give `target_epsilon` and the noise is chosen for it, or give `noise_multiplier` and epsilon
/// follows from it.
///
/// The guarantee is (epsilon, delta) for data sets that differ by one unit added or removed. Every step draws each unit on its own with
/// the same probability, cuts its gradient to a limit, and adds noise to the sum.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Privacy {
    /// The most epsilon that the job may spend; 0.001 to 1000.
    #[schema(exclusive_minimum = 0)]
    pub target_epsilon: Option<f64>,
    /// Standard deviation of the noise over the limit on a unit's gradient; 0.01 to 1000000.
    #[schema(exclusive_minimum = 0)]
    pub noise_multiplier: Option<f64>,
    /// The probability by which epsilon may fail: `"auto"` is 1 / units^1.1, and at most 1 / units is taken.
    #[schema(schema_with = crate::auto::number)]
    pub delta: Auto<f64>,
    /// The limit on the L2 norm of a unit's gradient: where `clipping` is `adaptive`, that of the first step.
    #[schema(exclusive_minimum = 0)]
    pub clip_norm: f64,
    /// How gradients are cut.
    pub clipping: Clipping,
    /// Whom the guarantee protects.
    pub unit: PrivacyUnit,
    /// How epsilon is counted.
    pub accountant: PrivacyAccountant,
}

impl Default for Privacy {
    fn default() -> Self {
        Self {
            target_epsilon: None,
            noise_multiplier: None,
            delta: Auto::Auto,
            clip_norm: 1.0,
            clipping: Clipping::Flat,
            unit: PrivacyUnit::default(),
            accountant: PrivacyAccountant::Prv,
        }
    }
}

/// How gradients are cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Clipping {
    /// One limit on a unit's whole gradient.
    #[default]
    Flat,
    /// `clip_norm` spread evenly over the adapted layers, each with a limit of its own.
    PerLayer,
    /// Every gradient is brought close to norm 1, whatever it was; `clip_norm` stays 1. Bu et al., "Automatic Clipping", 2022.
    Automatic,
    /// The limit follows the median of the norms, which costs a little of the noise. Andrew et al., 2021.
    Adaptive,
}

/// How epsilon is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum PrivacyAccountant {
    /// Numerical composition of privacy loss random variables: the tightest bound.
    #[default]
    Prv,
    /// Rényi divergence: what Opacus reports by default.
    Rdp,
}

/// Whom the guarantee protects.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(
    untagged,
    expecting = "expected \"example\" or {\"user_field\": NAME, \"examples_per_unit\": COUNT}"
)]
pub enum PrivacyUnit {
    /// `"example"`: one line of the training file.
    Named(NamedUnit),
    /// All lines of one user.
    User(UserUnit),
}

impl Default for PrivacyUnit {
    fn default() -> Self {
        Self::Named(NamedUnit::Example)
    }
}

/// Units that need no settings.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum NamedUnit {
    /// One line of the training file.
    #[default]
    Example,
}

/// All lines of one user, drawn together.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct UserUnit {
    /// The key of each line, beside its data, that names the user: a string or a whole number.
    pub user_field: String,
    /// The most lines of a user that take part in a step; the user's gradient is the mean over them.
    #[schema(minimum = 1)]
    pub examples_per_unit: u32,
}

/// The privacy of a job as it is carried out.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct JobPrivacy {
    /// The most epsilon that the job may spend: a run that was repeated after a crash stops before it.
    pub target_epsilon: f64,
    /// The noise in use.
    pub noise_multiplier: f64,
    /// The delta in use.
    pub delta: f64,
    /// The limit on a unit's gradient.
    pub clip_norm: f64,
    /// How gradients are cut.
    pub clipping: Clipping,
    /// Whom the guarantee protects.
    pub unit: PrivacyUnit,
    /// How epsilon is counted.
    pub accountant: PrivacyAccountant,
    /// Units in the training file.
    pub units: u64,
    /// The probability with which a unit takes part in a step.
    pub sampling_rate: f64,
    /// Steps planned.
    pub steps: u64,
    /// Epsilon once all of them have run, each of them once.
    pub expected_epsilon: f64,
    /// What the guarantee does not cover.
    pub not_covered: Vec<String>,
}

/// What a private job has spent.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct PrivacySpent {
    /// Epsilon of every step that the job ran or may have run.
    pub epsilon: f64,
    /// At this delta.
    pub delta: f64,
    /// Those steps: more than the job's own where some were repeated after a crash.
    pub steps: u64,
}

//! The optimizer and the course of its learning rate.

use serde::{Deserialize, Serialize};

/// The optimizer of the adapter's parameters.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Optimizer {
    /// Which one.
    #[serde(rename = "type")]
    pub kind: OptimizerKind,
    /// Peak learning rate. Null takes the adapter's default times `learning_rate_multiplier`.
    pub learning_rate: Option<f64>,
    /// Decay rates of the first and second moment.
    pub betas: [f64; 2],
    /// Added to the root of the second moment.
    pub eps: f64,
    /// Decoupled weight decay.
    pub weight_decay: f64,
    /// Gradients are scaled down to this global norm; null leaves them.
    pub max_grad_norm: Option<f64>,
}

impl Default for Optimizer {
    fn default() -> Self {
        Self {
            kind: OptimizerKind::Adamw,
            learning_rate: None,
            betas: [0.9, 0.999],
            eps: 1e-8,
            weight_decay: 0.0,
            max_grad_norm: Some(1.0),
        }
    }
}

/// The optimizers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum OptimizerKind {
    /// Adam with decoupled weight decay (arXiv 1711.05101).
    Adamw,
}

/// The course of the learning rate over the optimizer steps.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Schedule {
    /// The shape after the warm-up.
    #[serde(rename = "type")]
    pub kind: ScheduleKind,
    /// Share of the steps in which the rate rises from 0 to its peak, 0 to 1.
    pub warmup_ratio: f64,
    /// The last rate as a share of the peak, 0 to 1.
    pub min_ratio: f64,
}

impl Default for Schedule {
    fn default() -> Self {
        Self { kind: ScheduleKind::Cosine, warmup_ratio: 0.03, min_ratio: 0.0 }
    }
}

/// The shapes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum ScheduleKind {
    /// The peak rate to the end.
    Constant,
    /// A straight line down.
    Linear,
    /// Half a cosine down.
    Cosine,
    /// Warm-up, stable, decay: the peak rate, then a straight line down over the last tenth of the steps.
    Wsd,
}

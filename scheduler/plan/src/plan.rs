//! The plan: what a job does, with nothing left open.

use serde::{Deserialize, Serialize};
use trainyard_openapi::auto::Auto;
use trainyard_openapi::extension::{
    Batching, Checkpointing, EarlyStopping, Evaluation, JobExtension, JobResult, Metric, Optimizer,
    OptimizerKind, Overlong, Precision, Progress, Resources, Schedule, ScheduleKind, Sequence,
};
use trainyard_openapi::method::{Hyperparameters, Method, MethodKind, Supervised};

use crate::adapter::AdapterPlan;
use crate::continual::ContinualPlan;
use crate::privacy::PrivacyPlan;

/// Everything that a run does, resolved. Serialised, its bytes are what a checkpoint is bound to.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Plan {
    /// Seed of everything random.
    pub seed: u64,
    /// Passes over the training data.
    pub epochs: u32,
    /// Examples (rows, where they are packed) in an optimizer step.
    pub batch_size: u32,
    /// Factor that the default learning rate was multiplied with; kept for the answer to the client.
    pub learning_rate_multiplier: f64,
    /// What is trained.
    pub adapter: AdapterPlan,
    /// The optimizer.
    pub optimizer: OptimizerPlan,
    /// The course of its rate.
    pub schedule: SchedulePlan,
    /// The number format of base and activations.
    pub precision: Precision,
    /// How examples become rows.
    pub sequence: SequencePlan,
    /// How the effective batch is cut.
    pub batching: BatchingPlan,
    /// When checkpoints are written.
    pub checkpoint: CheckpointPlan,
    /// When the validation data is looked at.
    pub evaluation: EvaluationPlan,
    /// When to stop early.
    pub early_stopping: Option<EarlyStoppingPlan>,
    /// What makes the run differentially private, if it is. Left out where it is not: older plans say nothing of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub privacy: Option<PrivacyPlan>,
    /// The stages, where the job has any or goes on from an earlier result. Left out where not, as older plans are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub continual: Option<ContinualPlan>,
    /// What the job may use.
    pub resources: Resources,
}

/// `AdamW`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct OptimizerPlan {
    /// Peak learning rate.
    pub learning_rate: f64,
    /// Decay rates of the moments.
    pub betas: [f64; 2],
    /// Added to the root of the second moment.
    pub eps: f64,
    /// Decoupled weight decay.
    pub weight_decay: f64,
    /// The largest global gradient norm, if there is one.
    pub max_grad_norm: Option<f64>,
}

/// The course of the learning rate.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SchedulePlan {
    /// The shape.
    pub kind: ScheduleKind,
    /// Share of the steps spent rising.
    pub warmup_ratio: f64,
    /// The last rate as a share of the peak.
    pub min_ratio: f64,
}

/// How examples become rows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SequencePlan {
    /// Tokens in a row at most.
    pub max_length: u32,
    /// `Auto` only here: whether packing pays is known once the data is tokenized, by a rule without choice.
    pub packing: Auto<bool>,
    /// What happens to longer examples.
    pub overlong: Overlong,
}

/// How the effective batch is cut.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BatchingPlan {
    /// Rows through the model at once.
    pub micro_batch_size: u32,
    /// Whether activations are computed again.
    pub gradient_checkpointing: bool,
}

/// When checkpoints are written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CheckpointPlan {
    /// Every so many steps.
    pub every_steps: Option<u32>,
    /// Every so many seconds.
    pub every_seconds: Option<u32>,
    /// How many are kept.
    pub keep: u32,
}

/// When the validation data is looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EvaluationPlan {
    /// Every so many steps; null only before the first and after the last.
    pub every_steps: Option<u32>,
    /// What is measured.
    pub metrics: Vec<Metric>,
}

/// When to stop early.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct EarlyStoppingPlan {
    /// Evaluations without improvement.
    pub patience: u32,
    /// The least improvement.
    pub min_delta: f64,
}

impl Plan {
    /// The hyperparameters as a client sees them.
    pub fn hyperparameters(&self) -> Hyperparameters {
        Hyperparameters {
            batch_size: Auto::Value(self.batch_size),
            learning_rate_multiplier: Auto::Value(self.learning_rate_multiplier),
            n_epochs: Auto::Value(self.epochs),
        }
    }

    /// The method as a client sees it.
    pub fn method(&self) -> Method {
        Method {
            kind: MethodKind::Supervised,
            supervised: Some(Supervised { hyperparameters: self.hyperparameters() }),
            dpo: None,
            reinforcement: None,
        }
    }

    /// The `trainyard` object of the job.
    pub fn extension(&self, progress: Progress, result: Option<JobResult>) -> JobExtension {
        let OptimizerPlan { learning_rate, betas, eps, weight_decay, max_grad_norm } =
            self.optimizer.clone();
        let SchedulePlan { kind, warmup_ratio, min_ratio } = self.schedule.clone();
        let SequencePlan { max_length, packing, overlong } = self.sequence.clone();
        JobExtension {
            adapter: self.adapter.shown(),
            optimizer: Optimizer {
                kind: OptimizerKind::Adamw,
                learning_rate: Some(learning_rate),
                betas,
                eps,
                weight_decay,
                max_grad_norm,
            },
            schedule: Schedule { kind, warmup_ratio, min_ratio },
            precision: Auto::Value(self.precision),
            sequence: Sequence { max_length, packing, overlong },
            batching: Batching {
                micro_batch_size: Auto::Value(self.batching.micro_batch_size),
                gradient_checkpointing: Auto::Value(self.batching.gradient_checkpointing),
            },
            checkpoint: Checkpointing {
                every_steps: self.checkpoint.every_steps,
                every_seconds: self.checkpoint.every_seconds,
                keep: self.checkpoint.keep,
            },
            evaluation: Evaluation {
                every_steps: self.evaluation.every_steps.map_or(Auto::Auto, Auto::Value),
                metrics: self.evaluation.metrics.clone(),
            },
            early_stopping: self.early_stopping.as_ref().map(|early| EarlyStopping {
                patience: early.patience,
                min_delta: early.min_delta,
            }),
            data: None,
            privacy: self.privacy.as_ref().map(PrivacyPlan::extension),
            continual: self.continual.as_ref().map(ContinualPlan::extension),
            resources: self.resources.clone(),
            webhook: None,
            progress,
            result,
            erased: None,
        }
    }
}

//! Continual learning: what a job asks for, and what is reported of it.

use serde::{Deserialize, Serialize};

/// Trains one adapter through a stream of stages, one after the other, and reports what it forgot on the way. Where `model` is an earlier
/// result, the job goes on from it: its stages come before this job's.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Continual {
    /// The stages in the order of the data; null makes one stage of the job's own two files. The first stage's training file is the
    /// job's `training_file`, and the job has no `validation_file` beside those of its stages.
    pub stages: Option<Vec<NewStage>>,
    /// What is done against forgetting; none is to train on, stage after stage.
    pub strategies: Vec<Strategy>,
    /// A general file that is measured after every stage and never trained on.
    pub held_out_file: Option<String>,
    /// The most that the loss on an earlier stage may rise above its best, in nats: a stage that breaks it is rejected, and the adapter
    /// before it stays the result.
    #[schema(minimum = 0)]
    pub max_forgetting: Option<f64>,
    /// The same limit on the held-out file's loss.
    #[schema(minimum = 0)]
    pub max_held_out_fall: Option<f64>,
    /// The order in which the stages are trained.
    pub order: StageOrder,
}

/// A stage of a stream.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewStage {
    /// Its name, one of its own: 1 to 128 characters.
    pub name: String,
    /// The file that it trains on.
    pub training_file: String,
    /// The file that it is measured with, after every stage. Null is taken only where the job has one stage, no limit and an earlier
    /// result to go on from: it is then not measured.
    #[serde(default)]
    pub validation_file: Option<String>,
}

/// The order in which stages are trained.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum StageOrder {
    /// As they were named.
    #[default]
    AsGiven,
    /// By the untrained model's loss on their validation files, the lowest first.
    EasiestFirst,
    /// The highest first.
    HardestFirst,
    /// At random, from the job's seed.
    Shuffled,
}

/// What is done against forgetting.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Strategy {
    /// Examples of earlier stages are mixed into every batch.
    Replay(Replay),
    /// Replay that also holds the model to the logits that it gave. Buzzega et al., "Dark Experience for General Continual Learning",
    /// 2020.
    Derpp(Derpp),
    /// Parameters that mattered are held in place. Kirkpatrick et al., 2017; `online`: Schwarz et al., 2018.
    Ewc(Ewc),
    /// The model is held to what the adapter before the stage says of the stage's data. Li and Hoiem, "Learning without Forgetting", 2016.
    Lwf(Lwf),
    /// A gradient that would undo earlier stages is turned. Chaudhry et al., "Efficient Lifelong Learning with A-GEM", 2019.
    AGem(AGem),
    /// Every stage gets an adapter of its own, orthogonal to those before. Wang et al., "Orthogonal Subspace Learning", 2023.
    OLora(OLora),
    /// The result is a moving average of the parameters.
    Ema(Ema),
    /// Every stage trains an adapter of its own from the start; the result is their weighted sum.
    Merge(Merge),
    /// All stages at once, in one stage: not continual, but the bound that the others are measured against.
    Joint(Joint),
}

/// Which examples are remembered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum MemoryPolicy {
    /// Each example ever trained on is as likely.
    Reservoir,
    /// Each stage has the same number of places.
    #[default]
    BalancedPerStage,
}

/// Replay.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Replay {
    /// The share of replayed examples in a batch, above 0 to 0.9.
    pub ratio: f64,
    /// The most examples that are remembered, 1 to 1000000.
    pub capacity: u32,
    /// Which they are.
    pub policy: MemoryPolicy,
}

impl Default for Replay {
    fn default() -> Self {
        Self { ratio: 0.1, capacity: 1_000, policy: MemoryPolicy::default() }
    }
}

/// DER++.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Derpp {
    /// Remembered examples in a step, as a share of the batch, above 0 to 0.9.
    pub ratio: f64,
    /// The most examples that are remembered, 1 to 100000: each carries its logits.
    pub capacity: u32,
    /// Which they are.
    pub policy: MemoryPolicy,
    /// Weight of the squared distance to the kept logits.
    pub alpha: f64,
    /// Weight of the remembered examples' own loss.
    pub beta: f64,
    /// How many of a token's logits are kept, the highest, 1 to 256.
    pub top_k: u32,
}

impl Default for Derpp {
    fn default() -> Self {
        let Replay { ratio, capacity, policy } = Replay::default();
        Self { ratio, capacity, policy, alpha: 0.5, beta: 0.5, top_k: 16 }
    }
}

/// Elastic weight consolidation.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Ewc {
    /// Weight of the penalty: lambda / 2 sum F (theta - theta*)^2.
    pub lambda: f64,
    /// One running Fisher information instead of one per stage.
    pub online: bool,
    /// What the running one is multiplied by as a stage is added, 0 to 1; only with `online`.
    pub decay: f64,
    /// Examples of a stage that its Fisher information is the mean over, at most; null takes all.
    pub samples: Option<u32>,
}

impl Default for Ewc {
    fn default() -> Self {
        Self { lambda: 1_000.0, online: false, decay: 1.0, samples: Some(256) }
    }
}

/// Learning without forgetting.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Lwf {
    /// Weight of the divergence from the teacher.
    pub alpha: f64,
    /// What both sides' logits are divided by.
    pub temperature: f64,
}

impl Default for Lwf {
    fn default() -> Self {
        Self { alpha: 1.0, temperature: 2.0 }
    }
}

/// A-GEM.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct AGem {
    /// Remembered examples that the reference gradient is taken over; null takes as many as a batch has.
    pub batch_size: Option<u32>,
    /// The most examples that are remembered, 1 to 1000000.
    pub capacity: u32,
    /// Which they are.
    pub policy: MemoryPolicy,
}

impl Default for AGem {
    fn default() -> Self {
        Self { batch_size: None, capacity: 1_000, policy: MemoryPolicy::default() }
    }
}

/// O-LoRA. The result's rank is the sum of its stages' ranks.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct OLora {
    /// Weight of the sum of absolute products of earlier and new rows of A.
    pub orthogonality: f64,
    /// Weight of the new adapter's norms.
    pub norm: f64,
}

impl Default for OLora {
    fn default() -> Self {
        Self { orthogonality: 0.5, norm: 0.0 }
    }
}

/// A moving average of the parameters.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Ema {
    /// The share of the average that stays in a step, 0 to below 1.
    pub decay: f64,
}

impl Default for Ema {
    fn default() -> Self {
        Self { decay: 0.99 }
    }
}

/// A weighted sum of the stages' adapters. Its rank is the sum of their ranks.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Merge {
    /// A weight for each stage of the job, other than 0; null gives each 1 / stages.
    pub weights: Option<Vec<f64>>,
}

/// Joint training.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Joint {}

/// The continual learning of a job as it is carried out.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct JobContinual {
    /// The stages of this job, as given.
    pub stages: Vec<NewStage>,
    /// Those of the models that it goes on from, the first first.
    pub earlier_stages: Vec<String>,
    /// What is done against forgetting.
    pub strategies: Vec<Strategy>,
    /// The general file.
    pub held_out_file: Option<String>,
    /// The limit on forgetting, in nats.
    pub max_forgetting: Option<f64>,
    /// The limit on the held-out file.
    pub max_held_out_fall: Option<f64>,
    /// The order of the stages.
    pub order: StageOrder,
}

/// Where a stream is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct ContinualProgress {
    /// The stage at hand, from 1, in the order of training.
    pub stage: u32,
    /// Stages of the job.
    pub stages: u32,
    /// The stage's name.
    pub name: String,
    /// The job's steps before the stage.
    pub first_step: u64,
    /// The stage's steps.
    pub steps: u64,
}

/// What came of the stages of a job.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(default)]
pub struct ContinualResult {
    /// The stages that are over, in the order of training, those of earlier jobs first.
    pub stages: Vec<StageResult>,
    /// One matrix for each measure.
    pub matrices: Vec<Matrix>,
}

/// What came of a stage.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct StageResult {
    /// Its name.
    pub name: String,
    /// Whether the adapter went on with it.
    pub kept: bool,
    /// What the gate said; null where there is none.
    pub reason: Option<String>,
    /// The job's steps after the stage; the checkpoint of that step is the adapter after it. Null for a stage of an earlier job.
    pub last_step: Option<u64>,
}

/// The scores on every stage after every stage, and what is read off them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Matrix {
    /// The measure: `loss` in nats, `token_accuracy` or `perplexity`. A perplexity above 1e12 is given as 1e12; the matrix of the loss is
    /// always there and has no such limit.
    pub metric: String,
    /// Which way it is better.
    pub higher_is_better: bool,
    /// The names of the columns, in the order of training.
    pub stages: Vec<String>,
    /// What was trained last before each row: a stage, or `joint` where all of them were trained at once.
    #[serde(default)]
    pub after: Vec<String>,
    /// The untrained model.
    pub base: MatrixRow,
    /// The adapter after each stage so far. What the adapters of earlier jobs but the last would score on this job's stages is not
    /// known: the base model's value stands there, so that it counts neither as learned nor as forgotten.
    pub rows: Vec<MatrixRow>,
    /// The mean of the last row, turned like the figures below so that higher is better: of a loss it is negated.
    pub average: Option<f64>,
    /// How much the stages after a stage changed what it had learned, on average: below 0 they undid some of it.
    pub backward_transfer: Option<f64>,
    /// How much better a stage was before it was trained than with the untrained model, on average.
    pub forward_transfer: Option<f64>,
    /// How far earlier stages are below their best, on average.
    pub forgetting: Option<f64>,
}

/// A row of a matrix.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct MatrixRow {
    /// One value for each stage.
    pub stages: Vec<f64>,
    /// The value on the held-out file.
    pub held_out: Option<f64>,
}

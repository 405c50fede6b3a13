//! From a create request to a [`Plan`]: every default written down, every `"auto"` resolved, every limit checked.
//!
//! What passes here is carried out as written; below it nothing is optional or unvalidated. The scheduler resolves
//! requests of the API with it, the trainer requests from a file: one meaning for both. No I/O, no clock, no
//! randomness: the same request and facts give the same plan.

mod adapter;
mod check;
mod continual;
mod facts;
mod lineage;
mod memory;
mod plan;
mod privacy;
mod processor;
mod resolve;
mod strategies;
pub mod trainer;

pub use adapter::{
    AdapterPlan, FullPlan, HeadPlan, Ia3Plan, LoraPlan, PrefixPlan, PromptPlan, compatibility,
};
pub use continual::{ContinualPlan, ParentPlan};
pub use facts::{DataFacts, HostFacts, ModelFacts, ParentFacts, StreamFacts};
pub use memory::memory_fit;
pub use plan::{
    BatchingPlan, CheckpointPlan, EarlyStoppingPlan, EvaluationPlan, OptimizerPlan, Plan,
    SchedulePlan, SequencePlan,
};
pub use privacy::{PrivacyPlan, accountant_of, resolve_unit, unit_of};
pub use processor::fast_bf16;
pub use resolve::resolve;

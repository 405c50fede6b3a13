//! Model architectures. A family is one file here and one variant of [`config::ModelType`].

pub mod batch;
pub mod causal_lm;
pub mod config;
pub mod llama;

pub use batch::{Layout, ModelBatch};
pub use causal_lm::{AtHead, CausalLm, StepOptions};

//! Model architectures. A family is one file here and one variant of [`config::ModelType`].

pub mod causal_lm;
pub mod config;
pub mod llama;

pub use causal_lm::{AtHead, CausalLm, ModelBatch, StepOptions};

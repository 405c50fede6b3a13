//! Continual learning: an adapter trained on a stream of stages, one after the other, and what it forgot on the way.
//!
//! Pure computation: no tensors, files, network or clock, and the same answers on every machine.
//!
//! | module | what it computes |
//! |---|---|
//! | [`matrix`] | the scores on each stage after each stage |
//! | [`metrics`] | average score, transfer, forgetting, intransigence |
//! | [`gate`] | whether what a stage trained is kept |
//!
//! A new metric is a function beside those of [`metrics`] and a field of its summary.

mod error;
pub mod gate;
pub mod matrix;
pub mod metrics;
mod name;

pub use error::ContinualError;
pub use name::StageName;

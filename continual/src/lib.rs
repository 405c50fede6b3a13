//! Continual learning: an adapter trained on a stream of stages, one after the other, and what it forgot on the way.
//!
//! Pure computation: no tensors, files, network or clock, and the same answers on every machine. Chance comes from a seed and a counter
//! ([`random`]) that stand in the checkpoint, so that a resumed run goes on with the draws that an unbroken one would have made.
//!
//! | module | what it computes |
//! |---|---|
//! | [`matrix`] | the scores on each stage after each stage |
//! | [`metrics`] | average score, transfer, forgetting, intransigence |
//! | [`gate`] | whether what a stage trained is kept |
//! | [`memory`] | which examples of past stages are replayed |
//! | [`merge`] | weights and ranks of adapters that become one |
//! | [`report`] | the matrix as CSV and as a picture |
//! | [`stages`] | which stage a step belongs to |
//!
//! A new metric is a function beside those of [`metrics`] and a field of its summary; a new policy of what is remembered is a variant of
//! [`memory::Policy`], about which the compiler then asks.

mod error;
pub mod gate;
pub mod matrix;
pub mod memory;
pub mod merge;
pub mod metrics;
mod name;
pub mod random;
pub mod report;
pub mod stages;

pub use error::ContinualError;
pub use name::StageName;

//! Differential privacy for training: what a run costs, how much noise it needs, the noise itself, and the record of what was spent.
//!
//! Pure computation: no tensors, files, network or clock. The only thing it takes from outside is a key from the operating
//! system's generator (`random`).
//!
//! The guarantee is for neighbouring data sets that differ by one unit added or removed ([`mod@unit`]), with each unit drawn on its own in
//! every step (Poisson sampling). It does not cover what is computed from the data without noise: statistics, tokenizer training,
//! losses and gradient norms shown step by step, or a checkpoint chosen by its loss on private data.

mod accountant;
pub mod audit;
pub mod clip;
mod error;
pub mod ledger;
mod phase;
pub mod prv;
pub mod random;
pub mod rdp;
mod solve;
mod special;
pub mod unit;

pub use accountant::{Accountant, Accounting};
pub use error::PrivacyError;
pub use phase::{Budget, Mechanism, Phase, checked_delta, merge};
pub use solve::{Calibration, Forecast};

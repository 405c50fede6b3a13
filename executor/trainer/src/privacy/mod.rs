//! What makes a run differentially private: gradients unit by unit, their limit, the noise on their sum, and the leave to take a step.
//!
//! The mathematics is the crate `trainyard-privacy`'s; here it meets tensors. The step itself is in [`crate::train`].

pub mod clip;
pub mod ghost;
pub mod gradients;
pub mod local;
pub mod noise;
pub mod part;
pub mod reserve;
pub mod row_units;
pub mod units;

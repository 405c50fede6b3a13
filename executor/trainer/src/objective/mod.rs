//! What is minimised.

pub mod cross_entropy;

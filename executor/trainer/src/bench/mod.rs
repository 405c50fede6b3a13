//! What a training step costs on this machine, and what it could cost at best.

pub mod roofline;
pub mod step;

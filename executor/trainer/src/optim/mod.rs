//! Optimizers whose whole state can be saved, and the course of their learning rate. Pure in the step, but for `AdamW`.

pub mod adamw;
pub mod clip;
pub mod parameters;
pub mod schedule;

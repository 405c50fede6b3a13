//! The training loop: what happens in a step, between steps, and what is kept of it.

pub mod checkpoint;
pub mod control;
pub mod history;
pub mod memory;
pub mod pace;
pub mod private;
pub mod session;
pub mod state;
pub mod step;

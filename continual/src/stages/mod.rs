//! A stream of stages over the steps of a run.
//!
//! A step's stage is a function of the step alone, so a run resumes at any step without having gone through those before.

mod order;
mod schedule;

pub use order::Order;
pub use schedule::{Position, Schedule, Stage};

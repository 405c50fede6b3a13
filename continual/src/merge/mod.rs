//! Adapters that become one: the weights and the plan. The tensors are combined elsewhere.

mod concatenation;
mod ema;

pub use concatenation::{Concatenation, Part, Placed};
pub use ema::Ema;

//! Delivers webhooks. The scheduler says what is due and keeps what came of it; this crate connects, to public addresses alone.
//!
//! [`Deliverer`] is the loop, [`client`] the one way out, [`resolver`] what holds it to allowed addresses.

pub mod client;
mod deliverer;
pub mod resolver;

pub use deliverer::Deliverer;

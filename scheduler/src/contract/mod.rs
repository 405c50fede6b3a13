//! Conformance suites: one for each port, run on every adapter. They panic where the contract does not hold.
//!
//! A new adapter calls its suite from a test with a way to open it; nothing else is needed to know that it fits.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a suite is a test that other crates can run: it panics where the contract does not hold"
)]

mod document;
mod live;
pub mod news;
pub mod objects;
pub mod queue;
pub mod sample;
pub mod store;

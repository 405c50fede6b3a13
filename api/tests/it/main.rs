//! The API over a real scheduler, called over real sockets.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    missing_docs,
    reason = "a test fails by panicking"
)]

mod contract;
mod document;
mod files;
mod limits;
mod idempotency;
mod requests;
mod server;
mod uploads;

//! The API over a real scheduler, called over real sockets.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    missing_docs,
    reason = "a test fails by panicking"
)]

mod attacks;
mod continual;
mod contract;
mod document;
mod embed;
mod erasure;
mod executor;
mod files;
mod idempotency;
mod isolation;
mod issuer;
mod leases;
mod limits;
mod metrics;
mod privacy;
mod requests;
mod server;
mod streams;
mod tokens;
mod uploads;

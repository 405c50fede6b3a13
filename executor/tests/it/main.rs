//! The agent under a real scheduler on real adapters, with a trainer that misbehaves as told (`double.py`). That the real trainer is run
//! rightly is shown by the end-to-end tests.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    missing_docs,
    reason = "a test fails by panicking"
)]

mod bench;
mod remote;
mod runs;
mod tls;
mod unacknowledged;

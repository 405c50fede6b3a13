//! Webhooks from the transition to a receiver on this machine.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test ends where it fails")]

mod delivery;
mod receiver;
mod ssrf;
mod world;

//! End to end: the built server and trainer as processes, with the clients that users have.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test ends where it fails")]
#![allow(
    clippy::print_stdout,
    reason = "a test says its seed, its figures, and what it could not try"
)]

mod backup;
mod bad_input;
mod cli;
mod cluster;
mod continual;
mod crash;
mod disks;
mod erasure;
mod kills;
mod lifecycle;
mod logs;
mod memory;
mod metrics;
mod oidc;
mod openai_client;
mod operators;
mod peft_parity;
mod preflight;
mod private;
mod rabbitmq;
mod real_cluster;
mod redis_store;
mod s3;
mod schema;
mod streams;
mod traces;
mod uploads;

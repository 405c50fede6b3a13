//! Everything that crosses a file border: adapters against their contracts, jobs from request to result.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that panics has failed")]
#![allow(
    clippy::print_stdout,
    reason = "a test says its seed, its figures, and what it saw on the way"
)]

mod adapters;
mod audit;
mod continual;
mod crashes;
mod erasure;
mod erasure_tenant;
mod executors;
mod leases;
mod lifecycle;
mod metrics;
mod owner;
mod power;
mod privacy;
mod quotas;
mod rabbitmq;
mod random;
mod redis;
mod repeats;
mod s3;
mod share;
mod simulation;
mod state;
mod store_model;
mod sweep;
mod tenancy;
mod traces;
mod world;

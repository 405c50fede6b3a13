//! Faults on real processes: two apis, two schedulers and three executors over Redis, RabbitMQ and S3, while clients submit, cancel and
//! pause. Afterwards everything is healed, and what is there is held against what was promised.
//!
//! The trainer alone is not the engine: it hashes (`chain`), so that a step too few or too many shows in the result. A seed repeats
//! the choice of faults, not the moments at which they strike.
#![expect(
    clippy::expect_used,
    reason = "a set-up that fails, or a service that nobody can reach any more, shall end the run where it failed"
)]

pub mod chain;
pub mod check;
pub mod client;
pub mod fault;
pub mod fleet;
pub mod forgotten;
pub mod held;
pub mod ledger;
pub mod mutant;
pub mod nemesis;
pub mod proxy;
pub mod random;
pub mod report;
pub mod run;
pub mod services;
pub mod zombies;

//! The commands that run until a signal ends them: everything in one process ([`embedded`]), or its parts on their own over a record that
//! they share ([`api`], [`scheduler`], [`executor`]).
//!
//! Each starts parts and ends them in order; what they do is theirs. Only `serve` takes over what an earlier process left in the record: with
//! several processes nobody knows that a lease is nobody's before it has run out.

mod api;
mod embedded;
mod error;
mod executor;
mod jwks;
mod key;
mod listen;
mod lock;
mod log;
mod metrics;
mod parts;
mod scheduler;
mod signal;
mod start;

pub(crate) use api::{ApiArgs, run as run_api};
pub(crate) use embedded::{ServeArgs, run as run_embedded};
pub(crate) use error::ServeError;
pub(crate) use executor::{ExecutorArgs, run as run_executor};
pub(crate) use lock::DirectoryLock;
pub(crate) use scheduler::{SchedulerArgs, run as run_scheduler};

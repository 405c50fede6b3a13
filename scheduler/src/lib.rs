//! What a job is, who may run it, what runs next. No HTTP, no libtorch, no environment.
//!
//! [`Scheduler`] is the only door. Clients come in with a [`TenantContext`], executors through
//! [`port::control_plane::ControlPlane`]; behind it stand the ports.

pub mod adapter;
pub mod audit;
pub mod base_model;
pub mod clock;
pub mod config;
pub mod contract;
pub mod erasure;
pub mod error;
pub mod executor;
pub mod guard;
pub mod job;
pub mod key;
pub mod lease_token;
pub mod ledger;
pub mod metrics;
pub mod policy;
pub mod port;
pub mod request;
pub mod scheduler;
pub mod tenant;
pub mod token;
pub mod trace;
pub mod upload;
pub mod webhook;

pub use base_model::BaseModels;
pub use config::{Devices, SchedulerConfig};
pub use error::SchedulerError;
pub use metrics::Metrics;
pub use scheduler::{DEFAULT_POOL, IdempotencyKey, Parts, Repeat, Scheduler, Submitted};
pub use tenant::TenantContext;
pub use token::Token;
pub use trace::TraceParent;

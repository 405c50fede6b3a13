//! The agent: takes tickets, keeps leases, moves files, and supervises one trainer process per job.
//!
//! It changes nothing but through the control plane, and trains nothing itself. What it hands the trainer is files and an empty
//! environment.

mod agent;
mod config;
mod events;
mod fetched;
mod finish;
mod inputs;
mod inspect;
mod lease;
mod leftovers;
mod lines;
mod metrics;
mod oom;
mod outcome;
mod presence;
mod process;
mod remote;
mod reservation;
mod run;
mod upload;
mod watchdog;

pub use agent::Agent;
pub use config::AgentConfig;
pub use inspect::TrainerInspector;
pub use metrics::Metrics;
pub use remote::{RemoteControlPlane, RemoteError};

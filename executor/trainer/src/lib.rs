//! Trains one job: files and tensors only.
//!
//! It opens no socket, holds no credential and starts no async runtime. A run is a value: nothing here is global,
//! one thread owns a run's tensors.

pub mod arch;
pub mod artifact;
pub mod bench;
pub mod cli;
pub mod continual;
pub mod data;
pub mod device;
pub mod error;
pub mod eval;
pub mod import;
pub mod kernels;
pub mod nn;
pub mod objective;
pub mod optim;
pub mod peft;
pub mod privacy;
pub mod rng;
pub mod run;
pub mod train;
pub mod weights;

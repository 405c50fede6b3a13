//! The wire contract of Trainyard: OpenAI's fine-tuning API and the `trainyard` object beside it.
//!
//! Types, ids, error codes, limits and validation; no I/O, no HTTP, no clock. Everything else in the project
//! imports this crate and it imports nothing of the project.

pub mod auto;
pub mod body;
pub mod checkpoint;
pub mod erasure;
pub mod error;
pub mod event;
pub mod extension;
pub mod file;
pub mod file_privacy;
pub mod id;
pub mod job;
pub mod job_error;
pub mod limits;
pub mod line;
pub mod link;
pub mod method;
pub mod model;
pub mod page;
pub mod preflight;
pub mod result;
pub mod tenant;
pub mod upload;
pub mod webhook;

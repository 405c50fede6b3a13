//! The client commands. Each file is one command, or a few of one kind: flags, then what they do. `connection` has the flags
//! that all of them share.

pub(crate) mod audit;
pub(crate) mod backup;
pub(crate) mod connection;
pub(crate) mod create;
pub(crate) mod download;
mod erase;
pub(crate) mod files;
mod follow;
pub(crate) mod import;
pub(crate) mod jobs;
pub(crate) mod keys;
pub(crate) mod models;
mod parts;
mod preflight;
mod privacy;
pub(crate) mod restore;
mod stages;
pub(crate) mod tenants;
pub(crate) mod upload;
pub(crate) mod usage;
pub(crate) mod watch;
pub(crate) mod webhooks;

//! What the end-to-end tests share: a real server in a process of its own, its client, the tiny model and its data.
//!
//! Nothing here stands in for a part of the project: servers and trainers are the built binaries. A missing binary or Python
//! environment fails the test with the command that makes it.
#![expect(
    clippy::expect_used,
    reason = "a test's set-up that fails shall end the test where it failed"
)]

pub mod api;
pub mod built;
pub mod cluster;
pub mod data;
pub mod process;
pub mod redis;
pub mod rgw;
pub mod server;

pub use api::Api;
pub use cluster::{Cluster, ClusterOptions, Role};
pub use redis::Redis;
pub use rgw::Rgw;
pub use server::Server;

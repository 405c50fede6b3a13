//! What the scheduler needs from outside, as traits. Each contract stands in the doc comments; `crate::contract` holds
//! every adapter to it. To add a backend: one file in `crate::adapter`, one URL scheme, the conformance suite run on it.

pub mod control_plane;
pub mod document;
pub mod inspector;
pub mod lease_call;
pub mod news;
pub mod objects;
pub mod queue;
pub mod store;

//! The dispatch protocol as an explicit-state model, checked over every interleaving.
//!
//! One job, two executors, a store, a queue and a client, each step an atomic script of the store or a move of a message. A budget of
//! faults pays for crashes, stalls, lost answers, lost, doubled and late messages. The states of the job are those of the product: the model
//! goes through `JobState::apply`.
//!
//! What is checked in every state stands in [`properties`]; that a job never gets stuck, in [`stuck`]. A model that finds nothing proves
//! little until it finds what is there: [`Variant`] breaks the protocol in one place at a time, and each break has to be found.
//!
//! Limits: one job (jobs share nothing but quota counters), an abstract clock, no fairness, and a store that does one script at a time.

pub mod action;
pub mod properties;
pub mod record;
pub mod report;
pub mod step;
pub mod stuck;
pub mod variant;
pub mod world;

pub use report::{Report, check};
pub use variant::Variant;
pub use world::{Protocol, World};

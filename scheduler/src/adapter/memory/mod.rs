//! Backends inside one process; they end with it. For trials and for tests: nothing here is durable.

mod queue;
mod store;

pub use queue::MemoryQueue;
pub use store::MemoryStore;

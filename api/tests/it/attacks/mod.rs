//! What nobody should send. Each is refused cleanly, and the server goes on answering.

mod credentials;
mod flood;
mod names;
mod races;
mod slow;
mod wire;

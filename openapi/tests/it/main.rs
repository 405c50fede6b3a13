//! The wire's own tests.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    missing_docs,
    reason = "a test fails by panicking"
)]

mod corpus;
mod job_errors;
mod lines;

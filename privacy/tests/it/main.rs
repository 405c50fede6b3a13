//! Accounting against reference libraries, noise against its distribution, and the ledger against crashes.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    missing_docs,
    reason = "a test fails by panicking"
)]

mod audit;
mod clip;
mod epsilon;
mod gaussian;
mod ledger;
mod ledger_crashes;
mod noise_multiplier;
mod random;

//! The engine against values of the reference libraries, and the binary against everything that a run can meet.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    missing_docs,
    reason = "a test fails by panicking"
)]

mod audit;
mod continual;
mod corpus;
mod cuda;
mod data_chat;
mod data_rows;
mod failures;
mod full;
mod gguf;
mod golden;
mod gradients;
mod kernels;
mod logits;
mod lora;
mod memory;
mod method_runs;
mod methods;
mod private;
mod resume;
mod run;
mod sft_parity;
mod trainer;
mod unit_gradients;

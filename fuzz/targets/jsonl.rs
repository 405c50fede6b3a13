#![no_main]

#[path = "../src/jsonl.rs"]
mod jsonl;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| jsonl::run(bytes));

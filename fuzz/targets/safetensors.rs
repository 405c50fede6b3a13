#![no_main]

#[path = "../src/safetensors.rs"]
mod safetensors;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| safetensors::run(bytes));

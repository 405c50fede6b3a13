#![no_main]

#[path = "../src/chat_template.rs"]
mod chat_template;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| chat_template::run(bytes));

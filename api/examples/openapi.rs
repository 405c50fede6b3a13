//! Writes the OpenAPI document to standard output: `cargo run -p trainyard-api --example openapi > openapi/openapi.json`.

use std::io::Write;

fn main() -> std::io::Result<()> {
    std::io::stdout().write_all(trainyard_api::doc::json().as_bytes())
}

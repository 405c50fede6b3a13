//! The document: as committed, complete, and true of the server.

use serde_json::Value;

/// Every operation: path, method, description.
pub(crate) fn operations() -> Vec<(String, String, Value)> {
    let document = trainyard_api::openapi();
    let mut all = Vec::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            all.push((path.clone(), method.clone(), operation.clone()));
        }
    }
    assert!(all.len() >= 19, "{} operations", all.len());
    all
}

#[test]
fn the_committed_document_is_the_generated_one() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../openapi/openapi.json");
    let committed = std::fs::read_to_string(path).unwrap();
    assert!(
        committed == trainyard_api::doc::json(),
        "openapi/openapi.json is out of date: run `make openapi`"
    );
}

#[test]
fn every_operation_is_described() {
    for (path, method, operation) in operations() {
        let name = format!("{method} {path}");
        for key in ["summary", "description", "operationId"] {
            assert!(
                operation[key].as_str().is_some_and(|text| !text.is_empty()),
                "{name} has no {key}"
            );
        }
        let responses = operation["responses"].as_object().unwrap();
        let errors = responses.keys().filter(|status| status.starts_with('4')).count();
        assert!(errors > 0, "{name} has no error response");
        let content = responses["200"]["content"].as_object().unwrap().values().next().unwrap();
        assert!(content.get("example").is_some(), "{name} has no example");
    }
}

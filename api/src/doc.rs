//! The OpenAPI document, made from the types and handlers, and completed by rule: every operation gets its error answers and an
//! example.

mod examples;

use std::sync::LazyLock;

use serde_json::{Value, json};
use trainyard_openapi::error::{ErrorBody, ErrorCode};
use trainyard_openapi::job_error::JobErrorCode;
use trainyard_openapi::limits::{FILE_PAGE_LIMIT_MAX, PAGE_LIMIT_MAX};
use trainyard_openapi::page::Order;
use trainyard_openapi::result::COLUMNS;
use utoipa::OpenApi as _;

use crate::routes::{
    artifacts, erasures, files, health, jobs, models, privacy, tenants, uploads, usage, webhooks,
};

const METHODS: [&str; 3] = ["get", "post", "delete"];

#[derive(utoipa::OpenApi)]
#[openapi(
    paths(
        files::create, files::list, files::retrieve, files::remove, files::content, files::link, erasures::lineage, erasures::retrieve,
        privacy::retrieve, privacy::set,
        uploads::create, uploads::add_part, uploads::complete, uploads::cancel,
        jobs::create, jobs::preflight, jobs::list, jobs::retrieve, jobs::cancel, jobs::pause, jobs::resume, jobs::events, jobs::checkpoints,
        models::list, models::retrieve, models::lineage, models::remove, artifacts::list, artifacts::download, artifacts::link,
        tenants::create, tenants::list, tenants::retrieve, tenants::update, tenants::remove, tenants::create_key, tenants::keys,
        tenants::retrieve_key, tenants::revoke_key, tenants::rotate_key, tenants::audit, usage::retrieve,
        webhooks::create, webhooks::list, webhooks::retrieve, webhooks::update, webhooks::remove, webhooks::rotate_secret,
        webhooks::test, webhooks::deliveries,
        health::live, health::ready,
    ),
    components(schemas(ErrorBody, Order)),
    tags(
        (name = "Files", description = "Training and validation files, and result files."),
        (name = "Fine-tuning", description = "Jobs, their events and checkpoints."),
        (name = "Models", description = "Base models, fine-tuned models and their files."),
        (name = "Usage", description = "What the tenant has used and may use."),
        (name = "Webhooks", description = "Endpoints that are told of the events of jobs."),
        (name = "Administration", description = "Tenants, their keys and audit logs, for keys with the scope `admin`."),
        (name = "Health", description = "Probes."),
    ),
)]
struct Document;

static JSON: LazyLock<String> = LazyLock::new(|| {
    let mut text = serde_json::to_string_pretty(&openapi()).unwrap_or_default();
    text.push('\n');
    text
});

/// The document as it is served and committed.
pub fn json() -> &'static str {
    &JSON
}

/// The document of an API that is mounted under `prefix`.
pub(crate) fn json_at(prefix: &str) -> String {
    if prefix.is_empty() {
        return json().to_string();
    }
    let mut document = openapi();
    document["servers"][0]["url"] = json!(prefix);
    serde_json::to_string_pretty(&document).unwrap_or_default()
}

/// The document.
pub fn openapi() -> Value {
    let mut document = serde_json::to_value(Document::openapi()).unwrap_or_default();
    document["openapi"] = json!("3.1.0");
    document["info"] = json!({
        "title": "Trainyard",
        "summary": "Training as a service that you run yourself, on OpenAI's fine-tuning API.",
        "description": description(),
        "version": env!("CARGO_PKG_VERSION"),
        "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
    });
    document["servers"] = json!([{"url": "/", "description": "This server"}]);
    document["security"] = json!([{"bearer": []}]);
    document["components"]["securitySchemes"] = json!({
        "bearer": {"type": "http", "scheme": "bearer", "description": "An API key, shown once when it was made, or a token of the OpenID Connect issuer that the operator has set."}
    });
    refer_to_items(&mut document["components"]["schemas"]);
    say_ranges(&mut document);
    if let Some(paths) = document["paths"].as_object_mut() {
        for (path, item) in paths {
            for method in METHODS {
                if let Some(operation) = item.get_mut(method) {
                    complete(path, method, operation);
                }
            }
        }
    }
    document
}

/// The methods of a path, in capitals.
pub(crate) fn methods_of(path: &str) -> Vec<String> {
    static PATHS: LazyLock<Value> = LazyLock::new(|| openapi()["paths"].clone());
    METHODS
        .iter()
        .filter(|method| PATHS[path].get(method).is_some())
        .map(|method| method.to_uppercase())
        .collect()
}

/// The path and the method, in capitals, of every operation.
pub(crate) fn operations() -> Vec<(String, String)> {
    let document = openapi();
    let paths = document["paths"].as_object().into_iter().flatten().map(|(path, _)| path);
    paths
        .flat_map(|path| methods_of(path).into_iter().map(move |method| (path.clone(), method)))
        .collect()
}

/// Pages name their items' types instead of repeating them.
fn refer_to_items(schemas: &mut Value) {
    for (name, schema) in schemas.as_object_mut().into_iter().flatten() {
        if let Some(item) = name.strip_prefix("Page_") {
            schema["properties"]["data"]["items"] =
                json!({"$ref": format!("#/components/schemas/{item}")});
        }
    }
}

/// What is unsigned in 32 bits goes beyond `int32`, whose range the document would hold clients to.
fn say_ranges(value: &mut Value) {
    match value {
        Value::Object(map) => {
            if map.get("format") == Some(&json!("int32")) && map.get("minimum") == Some(&json!(0)) {
                map.insert("format".to_string(), json!("int64"));
                map.entry("maximum").or_insert(json!(u32::MAX));
            }
            map.values_mut().for_each(say_ranges);
        }
        Value::Array(list) => list.iter_mut().for_each(say_ranges),
        _ => {}
    }
}

/// What the macros cannot say of parameters and bodies: the size of a page, and which bodies may be left out.
fn say_limits(operation: &mut Value) {
    let id = operation["operationId"].clone();
    let parameters = operation.get_mut("parameters").and_then(Value::as_array_mut);
    for parameter in parameters.into_iter().flatten() {
        if parameter["name"] == "limit" {
            let max = if id == "listFiles" { FILE_PAGE_LIMIT_MAX } else { PAGE_LIMIT_MAX };
            parameter["schema"]["minimum"] = json!(1);
            parameter["schema"]["maximum"] = json!(max);
        }
    }
    if id == "rotateTenantKey" || id == "updateWebhook" {
        operation["requestBody"]["required"] = json!(false);
    }
}

/// Limits, error answers and example of one operation.
fn complete(path: &str, method: &str, operation: &mut Value) {
    say_limits(operation);
    let public = path.starts_with("/healthz");
    let mut codes: Vec<ErrorCode> = vec![ErrorCode::Internal, ErrorCode::Unavailable];
    if public {
        codes.push(ErrorCode::InvalidBody);
    } else {
        codes.push(ErrorCode::InvalidApiKey);
        codes.push(ErrorCode::InsufficientScope);
        codes.push(ErrorCode::RateLimited);
        codes.push(if path.contains('{') {
            ErrorCode::NotFound
        } else {
            ErrorCode::UnknownParameter
        });
    }
    // A query is taken strictly wherever there is one.
    let mut parameters = operation["parameters"].as_array().into_iter().flatten();
    if parameters.any(|parameter| parameter["in"] == "query") {
        codes.push(ErrorCode::UnknownParameter);
    }
    match operation["operationId"].as_str().unwrap_or_default() {
        "createFineTuningJob" => codes.extend([
            ErrorCode::InvalidValue,
            ErrorCode::ModelNotFound,
            ErrorCode::IdempotencyInProgress,
            ErrorCode::TooLarge,
            ErrorCode::UnsupportedMediaType,
            ErrorCode::IdempotencyMismatch,
        ]),
        "preflightFineTuningJob" => codes.extend([
            ErrorCode::InvalidValue,
            ErrorCode::ModelNotFound,
            ErrorCode::TooLarge,
            ErrorCode::UnsupportedMediaType,
        ]),
        "createFile" => codes.extend([
            ErrorCode::InvalidPurpose,
            ErrorCode::TooLarge,
            ErrorCode::UnsupportedMediaType,
        ]),
        "createUpload" | "addUploadPart" | "completeUpload" => {
            codes.extend([ErrorCode::InvalidValue, ErrorCode::InvalidState, ErrorCode::TooLarge])
        }
        "setFilePrivacyBudget" => codes.extend([
            ErrorCode::InvalidValue,
            ErrorCode::TooLarge,
            ErrorCode::UnsupportedMediaType,
        ]),
        "cancelUpload" => codes.push(ErrorCode::InvalidState),
        "deleteTenant" => codes.extend([ErrorCode::InUse, ErrorCode::InvalidValue]),
        "deleteFile" => codes.extend([ErrorCode::InUse, ErrorCode::InvalidValue]),
        "createTenant" | "createTenantKey" | "updateTenant" => {
            codes.extend([ErrorCode::InvalidValue, ErrorCode::TooLarge, ErrorCode::InUse])
        }
        "createWebhook" | "updateWebhook" => codes.extend([
            ErrorCode::InvalidValue,
            ErrorCode::TooLarge,
            ErrorCode::UnsupportedMediaType,
            ErrorCode::QuotaExceeded,
        ]),
        "linkFile" | "linkModelArtifact" => codes.push(ErrorCode::NotAvailable),
        "testWebhook" => codes.push(ErrorCode::InvalidState),
        "listWebhookDeliveries" => codes.push(ErrorCode::InvalidCursor),
        "revokeTenantKey" => codes.push(ErrorCode::InUse),
        "rotateTenantKey" => codes.extend([ErrorCode::InvalidState, ErrorCode::InvalidValue]),
        "cancelFineTuningJob" | "pauseFineTuningJob" | "resumeFineTuningJob" => {
            codes.push(ErrorCode::InvalidState)
        }
        "listFineTuningEvents" | "listFineTuningJobCheckpoints" => {
            codes.push(ErrorCode::InvalidCursor)
        }
        _ => {}
    }
    if method == "post" {
        codes.extend([ErrorCode::IdempotencyInProgress, ErrorCode::IdempotencyMismatch]);
    }
    if !operation["requestBody"].is_null() {
        codes.push(ErrorCode::RequestTimeout);
    }
    codes.sort_by_key(|code| code.status());
    codes.dedup_by_key(|code| code.status());
    for code in codes {
        operation["responses"][code.status().to_string()] = error_response(code);
    }
    examples::add(method, operation);
    if operation["operationId"] == "listFineTuningEvents" {
        let content = &mut operation["responses"]["200"]["content"];
        // Of one event, as tools that test OpenAPI 3.1 read it: the specification itself has no word for it before 3.2.
        content["text/event-stream"] = json!({
            "schema": {
                "type": "object",
                "description": "One event of the stream. `data` is a job's event as JSON, `[DONE]` at the end, or an error's body",
                "required": ["event", "data"],
                "properties": {
                    "id": {"type": "string", "description": "The event's id, for `Last-Event-ID`"},
                    "event": {"type": "string"},
                    "data": {"type": "string"},
                },
            },
            "example": {"id": "ftevent-1", "event": "fine_tuning.job.event", "data": "{}"},
        });
    }
    if operation["operationId"] == "downloadFile" {
        // Result files are of another kind than what was uploaded.
        let content = &mut operation["responses"]["200"]["content"];
        content["text/csv"] =
            json!({"schema": {"type": "string"}, "example": "step,train_loss\n1,0.98\n"});
    }
}

fn error_response(code: ErrorCode) -> Value {
    let example = trainyard_openapi::error::ApiError::new(code, examples::error_text(code)).body();
    json!({
        "description": examples::error_text(code),
        "content": {"application/json": {
            "schema": {"$ref": "#/components/schemas/ErrorBody"},
            "example": example,
        }},
    })
}

/// What does not belong to one operation: errors and the result file's columns.
fn description() -> String {
    let mut text = String::from(
        "An unmodified OpenAI client works: point its base URL at `/v1`. What is ours stands in the object `trainyard` of a job.\n\n\
         ## Errors\n\nEvery error has the body `{\"error\": {\"message\", \"type\", \"param\", \"code\"}}`. `x-should-retry` says whether \
         the same request may succeed when repeated.\n\n| code | status | type |\n|---|---|---|\n",
    );
    for code in ErrorCode::ALL {
        text += &format!("| `{}` | {} | `{}` |\n", code.as_str(), code.status(), code.kind());
    }
    text += "\n## Why a job failed\n\n`error.code` of a job that failed. Class `user`: the request, its files or its model have to change. Class \
             `infrastructure`: the request is good; it was tried again as often as the server allows.\n\n| code | class | meaning |\n|---|---|---|\n";
    for code in JobErrorCode::ALL {
        let (class, meaning) = (code.class().as_str(), code.meaning());
        text += &format!("| `{code}` | {class} | {meaning} |\n");
    }
    text += "\n## Result files\n\nA job that succeeded has a CSV among its `result_files`, one row a step.\n\n| column | meaning |\n|---|---|\n";
    for column in COLUMNS {
        text += &format!("| `{}` | {} |\n", column.name, column.meaning);
    }
    text
}

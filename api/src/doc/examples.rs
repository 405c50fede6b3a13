//! Examples of the document: one of each kind of thing, put where it is sent or answered.

use serde_json::{Value, json};
use trainyard_openapi::error::ErrorCode;

/// Adds examples to an operation's body and answer.
pub(super) fn add(_method: &str, operation: &mut Value) {
    let id = operation["operationId"].as_str().unwrap_or_default().to_string();
    if let Some(example) = request(&id) {
        operation["requestBody"]["content"]["application/json"]["example"] = example;
    }
    let (kind, example) = response(&id);
    operation["responses"]["200"]["content"][kind]["example"] = example;
}

/// A sentence for each error of the document.
pub(super) fn error_text(code: ErrorCode) -> &'static str {
    match code {
        ErrorCode::InvalidApiKey => "Incorrect API key provided",
        ErrorCode::NotFound | ErrorCode::ModelNotFound | ErrorCode::FileNotFound => {
            "There is no such thing for this tenant"
        }
        ErrorCode::UnknownParameter => "A parameter is not known",
        ErrorCode::InvalidValue => "A value is outside its limits",
        ErrorCode::InvalidCursor => "The cursor names no item of this list",
        ErrorCode::InvalidPurpose => "The file has another purpose than 'fine-tune'",
        ErrorCode::NotAvailable => "The server keeps its objects where clients cannot reach them",
        ErrorCode::InvalidState => "The job's state does not allow it",
        ErrorCode::InUse => "A job that has not ended reads the file",
        ErrorCode::InsufficientScope => {
            "The key may not do this, or a base model cannot be deleted"
        }
        ErrorCode::TenantSuspended => "The tenant of the key is suspended",
        ErrorCode::RequestTimeout => "The body did not come in time; nothing was stored",
        ErrorCode::TooLarge => "The body is larger than the limit",
        ErrorCode::UnsupportedMediaType => "The content type or encoding is not taken",
        ErrorCode::IdempotencyInProgress => "The same request is being worked on",
        ErrorCode::IdempotencyMismatch => "The Idempotency-Key was used with another request",
        ErrorCode::RateLimited | ErrorCode::QuotaExceeded => {
            "Rate limit reached, or a quota is used up"
        }
        ErrorCode::Unavailable => "The server cannot answer at present; repeat the request",
        ErrorCode::Internal => "The server failed",
        _ => "The request cannot be read",
    }
}

fn request(id: &str) -> Option<Value> {
    match id {
        "createFineTuningJob" | "preflightFineTuningJob" => Some(json!({
            "model": "smollm2-135m-instruct",
            "training_file": FILE,
            "validation_file": "file-4bNq7Vx2Lk9Tz0Wc6Rm3Jp8S",
            "suffix": "support",
            "seed": 7,
            "method": {"type": "supervised", "supervised": {"hyperparameters": {"n_epochs": 3}}},
            "trainyard": {"adapter": {"rank": 16, "alpha": 32}},
        })),
        "setFilePrivacyBudget" => {
            Some(json!({"budget": {"epsilon": 8.0, "delta": "auto"}, "unit": "example"}))
        }
        "createUpload" => Some(
            json!({"filename": "train.jsonl", "purpose": "fine-tune", "bytes": 48213, "mime_type": "text/jsonl"}),
        ),
        "completeUpload" => Some(json!({"part_ids": ["part_5kL6mN7oP0aB1cD2eF3gH4iJ"]})),
        "createTenant" => Some(
            json!({"name": "research", "quota": {"running_jobs": 2, "storage_bytes": 10_737_418_240_u64}, "weight": 2}),
        ),
        "updateTenant" => Some(json!({"status": "suspended"})),
        "createTenantKey" => Some(
            json!({"name": "ci", "scopes": ["files.write", "jobs.write", "jobs.read"], "expires_in_seconds": 2_592_000}),
        ),
        "createWebhook" => Some(
            json!({"url": WEBHOOK_URL, "events": ["fine_tuning.job.succeeded", "fine_tuning.job.failed"], "description": "chat bot"}),
        ),
        "updateWebhook" => Some(json!({"enabled": true})),
        "rotateTenantKey" => Some(json!({"overlap_seconds": 3600})),
        _ => None,
    }
}

const FILE: &str = "file-0aB1cD2eF3gH4iJ5kL6mN7oP";
const JOB: &str = "ftjob-9zY8xW7vU6tS5rQ4pO3nM2lK";
const MODEL: &str = "ft:smollm2-135m-instruct:3nM2lK1jI0hG:support:9zY8xW7vU6tS";

const RESULT: &str = "file-2Lk9Tz0Wc6Rm3Jp8S4bNq7Vx";
const HASH: &str = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08";

fn receipt() -> Value {
    let removed = |kind: &str, id: Value, job: Value, count: u64, bytes: u64| json!({"type": kind, "id": id, "job_id": job, "count": count, "bytes": bytes, "sha256": HASH});
    json!({
        "id": "erase_0aB1cD2eF3gH4iJ5kL6mN7oP", "object": "erasure.receipt", "created_at": 1_790_090_000, "completed_at": 1_790_090_001,
        "status": "completed", "subject": {"type": "file", "id": FILE},
        "counts": {"events": 61, "file": 1, "model": 1, "result_file": 1}, "bytes": 19_643_022,
        "removed": [
            removed("file", json!(FILE), Value::Null, 1, 48_213),
            removed("result_file", json!(RESULT), json!(JOB), 1, 3_110),
            removed("model", json!(MODEL), json!(JOB), 1, 19_580_112),
            removed("events", Value::Null, json!(JOB), 61, 11_587),
        ],
        "kept": [
            {"type": "job_record", "id": JOB, "reason": "the job stays listed: status, settings, times, counts of tokens and rows, hashes, and the client's own metadata"},
            {"type": "audit_log", "id": null, "reason": "the audit log is append-only: it keeps names, sizes and SHA-256 of files, and no content"},
        ],
    })
}

fn file_privacy() -> Value {
    json!({
        "object": "file.privacy", "file": FILE, "sha256": HASH, "unit": "example", "units": 4096, "accountant": "prv",
        "budget": {"epsilon": 8.0, "delta": 0.000_106}, "spent_epsilon": 2.87, "remaining_epsilon": 5.13, "delta": 0.000_106,
        "jobs": [{"job": JOB, "epoch": 1, "noise_multiplier": 0.91, "sampling_rate": 0.125, "steps_reserved": 80, "steps_committed": 80,
                  "steps_charged": 80, "state": "settled"}],
    })
}

fn tenant_receipt() -> Value {
    let mut receipt = receipt();
    receipt["id"] = json!("erase_3nM2lK1jI0hG9fE8dC7bA6zY");
    receipt["subject"] = json!({"type": "tenant", "id": TENANT});
    receipt["kept"] = json!([{"type": "audit_log", "id": null, "reason": "the audit log is append-only: it keeps names, sizes and SHA-256 of files, and no content"}]);
    receipt
}

/// (content type, example) of the answer.
fn response(id: &str) -> (&'static str, Value) {
    let json = |value| ("application/json", value);
    match id {
        "createFile" | "retrieveFile" => json(file()),
        "createUpload" => json(upload("pending", Value::Null)),
        "cancelUpload" => json(upload("cancelled", Value::Null)),
        "completeUpload" => json(upload("completed", file())),
        "addUploadPart" => json(json!({
            "id": "part_5kL6mN7oP0aB1cD2eF3gH4iJ", "object": "upload.part", "created_at": 1_790_000_000, "upload_id": UPLOAD,
        })),
        "listFiles" => json(list(vec![file()], FILE)),
        "deleteFile" => json(json!({"id": FILE, "object": "file", "deleted": true, "trainyard": {
            "trained": {"jobs": [JOB], "models": [MODEL], "checkpoints": [], "result_files": [RESULT]},
            "erasure": receipt(),
        }})),
        "retrieveFileLineage" => json(json!({
            "id": FILE, "object": "file.lineage", "sha256": HASH,
            "jobs": [{"id": JOB, "status": "succeeded", "trained": true, "validated": false, "erasure_id": null}],
            "models": [{"id": MODEL, "job_id": JOB}], "checkpoints": [], "result_files": [{"id": RESULT, "job_id": JOB}],
            "same_content": [], "has_more": false,
        })),
        "retrieveErasure" => json(receipt()),
        "retrieveFilePrivacy" | "setFilePrivacyBudget" => json(file_privacy()),
        "deleteTenant" => json(
            json!({"id": TENANT, "object": "tenant", "deleted": true, "erasure": tenant_receipt()}),
        ),
        "downloadFile" => {
            ("application/octet-stream", json!("{\"prompt\": \"a\", \"completion\": \"b\"}\n"))
        }
        "listPaginatedFineTuningJobs" => json(list(vec![job()], JOB)),
        "listFineTuningEvents" => json(list(vec![event()], "ftevent-5kL6mN7oP0aB1cD2eF3gH4iJ")),
        "listFineTuningJobCheckpoints" => {
            json(list(vec![checkpoint()], "ftckpt_2eF3gH4iJ5kL6mN7oP0aB1cD"))
        }
        "listModels" => json(list(vec![model()], MODEL)),
        "retrieveModel" => json(model()),
        "retrieveModelLineage" => json(json!({
            "id": MODEL, "object": "model.lineage",
            "nodes": [
                {"type": "model", "id": MODEL, "present": true, "status": null},
                {"type": "job", "id": JOB, "present": true, "status": "succeeded"},
                {"type": "model", "id": "smollm2-135m-instruct", "present": true, "status": null},
                {"type": "dataset", "id": FILE, "present": true, "status": null},
            ],
            "edges": [
                {"type": "made_by", "from": MODEL, "to": JOB},
                {"type": "continues", "from": JOB, "to": "smollm2-135m-instruct"},
                {"type": "trained_on", "from": JOB, "to": FILE},
            ],
            "truncated": false,
        })),
        "deleteModel" => json(json!({"id": MODEL, "object": "model", "deleted": true})),
        "listModelArtifacts" => json(list(vec![artifact()], "adapter_model.safetensors")),
        "linkFile" => json(link("file-a1Vq4N7sLk2JmXz0RcT9HdPw", "train.jsonl")),
        "linkModelArtifact" => json(link("adapter_model", "adapter_model.safetensors")),
        "downloadModelArtifact" => ("application/octet-stream", json!("")),
        "preflightFineTuningJob" => json(preflight()),
        "createTenant" | "retrieveTenant" | "updateTenant" => json(tenant()),
        "listTenants" => json(list(vec![tenant()], TENANT)),
        "createTenantKey" | "rotateTenantKey" => json(key(true)),
        "retrieveTenantKey" | "revokeTenantKey" => json(key(false)),
        "listTenantKeys" => json(list(vec![key(false)], "dR4nLk29XzQ1")),
        "listAuditEvents" => json(list(vec![audit_event()], "1")),
        "retrieveUsage" => json(json!({
            "object": "usage", "data": [{"date": "2026-09-21", "object": "usage.day", "accelerator_seconds": 5400.25,
                "trained_tokens": 1_204_331, "jobs_created": 4, "jobs_succeeded": 3}],
            "storage_bytes": 73_400_320, "live_jobs": 1, "accelerator_seconds_today": 5400.25,
            "accelerator_seconds_this_month": 5400.25, "quota": tenant()["quota"],
        })),
        "createWebhook" | "rotateWebhookSecret" => json(webhook(true)),
        "retrieveWebhook" | "updateWebhook" => json(webhook(false)),
        "listWebhooks" => json(list(vec![webhook(false)], WEBHOOK)),
        "deleteWebhook" => json(json!({"id": WEBHOOK, "object": "webhook", "deleted": true})),
        "testWebhook" => json(delivery()),
        "listWebhookDeliveries" => json(list(vec![delivery()], DELIVERY)),
        "live" | "ready" => json(json!({"status": "ok"})),
        _ => json(job()),
    }
}

fn list(data: Vec<Value>, id: &str) -> Value {
    json!({"object": "list", "data": data, "first_id": id, "last_id": id, "has_more": false})
}

const TENANT: &str = "org-3nM2lK1jI0hG9fE8dC7bA6zY";

fn tenant() -> Value {
    json!({
        "id": TENANT, "object": "tenant", "created_at": 1_790_000_000, "name": "research", "status": "active", "weight": 2,
        "quota": {"running_jobs": 2, "live_jobs": null, "storage_bytes": 10_737_418_240_u64, "accelerator_seconds_per_day": null,
                  "accelerator_seconds_per_month": null, "requests_per_minute": null, "requests_per_minute_per_key": null},
    })
}

fn key(whole: bool) -> Value {
    let mut key = json!({
        "id": "dR4nLk29XzQ1", "object": "api_key", "tenant_id": TENANT, "name": "ci",
        "scopes": ["files.write", "jobs.write", "jobs.read"], "created_at": 1_790_000_000, "expires_at": 1_792_592_000,
        "revoked_at": null, "last_used_at": null,
    });
    if whole {
        key["key"] = json!("tyk_live_dR4nLk29XzQ1_…");
    }
    key
}

const WEBHOOK: &str = "whk_7uT6sR5qP4oN3mL2kJ1iH0gF";
const WEBHOOK_URL: &str = "https://hooks.example.com/trainyard";
const DELIVERY: &str = "evt_1iH0gF7uT6sR5qP4oN3mL2kJ";

fn webhook(whole: bool) -> Value {
    let mut webhook = json!({
        "id": WEBHOOK, "object": "webhook", "created_at": 1_790_000_000, "url": WEBHOOK_URL, "description": "chat bot",
        "events": ["fine_tuning.job.succeeded", "fine_tuning.job.failed"], "enabled": true, "disabled_reason": null,
        "old_secret_until": null,
    });
    if whole {
        webhook["secret"] = json!("whsec_…");
    }
    webhook
}

fn delivery() -> Value {
    json!({
        "id": DELIVERY, "object": "webhook.delivery", "created_at": 1_790_000_000, "webhook_id": WEBHOOK, "type": "webhook.ping",
        "job_id": null, "status": "pending", "attempts": 0, "last_response_status": null, "last_error": null,
        "next_attempt_at": 1_790_000_000,
    })
}

fn audit_event() -> Value {
    json!({
        "id": "1", "object": "audit.event", "created_at": 1_790_000_000, "created_at_ms": 1_790_000_000_123_i64, "tenant_id": TENANT,
        "actor": "key:dR4nLk29XzQ1", "action": "job.created", "target": JOB, "detail": {"model": "smollm2-135m-instruct"},
        "prev_hash": "0".repeat(64), "hash": "3f0a377ba0a4a460ecb616f6507ce0d8cfa3e704025d4fda3ed0c5ca05468728",
    })
}

fn preflight() -> Value {
    let report = json!({
        "examples": 139, "blank_lines": 0, "rows": 139, "tokens": 26_114, "target_tokens": 9_802, "truncated": 2,
        "truncated_tokens": 311, "split": 0, "rejected": 0, "without_target": 0,
    });
    json!({
        "object": "fine_tuning.preflight", "valid": false, "model": "smollm2-135m-instruct", "seed": 7, "method": job()["method"],
        "trainyard": extension(),
        "files": [{
            "param": "training_file", "id": FILE, "filename": "train.jsonl", "lines": 140, "examples": 139, "blank_lines": 0,
            "errors": [{"line": 7, "code": "invalid_value", "field": "messages[1].role", "message": "unknown role 'robot'"}],
            "error_count": 1, "data_report": report,
        }],
        "total_steps": 54, "total_tokens": 78_342, "token_counts": null,
        "memory": {"fits": true, "estimated_bytes": 4_100_000_000_u64, "limit_bytes": 25_000_000_000_u64,
                   "parts": {"weights": 269_000_000, "adapter": 88_000_000, "activations": 3_100_000_000_u64, "loss": 201_000_000, "engine": 419_430_400},
                   "largest_micro_batch_size": 8},
        "time": {"seconds": 157.6, "tokens_per_second": 497.0, "basis": "earlier_jobs"},
        "queue": {"position": 1, "waiting_reason": null, "estimated_start_at": 1_764_000_000},
        "privacy": null,
        "compatibility": [
            {"consumer": "peft", "accepted": true, "notes": []}, {"consumer": "vllm", "accepted": true, "notes": []},
            {"consumer": "llama.cpp", "accepted": true, "notes": ["convert it with convert_lora_to_gguf.py and the base model's directory"]},
        ],
    })
}

fn file() -> Value {
    json!({
        "id": FILE, "object": "file", "bytes": 48213, "created_at": 1_790_000_000, "expires_at": null,
        "filename": "train.jsonl", "purpose": "fine-tune", "status": "processed", "status_details": null,
    })
}

const UPLOAD: &str = "upload_6mN7oP0aB1cD2eF3gH4iJ5kL";

fn upload(status: &str, file: Value) -> Value {
    json!({
        "id": UPLOAD, "object": "upload", "bytes": 48213, "created_at": 1_790_000_000, "filename": "train.jsonl",
        "purpose": "fine-tune", "status": status, "expires_at": 1_790_003_600, "file": file,
    })
}

fn model() -> Value {
    json!({"id": MODEL, "object": "model", "created": 1_790_000_300, "owned_by": "org-3nM2lK1jI0hG9fE8dC7bA6zY"})
}

fn artifact() -> Value {
    json!({
        "name": "adapter_model.safetensors", "object": "model.artifact", "bytes": 19_569_376,
        "sha256": "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
    })
}

fn event() -> Value {
    json!({
        "id": "ftevent-5kL6mN7oP0aB1cD2eF3gH4iJ", "object": "fine_tuning.job.event", "created_at": 1_790_000_120,
        "level": "info", "message": "Step 10/54: training loss=0.9847", "type": "metrics",
        "data": {"step": 10, "total_steps": 54, "train_loss": 0.9847, "train_mean_token_accuracy": 0.751},
    })
}

fn checkpoint() -> Value {
    json!({
        "id": "ftckpt_2eF3gH4iJ5kL6mN7oP0aB1cD", "object": "fine_tuning.job.checkpoint", "created_at": 1_790_000_200,
        "fine_tuned_model_checkpoint": format!("{MODEL}:ckpt-step-18"), "fine_tuning_job_id": JOB, "step_number": 18,
        "metrics": {"step": 18, "train_loss": 0.9595, "train_mean_token_accuracy": 0.7527, "valid_loss": 0.8601,
                    "valid_mean_token_accuracy": 0.7821, "full_valid_loss": 0.8601, "full_valid_mean_token_accuracy": 0.7821},
    })
}

fn job() -> Value {
    let hyperparameters = json!({"batch_size": 8, "learning_rate_multiplier": 1.0, "n_epochs": 3});
    json!({
        "id": JOB, "object": "fine_tuning.job", "created_at": 1_790_000_050, "error": null, "fine_tuned_model": null,
        "finished_at": null, "hyperparameters": hyperparameters, "model": "smollm2-135m-instruct",
        "organization_id": "org-3nM2lK1jI0hG9fE8dC7bA6zY", "result_files": [], "status": "running", "trained_tokens": null,
        "training_file": FILE, "validation_file": null, "seed": 7, "estimated_finish": 1_790_000_300,
        "method": {"type": "supervised", "supervised": {"hyperparameters": hyperparameters}}, "metadata": null, "integrations": [],
        "trainyard": extension(),
    })
}

fn extension() -> Value {
    json!({
            "adapter": {"type": "lora", "rank": 16, "alpha": 32.0, "dropout": 0.0, "target_modules": "all-linear", "rslora": false},
            "optimizer": {"type": "adamw", "learning_rate": 0.0002, "betas": [0.9, 0.999], "eps": 1e-8, "weight_decay": 0.0, "max_grad_norm": 1.0},
            "schedule": {"type": "cosine", "warmup_ratio": 0.03, "min_ratio": 0.0},
            "precision": "bf16",
            "sequence": {"max_length": 1024, "packing": "auto", "overlong": "truncate"},
            "batching": {"micro_batch_size": 4, "gradient_checkpointing": false},
            "checkpoint": {"every_steps": null, "every_seconds": 300, "keep": 3},
            "evaluation": {"every_steps": 6, "metrics": ["loss", "token_accuracy", "perplexity"]},
            "early_stopping": null, "data": null, "privacy": null, "continual": null,
            "resources": {"pool": "default", "devices": 1, "priority": "normal", "preemptible": true, "max_runtime_seconds": 86400},
            "webhook": null,
            "progress": {"step": 10, "total_steps": 54, "tokens": 20143, "tokens_per_second": 497.0, "eta_seconds": 152.0,
                         "train_loss": 0.9847, "valid_loss": 0.8956, "queue_position": null, "waiting_reason": null, "estimated_start_at": null, "attempts": 1, "privacy": null},
            "result": null,
            "erased": null,
    })
}

fn link(place: &str, filename: &str) -> Value {
    json!({
        "object": "link",
        "url": format!("https://s3.example.org/training/{place}?X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Expires=900&X-Amz-Signature=0"),
        "expires_at": 1_790_000_900,
        "filename": filename,
        "bytes": 48_213,
        "sha256": "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
    })
}

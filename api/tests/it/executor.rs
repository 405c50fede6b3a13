//! An executor that says what a test tells it to say.

use bytes::Bytes;
use sha2::{Digest, Sha256};
use trainyard_openapi::checkpoint::CheckpointMetrics;
use trainyard_openapi::event::{EventKind, EventLevel};
use trainyard_openapi::extension::{JobResult, Progress};
use trainyard_openapi::id::{ExecutorId, Nonce};
use trainyard_plan::trainer::{Manifest, ManifestEntry};
use trainyard_scheduler::port::control_plane::{
    CheckpointPointer, Completion, ControlPlane, LeaseId, NewEvent,
};

use crate::server::Server;

/// Lets the scheduler's loops dispatch, then takes the next ticket and claims its job.
pub(crate) async fn claim(server: &Server) -> LeaseId {
    server.scheduler.tick().await.unwrap();
    let mut consumer = server.queue.consume("default").await.unwrap();
    let ticket = consumer.next().await.unwrap().expect("a ticket waits");
    consumer.ack().await.unwrap();
    let (executor, nonce) = (ExecutorId::generate().unwrap(), Nonce::generate().unwrap());
    server.scheduler.claim(&ticket, &executor, &nonce).await.unwrap().lease
}

/// A whole run: an event, a checkpoint, a result, with `word` in all of them.
pub(crate) async fn run(server: &Server, lease: &LeaseId, word: &str) {
    let progress = Progress { step: 5, total_steps: Some(10), ..Progress::default() };
    let event = NewEvent {
        level: EventLevel::Info,
        kind: EventKind::Message,
        message: format!("trained on {word}"),
        data: serde_json::Map::new(),
    };
    let scheduler = &server.scheduler;
    scheduler.heartbeat(lease, &progress).await.unwrap();
    scheduler.report(lease, &progress, 0, vec![event]).await.unwrap();
    let (prefix, manifest_sha256) = put(server, lease, "step-000005", 5, word).await;
    let pointer =
        CheckpointPointer { epoch: lease.epoch, step: 5, prefix, manifest_sha256, stage: None };
    scheduler.checkpoint(lease, &pointer, &CheckpointMetrics::default()).await.unwrap();
    let completion = completion(server, lease, word).await;
    scheduler.complete(lease, &completion).await.unwrap();
}

/// Writes an adapter; gives what there is to hand over.
pub(crate) async fn completion(server: &Server, lease: &LeaseId, word: &str) -> Completion {
    let (prefix, manifest_sha256) = put(server, lease, "adapter", 10, word).await;
    Completion {
        result_csv_key: format!("{prefix}/metrics.csv"),
        result_csv_bytes: word.len() as u64,
        prefix,
        manifest_sha256,
        trained_tokens: 7,
        result: JobResult { steps: 10, ..JobResult::default() },
    }
}

/// Writes a directory of three files and its manifest; gives its prefix and the manifest's hash.
async fn put(
    server: &Server,
    lease: &LeaseId,
    directory: &str,
    step: u64,
    word: &str,
) -> (String, String) {
    let LeaseId { job, epoch, nonce } = lease;
    let prefix = format!("jobs/{job}/e{epoch}-{nonce}/{directory}");
    let config = r#"{"peft_type": "LORA", "r": 16, "lora_alpha": 32}"#;
    let files = [
        ("adapter_model.safetensors", word),
        ("adapter_config.json", config),
        ("metrics.csv", word),
    ];
    let entry = |content: &str| ManifestEntry {
        bytes: content.len() as u64,
        sha256: hex::encode(Sha256::digest(content)),
    };
    let entries = files.iter().map(|(name, content)| (name.to_string(), entry(content))).collect();
    let manifest = Manifest { step, plan_sha256: "0".repeat(64), files: entries };
    let manifest = serde_json::to_string(&manifest).unwrap();
    let all = files.into_iter().chain([("manifest.json", manifest.as_str())]);
    for (name, content) in all {
        let mut writer = server.objects.create(&format!("{prefix}/{name}")).await.unwrap();
        writer.write(Bytes::copy_from_slice(content.as_bytes())).await.unwrap();
        writer.finish().await.unwrap();
    }
    (prefix, hex::encode(Sha256::digest(&manifest)))
}

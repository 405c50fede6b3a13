//! Records to put into a store; the tests of one adapter use them too.

use std::collections::BTreeMap;

use serde_json::json;
use trainyard_openapi::event::{EventKind, EventLevel, JobEvent};
use trainyard_openapi::extension::{JobResult, NewStage, Progress, StageOrder};
use trainyard_openapi::file::Purpose;
use trainyard_openapi::id::{CheckpointId, EventId, FileId, JobId, TenantId};
use trainyard_openapi::job::CreateJob;
use trainyard_openapi::tenant::Scope;
use trainyard_plan::{ContinualPlan, DataFacts, HostFacts, ModelFacts, Plan, StreamFacts, resolve};

use crate::audit::AuditEntry;
use crate::job::state::Transition;
use crate::job::{Attempts, JobRecord, JobState, ParentRecord};
use crate::key::ApiKey;
use crate::port::queue::Ticket;
use crate::port::store::{
    CheckpointRecord, Commit, FileRecord, IdempotencyRecord, ModelRecord, Store,
};
use crate::tenant::KeyRecord;

/// All records bear the same time: order must not hang on it.
const NOW_MS: i64 = 1_700_000_000_000;

/// A new tenant.
pub fn tenant() -> TenantId {
    TenantId::generate().unwrap()
}

/// The record of a new key.
pub fn key(id: &str, tenant: &TenantId) -> KeyRecord {
    KeyRecord {
        id: id.to_string(),
        ..KeyRecord::new(&ApiKey::generate().unwrap(), tenant, "key", vec![Scope::Admin], NOW_MS)
    }
}

/// A file, with a name and figures that are easily damaged.
pub fn file(tenant: &TenantId, purpose: Purpose) -> FileRecord {
    let id = FileId::generate().unwrap();
    FileRecord {
        key: format!("files/{id}"),
        id,
        tenant: tenant.clone(),
        filename: "Ärger \"mit\" 'Namen' \\ 😀.jsonl".to_string(),
        purpose,
        bytes: u64::MAX / 3,
        lines: 7,
        sha256: "cd".repeat(32),
        created_at_ms: NOW_MS,
        expires_at_ms: None,
    }
}

fn plan() -> Plan {
    let config = json!({
        "model_type": "llama", "hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2,
        "vocab_size": 256, "max_position_embeddings": 512,
    });
    let request = CreateJob {
        model: "tiny".to_string(),
        training_file: String::new(),
        validation_file: None,
        suffix: None,
        seed: None,
        metadata: None,
        hyperparameters: None,
        method: None,
        integrations: None,
        trainyard: None,
    };
    let host = HostFacts { cuda: false, fast_bf16: false, memory_bytes: 1 << 34 };
    let facts = ModelFacts::from_config(&config).unwrap();
    let (data, stream) = (DataFacts::of_examples(1000), StreamFacts::default());
    let mut plan = resolve(&request, 42, data, &stream, &facts, host).unwrap();
    // Bits that a number loses which passes through too few decimal digits.
    plan.optimizer.learning_rate = 0.1 + 0.2;
    plan.learning_rate_multiplier = f64::from_bits(0x3fb9_9999_9999_9997);
    plan
}

/// A new job, with figures that lose bits where they are rounded.
pub fn job(tenant: &TenantId) -> JobRecord {
    JobRecord {
        id: JobId::generate().unwrap(),
        tenant: tenant.clone(),
        rev: 1,
        created_at_ms: NOW_MS,
        model: "tiny".to_string(),
        parent: None,
        training_file: FileId::generate().unwrap(),
        validation_file: Some(FileId::generate().unwrap()),
        suffix: None,
        metadata: None,
        webhook: None,
        plan: plan(),
        state: JobState::new(),
        seq: 0,
        epoch: 0,
        attempts: Attempts::default(),
        checkpoint: None,
        progress: Progress::default(),
        running_seconds: 1.0 / 3.0,
        traceparent: None,
        erased: None,
    }
}

/// A new job with these pairs.
pub fn with_metadata(tenant: &TenantId, pairs: &[(&str, &str)]) -> JobRecord {
    let pairs = pairs.iter().map(|(key, value)| (key.to_string(), value.to_string()));
    JobRecord { metadata: Some(pairs.collect::<BTreeMap<_, _>>()), ..job(tenant) }
}

/// A commit that makes `job`.
pub fn new(job: JobRecord) -> Commit {
    Commit { expected_rev: 0, ..Commit::of(job) }
}

/// A commit that changes `job` as it was read.
pub fn next(job: &JobRecord) -> Commit {
    let mut commit = Commit::of(job.clone());
    commit.job.rev += 1;
    commit
}

/// Makes `job` in the store and gives it back.
pub async fn made(store: &dyn Store, job: JobRecord) -> JobRecord {
    store.commit(new(job.clone())).await.unwrap();
    job
}

/// A commit that cancels `job`.
pub fn ended(job: &JobRecord) -> Commit {
    let mut commit = next(job);
    commit.job.state = job.state.clone().apply(Transition::Cancel { now_ms: NOW_MS }).unwrap();
    commit
}

/// An event, with data that is easily damaged.
pub fn event(message: &str) -> JobEvent {
    let data = json!({"loss": 0.1 + 0.2, "tiny": 5e-324, "count": u64::MAX, "deep": [{"ä": null}]});
    JobEvent {
        id: EventId::generate().unwrap(),
        object: "fine_tuning.job.event".to_string(),
        created_at: NOW_MS / 1000,
        level: EventLevel::Info,
        message: message.to_string(),
        kind: EventKind::Metrics,
        data: data.as_object().unwrap().clone(),
    }
}

/// A checkpoint at `step`.
pub fn checkpoint(job: &JobRecord, step: u64) -> CheckpointRecord {
    CheckpointRecord {
        id: CheckpointId::generate().unwrap(),
        job: job.id.clone(),
        step,
        prefix: format!("jobs/{}/e1-x/step-{step:06}", job.id),
        stage: None,
        metrics: trainyard_openapi::checkpoint::CheckpointMetrics {
            train_loss: Some(2.0_f64.sqrt()),
            ..Default::default()
        },
        created_at_ms: NOW_MS,
    }
}

/// A model by this name.
pub fn model(job: &JobRecord, id: &str) -> ModelRecord {
    ModelRecord {
        id: id.to_string(),
        tenant: job.tenant.clone(),
        job: job.id.clone(),
        prefix: format!("jobs/{}/e1-x/adapter", job.id),
        bytes: 7,
        created_at_ms: NOW_MS,
    }
}

/// An answer under a key.
pub fn idempotency(job: &JobRecord, key: &str) -> IdempotencyRecord {
    IdempotencyRecord {
        tenant: job.tenant.clone(),
        key: key.to_string(),
        request_sha256: "ef".repeat(32),
        job: job.id.clone(),
        implied: false,
        created_at_ms: NOW_MS,
    }
}

/// An entry of the tenant's audit log.
pub fn audit_entry(tenant: &TenantId) -> AuditEntry {
    AuditEntry {
        tenant: tenant.clone(),
        at_ms: NOW_MS,
        actor: "system".to_string(),
        action: "test".to_string(),
        target: "it".to_string(),
        detail: json!({"z": [1, 2.5, null], "a": "ü\u{1}\"\\"}),
    }
}

/// A ticket.
pub fn ticket(job: &JobRecord, seq: u64) -> Ticket {
    Ticket {
        job: job.id.clone(),
        seq,
        pool: "default".to_string(),
        traceparent: job.traceparent.clone(),
    }
}

/// A change of `job` that writes into every table, with the model's name `model` and the key `key`.
pub fn whole(job: &JobRecord, model_name: &str) -> Commit {
    let mut commit = next(job);
    commit.job.progress.train_loss = Some(1.0 / 3.0);
    commit.job.state = JobState::Succeeded {
        at_ms: NOW_MS,
        model: model_name.to_string(),
        result_file: FileId::generate().unwrap(),
        trained_tokens: 5,
        result: Box::new(JobResult { train_loss: Some(0.7 / 3.0), ..JobResult::default() }),
    };
    commit.events = vec![event("first"), event("second")];
    commit.checkpoint = Some(checkpoint(job, 5));
    commit.model = Some(model(job, model_name));
    commit.result_file = Some(file(&job.tenant, Purpose::FineTuneResults));
    commit.ticket = Some(ticket(job, 1));
    commit.idempotency = Some(idempotency(job, model_name));
    commit
}

/// The plan of two stages: the job's own files, and these.
fn second_stage(
    job: &mut JobRecord,
    training: &FileId,
    validation: &FileId,
    held_out: Option<&FileId>,
) {
    let stage = |name: &str, training: &FileId, validation: Option<&FileId>| NewStage {
        name: name.to_string(),
        training_file: training.to_string(),
        validation_file: validation.map(ToString::to_string),
    };
    job.plan.continual = Some(ContinualPlan {
        stages: vec![
            stage("one", &job.training_file, job.validation_file.as_ref()),
            stage("two", training, Some(validation)),
        ],
        strategies: Vec::new(),
        held_out_file: held_out.map(ToString::to_string),
        max_forgetting: None,
        max_held_out_fall: None,
        order: StageOrder::AsGiven,
        parent: None,
    });
}

/// Gives a job a second stage that trains on `file`.
pub fn trains_later(job: &mut JobRecord, file: &FileId) {
    second_stage(job, file, &FileId::generate().unwrap(), None);
}

/// Gives a job a second stage that measures with `file`.
pub fn measures_later(job: &mut JobRecord, file: &FileId) {
    second_stage(job, &FileId::generate().unwrap(), file, None);
}

/// Lets a job measure with `file` beside its stages.
pub fn holds_out(job: &mut JobRecord, file: &FileId) {
    let other = || FileId::generate().unwrap();
    second_stage(job, &other(), &other(), Some(file));
}

/// The result of a job, as what another goes on from.
pub fn parent(job: &JobRecord) -> ParentRecord {
    ParentRecord {
        model: format!("ft:tiny::{}", job.id),
        job: job.id.clone(),
        prefix: format!("jobs/{}/e1-a/adapter", job.id),
        manifest_sha256: "ab".repeat(32),
        private: false,
    }
}

//! A scheduler on real adapters with a clock that is turned by hand, and an executor that says what a test tells it to say.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tempfile::TempDir;
use trainyard_openapi::body;
use trainyard_openapi::checkpoint::CheckpointMetrics;
use trainyard_openapi::error::{ApiError, ErrorCode};
use trainyard_openapi::event::JobEvent;
use trainyard_openapi::extension::{JobResult, Progress};
use trainyard_openapi::file::Purpose;
use trainyard_openapi::id::{ExecutorId, FileId, JobId, Nonce, TenantId};
use trainyard_openapi::job::{CreateJob, Job, JobStatus};
use trainyard_openapi::page::{Order, PageRequest};
use trainyard_openapi::tenant::Scope;
use trainyard_plan::HostFacts;
use trainyard_plan::trainer::{Manifest, ManifestEntry};
use trainyard_scheduler::adapter::fs::FsObjects;
use trainyard_scheduler::adapter::memory::{MemoryQueue, MemoryStore};
use trainyard_scheduler::adapter::redis::RedisStore;
use trainyard_scheduler::adapter::sqlite::SqliteStore;
use trainyard_scheduler::clock::{Clock, ManualClock};
use trainyard_scheduler::job::JobRecord;
use trainyard_scheduler::key::ApiKey;
use trainyard_scheduler::port::control_plane::{
    CheckpointPointer, Claim, Completion, ControlPlane, LeaseError, LeaseId,
};
use trainyard_scheduler::port::document::Change;
use trainyard_scheduler::port::objects::{ObjectError, Objects};
use trainyard_scheduler::port::queue::{Queue, Ticket};
use trainyard_scheduler::port::store::Store;
use trainyard_scheduler::tenant::{KeyRecord, TenantRecord};
use trainyard_scheduler::{
    BaseModels, Devices, Parts, Scheduler, SchedulerConfig, SchedulerError, TenantContext,
};

/// Three good lines.
pub(crate) const LINES: &str = "{\"prompt\": \"a\", \"completion\": \"b\"}\n{\"prompt\": \"c\", \"completion\": \"d\"}\n\n{\"prompt\": \"e\", \"completion\": \"f\"}";

const HOST: HostFacts = HostFacts { cuda: false, fast_bf16: false, memory_bytes: 1 << 33 };

pub(crate) struct World {
    pub(crate) scheduler: Scheduler,
    pub(crate) clock: Arc<ManualClock>,
    pub(crate) store: Arc<dyn Store>,
    pub(crate) queue: Arc<dyn Queue>,
    pub(crate) objects: Arc<dyn Objects>,
    pub(crate) config: SchedulerConfig,
    pub(crate) ctx: TenantContext,
    /// How long is waited for a ticket before there is none.
    pub(crate) patience: Duration,
    /// The queue outlives the process.
    pub(crate) lasting_queue: bool,
    dir: Arc<TempDir>,
}

pub(crate) fn config(slots: u32) -> SchedulerConfig {
    SchedulerConfig {
        devices: Devices::of("default", slots),
        attempts_lost_max: 2,
        attempts_failed_max: 1,
        attempts_preempted_max: 1,
        tick: Duration::from_millis(20),
        ..SchedulerConfig::default()
    }
}

impl World {
    /// On a store in memory.
    pub(crate) async fn new(slots: u32) -> Self {
        Self::with(config(slots)).await
    }

    pub(crate) async fn with(config: SchedulerConfig) -> Self {
        let clock = Arc::new(ManualClock::at(1_700_000_000_000));
        let store = Arc::new(MemoryStore::new(clock.clone()));
        Self::on(store, clock, Arc::new(TempDir::new().unwrap()), config).await
    }

    /// On a queue of another process, which the next process on the record finds again.
    pub(crate) async fn on_queue(slots: u32, queue: Arc<dyn Queue>, patience: Duration) -> Self {
        let mut world = Self::new(slots).await;
        (world.queue, world.patience, world.lasting_queue) = (queue, patience, true);
        world.scheduler = Scheduler::new(world.parts());
        world
    }

    /// As it is before anybody has a key.
    pub(crate) async fn with_no_key() -> Self {
        let mut world = Self::new(1).await;
        world.store = Arc::new(MemoryStore::new(world.clock.clone()));
        world.scheduler = Scheduler::new(world.parts());
        world
    }

    /// The next process on the same record and files: a new queue, nobody who waits.
    pub(crate) fn forget_process(&mut self) {
        if !self.lasting_queue {
            self.queue = Arc::new(MemoryQueue::new());
        }
        self.scheduler = Scheduler::new(self.parts());
    }

    fn parts(&self) -> Parts {
        Parts {
            store: self.store.clone(),
            queue: self.queue.clone(),
            objects: self.objects.clone(),
            models: BaseModels::new(self.dir.path().join("models")),
            host: HOST,
            inspector: None,
            config: self.config.clone(),
        }
    }

    /// On a database file, so that [`World::reopened`] finds everything again.
    pub(crate) async fn on_disk(slots: u32) -> Self {
        let dir = Arc::new(TempDir::new().unwrap());
        let clock = Arc::new(ManualClock::at(1_700_000_000_000));
        let store = SqliteStore::open(&dir.path().join("record.db"), clock.clone()).unwrap();
        Self::on(Arc::new(store), clock, dir, config(slots)).await
    }

    /// The next process on the same disk: nothing that was only in memory is there any more.
    pub(crate) async fn reopened(self) -> Self {
        let Self { scheduler, clock, store, queue, objects, config, ctx, dir, .. } = self;
        drop((scheduler, store, queue, objects));
        let store = SqliteStore::open(&dir.path().join("record.db"), clock.clone()).unwrap();
        let mut world = Self::on(Arc::new(store), clock, dir, config).await;
        world.ctx = ctx;
        world
    }

    /// On a record in Redis.
    pub(crate) async fn in_redis(
        server: &crate::redis::server::Server,
        namespace: &str,
        config: SchedulerConfig,
    ) -> Self {
        let clock = Arc::new(ManualClock::at(1_700_000_000_000));
        let options = crate::redis::server::named(namespace);
        let store = RedisStore::open_with_clock(&server.url(), &options, Some(clock.clone())).await;
        Self::on(Arc::new(store.unwrap()), clock, Arc::new(TempDir::new().unwrap()), config).await
    }

    /// Another process on the same record, which it has opened as `store`, with the same files and queue.
    pub(crate) fn beside(&self, store: Arc<dyn Store>) -> Scheduler {
        Scheduler::new(Parts { store, ..self.parts() })
    }

    async fn on(
        store: Arc<dyn Store>,
        clock: Arc<ManualClock>,
        dir: Arc<TempDir>,
        config: SchedulerConfig,
    ) -> Self {
        let model = dir.path().join("models/tiny");
        std::fs::create_dir_all(&model).unwrap();
        let facts = json!({
            "model_type": "llama", "hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2,
            "vocab_size": 256, "max_position_embeddings": 512,
        });
        std::fs::write(model.join("config.json"), facts.to_string()).unwrap();
        let objects: Arc<dyn Objects> =
            Arc::new(FsObjects::open(&dir.path().join("objects")).unwrap());
        let queue: Arc<dyn Queue> = Arc::new(MemoryQueue::new());
        let scheduler = Scheduler::new(Parts {
            store: store.clone(),
            queue: queue.clone(),
            objects: objects.clone(),
            models: BaseModels::new(dir.path().join("models")),
            host: HOST,
            inspector: None,
            config: config.clone(),
        });
        let ctx = tenant(&scheduler, store.as_ref()).await;
        let (patience, lasting_queue) = (Duration::from_millis(30), false);
        Self { scheduler, clock, store, queue, objects, config, ctx, patience, lasting_queue, dir }
    }

    /// Another tenant.
    pub(crate) async fn stranger(&self) -> TenantContext {
        tenant(&self.scheduler, self.store.as_ref()).await
    }

    pub(crate) fn objects_dir(&self) -> PathBuf {
        self.dir.path().join("objects")
    }

    /// Record, objects and models.
    pub(crate) fn dir(&self) -> &std::path::Path {
        self.dir.path()
    }

    pub(crate) fn now_ms(&self) -> i64 {
        self.clock.now_ms()
    }

    pub(crate) async fn upload(&self, ctx: &TenantContext, content: &str) -> FileId {
        let upload = self.scheduler.begin_upload(ctx, "lines.jsonl", Purpose::FineTune).await;
        let mut upload = upload.unwrap();
        for piece in content.as_bytes().chunks(11) {
            upload.write(Bytes::copy_from_slice(piece)).await.unwrap();
        }
        upload.finish().await.unwrap().id
    }

    /// A request for a file of `ctx`, changed by `extra`.
    pub(crate) async fn request(&self, ctx: &TenantContext, extra: Value) -> CreateJob {
        let file = self.upload(ctx, LINES).await;
        request(&file, extra)
    }

    pub(crate) async fn submit_for(&self, ctx: &TenantContext, extra: Value) -> JobId {
        let request = self.request(ctx, extra).await;
        self.scheduler.submit(ctx, request, None).await.unwrap().id
    }

    /// A job of the first tenant.
    pub(crate) async fn submit(&self) -> JobId {
        self.submit_for(&self.ctx, json!({})).await
    }

    pub(crate) async fn tick(&self) {
        self.scheduler.tick().await.unwrap();
    }

    /// Turns the clock and lets the loops look.
    pub(crate) async fn pass(&self, seconds: i64) {
        self.clock.advance_seconds(seconds);
        self.tick().await;
    }

    pub(crate) async fn job(&self, id: &JobId) -> Job {
        self.scheduler.job(&self.ctx, id).await.unwrap()
    }

    pub(crate) async fn status(&self, id: &JobId) -> JobStatus {
        self.record(id).await.state.status()
    }

    pub(crate) async fn record(&self, id: &JobId) -> JobRecord {
        self.store.job_of_any_tenant(id).await.unwrap().unwrap()
    }

    /// The job's history, oldest first.
    pub(crate) async fn events(&self, id: &JobId) -> Vec<JobEvent> {
        let page = PageRequest { after: None, limit: 1000, order: Order::Asc };
        self.store.events(id, &page).await.unwrap().0
    }

    pub(crate) async fn messages(&self, id: &JobId) -> Vec<String> {
        self.events(id).await.into_iter().map(|event| event.message).collect()
    }

    /// The next ticket, taken from the queue as an executor does; `None` where none waits.
    pub(crate) async fn ticket(&self) -> Option<Ticket> {
        let mut consumer = self.queue.consume("default").await.unwrap();
        let next = tokio::time::timeout(self.patience, consumer.next()).await;
        let ticket = next.ok()?.unwrap()?;
        consumer.ack().await.unwrap();
        Some(ticket)
    }

    pub(crate) async fn claim(&self, ticket: &Ticket) -> Result<Run, LeaseError> {
        let (executor, nonce) = (ExecutorId::generate().unwrap(), Nonce::generate().unwrap());
        let claim = self.scheduler.claim(ticket, &executor, &nonce).await?;
        Ok(Run { claim, scheduler: self.scheduler.clone(), objects: self.objects.clone() })
    }

    /// Lets the loops dispatch, then takes the next ticket and claims it.
    pub(crate) async fn started(&self) -> Run {
        self.tick().await;
        let ticket = self.ticket().await.expect("a ticket waits");
        self.claim(&ticket).await.unwrap()
    }
}

async fn tenant(scheduler: &Scheduler, store: &dyn Store) -> TenantContext {
    let key = ApiKey::generate().unwrap();
    let tenant = TenantRecord::new(TenantId::generate().unwrap(), "test", 0);
    let record = KeyRecord::new(&key, &tenant.id, "test", Scope::TENANT.to_vec(), 0);
    let change = Change::none().put(&tenant, 1).unwrap().put(&record, 1).unwrap();
    store.apply(&change).await.unwrap();
    scheduler.authenticate(&key.reveal()).await.unwrap()
}

pub(crate) fn request(file: &FileId, extra: Value) -> CreateJob {
    let mut request = json!({"model": "tiny", "training_file": file});
    for (key, value) in extra.as_object().unwrap() {
        request[key] = value.clone();
    }
    body::parse(request.to_string().as_bytes()).unwrap()
}

/// As PEFT writes it for the default adapter.
const ADAPTER_CONFIG: &[u8] =
    br#"{"peft_type": "LORA", "r": 16, "lora_alpha": 32, "use_rslora": false}"#;

/// A run of a claimed job.
#[derive(Clone)]
pub(crate) struct Run {
    pub(crate) claim: Claim,
    scheduler: Scheduler,
    objects: Arc<dyn Objects>,
}

impl Run {
    pub(crate) fn lease(&self) -> &LeaseId {
        &self.claim.lease
    }

    pub(crate) fn prefix(&self) -> String {
        let LeaseId { job, epoch, nonce } = self.lease();
        format!("jobs/{job}/e{epoch}-{nonce}")
    }

    pub(crate) async fn beat(
        &self,
        step: u64,
    ) -> Result<trainyard_scheduler::port::control_plane::Directive, LeaseError> {
        self.scheduler.heartbeat(self.lease(), &progress(step)).await
    }

    pub(crate) async fn put(&self, key: &str, content: &[u8]) {
        let mut writer = self.objects.create(key).await.unwrap();
        writer.write(Bytes::copy_from_slice(content)).await.unwrap();
        match writer.finish().await {
            // Uploaded before, by the same run with the same content.
            Ok(_) | Err(ObjectError::Exists(_)) => {}
            Err(error) => panic!("{error}"),
        }
    }

    /// Uploads a directory of three files; gives the SHA-256 of its manifest.
    pub(crate) async fn upload(&self, directory: &str, step: u64) -> String {
        let prefix = format!("{}/{directory}", self.prefix());
        let files = [
            ("adapter_model.safetensors", format!("weights of {prefix}").into_bytes()),
            ("adapter_config.json", ADAPTER_CONFIG.to_vec()),
            ("metrics.csv", b"step,train_loss\n1,0.5\n".to_vec()),
        ];
        for (name, content) in &files {
            self.put(&format!("{prefix}/{name}"), content).await;
        }
        let entry = |content: &Vec<u8>| ManifestEntry {
            bytes: content.len() as u64,
            sha256: hex::encode(Sha256::digest(content)),
        };
        let files = files.iter().map(|(name, content)| (name.to_string(), entry(content)));
        let manifest = Manifest { step, plan_sha256: "0".repeat(64), files: files.collect() };
        let manifest = serde_json::to_vec(&manifest).unwrap();
        self.put(&format!("{prefix}/manifest.json"), &manifest).await;
        hex::encode(Sha256::digest(&manifest))
    }

    /// Uploads and hands over a checkpoint.
    pub(crate) async fn checkpoint(&self, step: u64) -> Result<CheckpointPointer, LeaseError> {
        self.checkpoint_of(step, None).await
    }

    /// The same of one that may be the end of a stage.
    pub(crate) async fn checkpoint_of(
        &self,
        step: u64,
        stage: Option<&str>,
    ) -> Result<CheckpointPointer, LeaseError> {
        let directory = format!("step-{step:06}");
        let manifest_sha256 = self.upload(&directory, step).await;
        let pointer = CheckpointPointer {
            epoch: self.lease().epoch,
            step,
            prefix: format!("{}/{directory}", self.prefix()),
            manifest_sha256,
            stage: stage.map(ToString::to_string),
        };
        let metrics = CheckpointMetrics { train_loss: Some(0.5), ..CheckpointMetrics::default() };
        self.scheduler.checkpoint(self.lease(), &pointer, &metrics).await?;
        Ok(pointer)
    }

    /// Uploads the adapter and says what there is to hand over.
    pub(crate) async fn finished(&self) -> Completion {
        let manifest_sha256 = self.upload("adapter", 10).await;
        let prefix = format!("{}/adapter", self.prefix());
        Completion {
            result_csv_key: format!("{prefix}/metrics.csv"),
            result_csv_bytes: 22,
            prefix,
            manifest_sha256,
            trained_tokens: 1234,
            result: JobResult { steps: 10, train_loss: Some(0.25), ..JobResult::default() },
        }
    }

    pub(crate) async fn complete(&self) -> Result<(), LeaseError> {
        let completion = self.finished().await;
        self.scheduler.complete(self.lease(), &completion).await
    }
}

pub(crate) fn progress(step: u64) -> Progress {
    Progress {
        step,
        total_steps: Some(10),
        tokens: step * 100,
        eta_seconds: Some(7.0),
        ..Progress::default()
    }
}

/// What the tenant is told.
pub(crate) fn refusal<T: std::fmt::Debug>(answer: Result<T, SchedulerError>) -> ApiError {
    answer.unwrap_err().to_api()
}

pub(crate) fn code<T: std::fmt::Debug>(answer: Result<T, SchedulerError>) -> ErrorCode {
    refusal(answer).code
}

pub(crate) fn fenced<T: std::fmt::Debug>(answer: Result<T, LeaseError>) {
    assert!(matches!(answer, Err(LeaseError::Fenced)), "{answer:?}");
}

pub(crate) fn refused<T: std::fmt::Debug>(answer: Result<T, LeaseError>) -> String {
    match answer {
        Err(LeaseError::Refused(reason)) => reason,
        other => panic!("not refused: {other:?}"),
    }
}

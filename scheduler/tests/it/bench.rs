//! A scheduler on real adapters in a temporary directory, with a clock that is turned by hand, and an executor whose every call the test
//! makes itself.

use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;
use sha2::{Digest, Sha256};
use trainyard_openapi::extension::JobResult;
use trainyard_openapi::file::Purpose;
use trainyard_openapi::id::{ExecutorId, FileId, JobId, Nonce};
use trainyard_openapi::job::{CreateJob, Job};
use trainyard_plan::HostFacts;
use trainyard_plan::trainer::{Manifest, ManifestEntry};
use trainyard_scheduler::adapter::fs::FsObjects;
use trainyard_scheduler::adapter::memory::MemoryQueue;
use trainyard_scheduler::adapter::sqlite::SqliteStore;
use trainyard_scheduler::clock::ManualClock;
use trainyard_scheduler::port::control_plane::{
    CheckpointPointer, Claim, Completion, ControlPlane, LeaseId,
};
use trainyard_scheduler::port::objects::Objects;
use trainyard_scheduler::port::queue::{Queue, Ticket};
use trainyard_scheduler::{BaseModels, Parts, Scheduler, SchedulerConfig, TenantContext};

pub(crate) struct Bench {
    pub(crate) scheduler: Scheduler,
    pub(crate) ctx: TenantContext,
    pub(crate) clock: Arc<ManualClock>,
    pub(crate) queue: Arc<MemoryQueue>,
    pub(crate) objects: Arc<FsObjects>,
    pub(crate) executor: ExecutorId,
    pub(crate) config: SchedulerConfig,
    dir: tempfile::TempDir,
}

impl Bench {
    pub(crate) async fn new() -> Self {
        Self::with(SchedulerConfig::default()).await
    }

    pub(crate) async fn with(config: SchedulerConfig) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let model = dir.path().join("models/tiny");
        std::fs::create_dir_all(&model).unwrap();
        let json = r#"{"model_type": "llama", "hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2,
                       "vocab_size": 256, "max_position_embeddings": 128}"#;
        std::fs::write(model.join("config.json"), json).unwrap();
        let clock = Arc::new(ManualClock::at(1_800_000_000_000));
        let queue = Arc::new(MemoryQueue::new());
        let objects = Arc::new(FsObjects::open(&dir.path().join("objects")).unwrap());
        let scheduler = open(dir.path().into(), &clock, &queue, &objects, &config);
        let key = scheduler.bootstrap_key().await.unwrap().expect("the first key");
        let ctx = scheduler.authenticate(&key).await.unwrap();
        let executor = ExecutorId::generate().unwrap();
        Self { scheduler, ctx, clock, queue, objects, executor, config, dir }
    }

    /// The process ends and another begins on the same directory.
    pub(crate) fn restart(&mut self) {
        self.queue = Arc::new(MemoryQueue::new());
        self.objects = Arc::new(FsObjects::open(&self.dir.path().join("objects")).unwrap());
        self.scheduler =
            open(self.dir.path().into(), &self.clock, &self.queue, &self.objects, &self.config);
    }

    pub(crate) fn store_path(&self) -> PathBuf {
        self.dir.path().join("store.db")
    }

    pub(crate) async fn upload(&self, ctx: &TenantContext, text: &str) -> FileId {
        let mut upload =
            self.scheduler.begin_upload(ctx, "train.jsonl", Purpose::FineTune).await.unwrap();
        upload.write(Bytes::from(text.to_string())).await.unwrap();
        upload.finish().await.unwrap().id
    }

    pub(crate) fn request(&self, file: &FileId) -> CreateJob {
        serde_json::from_value(serde_json::json!({"model": "tiny", "training_file": file})).unwrap()
    }

    pub(crate) async fn submit(&self) -> Job {
        let file = self.upload(&self.ctx, &"{\"text\": \"a line\"}\n".repeat(8)).await;
        self.scheduler.submit(&self.ctx, self.request(&file), None).await.unwrap()
    }

    pub(crate) async fn job(&self, id: &JobId) -> Job {
        self.scheduler.job(&self.ctx, id).await.unwrap()
    }

    /// The next ticket, if there is one.
    pub(crate) async fn ticket(&self) -> Option<Ticket> {
        let mut consumer = self.queue.consume("default").await.unwrap();
        let next =
            tokio::time::timeout(std::time::Duration::from_millis(50), consumer.next()).await;
        let ticket = next.ok()?.unwrap();
        consumer.ack().await.unwrap();
        ticket
    }

    pub(crate) async fn claim(&self, ticket: &Ticket) -> Claim {
        let nonce = Nonce::generate().unwrap();
        self.scheduler.claim(ticket, &self.executor, &nonce).await.unwrap()
    }

    /// A job that is running, with its lease.
    pub(crate) async fn running(&self) -> (JobId, Claim) {
        let job = self.submit().await;
        self.scheduler.tick().await.unwrap();
        let ticket = self.ticket().await.expect("a ticket");
        assert_eq!(ticket.job, job.id);
        (job.id, self.claim(&ticket).await)
    }

    /// Writes files with their manifest under the run's prefix; gives prefix and the manifest's hash.
    pub(crate) async fn write_files(
        &self,
        lease: &LeaseId,
        name: &str,
        step: u64,
    ) -> (String, String) {
        let prefix = format!("jobs/{}/e{}-{}/{name}", lease.job, lease.epoch, lease.nonce);
        let content = format!("{name} of epoch {}", lease.epoch).into_bytes();
        let mut manifest = Manifest { step, plan_sha256: String::new(), files: Default::default() };
        for file in ["metrics.csv", "adapter_model.safetensors"] {
            self.put(&format!("{prefix}/{file}"), &content).await;
            let entry = ManifestEntry {
                bytes: content.len() as u64,
                sha256: hex::encode(Sha256::digest(&content)),
            };
            manifest.files.insert(file.into(), entry);
        }
        let json = serde_json::to_vec(&manifest).unwrap();
        self.put(&format!("{prefix}/manifest.json"), &json).await;
        (prefix, hex::encode(Sha256::digest(&json)))
    }

    pub(crate) async fn put(&self, key: &str, bytes: &[u8]) {
        let mut writer = self.objects.create(key).await.unwrap();
        writer.write(Bytes::copy_from_slice(bytes)).await.unwrap();
        writer.finish().await.unwrap();
    }

    pub(crate) async fn pointer(&self, lease: &LeaseId, step: u64) -> CheckpointPointer {
        let (prefix, manifest_sha256) =
            self.write_files(lease, &format!("step-{step:06}"), step).await;
        CheckpointPointer { epoch: lease.epoch, step, prefix, manifest_sha256 }
    }

    pub(crate) async fn completion(&self, lease: &LeaseId) -> Completion {
        let (prefix, manifest_sha256) = self.write_files(lease, "adapter", 10).await;
        let bytes = self.objects.size(&format!("{prefix}/metrics.csv")).await.unwrap();
        Completion {
            result_csv_key: format!("{prefix}/metrics.csv"),
            result_csv_bytes: bytes,
            prefix,
            manifest_sha256,
            trained_tokens: 123,
            result: JobResult::default(),
        }
    }
}

fn open(
    dir: PathBuf,
    clock: &Arc<ManualClock>,
    queue: &Arc<MemoryQueue>,
    objects: &Arc<FsObjects>,
    config: &SchedulerConfig,
) -> Scheduler {
    Scheduler::new(Parts {
        store: Arc::new(SqliteStore::open(&dir.join("store.db"), clock.clone()).unwrap()),
        queue: queue.clone(),
        objects: objects.clone(),
        models: BaseModels::new(dir.join("models")),
        host: HostFacts { cuda: false, fast_bf16: true, memory_bytes: 1 << 32 },
        config: config.clone(),
    })
}

//! Scheduler and agent in this process, over a temporary directory.

use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use trainyard_executor::{Agent, AgentConfig};
use trainyard_openapi::file::Purpose;
use trainyard_openapi::id::{ExecutorId, JobId};
use trainyard_openapi::job::{Job, JobStatus};
use trainyard_openapi::page::{Order, PageRequest};
use trainyard_plan::HostFacts;
use trainyard_scheduler::adapter::{fs::FsObjects, memory::MemoryQueue, sqlite::SqliteStore};
use trainyard_scheduler::clock::SystemClock;
use trainyard_scheduler::port::queue::Queue;
use trainyard_scheduler::{BaseModels, Parts, Scheduler, SchedulerConfig, TenantContext};

pub(crate) struct Bench {
    pub(crate) scheduler: Scheduler,
    pub(crate) ctx: TenantContext,
    pub(crate) dir: tempfile::TempDir,
    queue: Arc<dyn Queue>,
    objects: Arc<FsObjects>,
    agent: Option<(CancellationToken, JoinHandle<()>)>,
    loops: CancellationToken,
}

impl Bench {
    /// Everything runs; trainers behave as `behaviour` says.
    pub(crate) async fn start(behaviour: &str) -> Self {
        Self::start_on(Arc::new(MemoryQueue::new()), behaviour).await
    }

    /// The same, with tickets in `queue`.
    pub(crate) async fn start_on(queue: Arc<dyn Queue>, behaviour: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let model = dir.path().join("models/tiny");
        std::fs::create_dir_all(&model).unwrap();
        let config = r#"{"model_type": "llama", "hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2,
                         "vocab_size": 256, "max_position_embeddings": 128}"#;
        std::fs::write(model.join("config.json"), config).unwrap();
        let objects = Arc::new(FsObjects::open(&dir.path().join("objects")).unwrap());
        let scheduler = Scheduler::new(Parts {
            store: Arc::new(
                SqliteStore::open(&dir.path().join("store.db"), Arc::new(SystemClock)).unwrap(),
            ),
            queue: queue.clone(),
            objects: objects.clone(),
            models: BaseModels::new(dir.path().join("models")),
            host: HostFacts { cuda: false, fast_bf16: true, memory_bytes: 1 << 32 },
            inspector: None,
            config: SchedulerConfig {
                lease_seconds: 2,
                lease_grace_seconds: 1,
                tick: Duration::from_millis(100),
                ..SchedulerConfig::default()
            },
        });
        let key = scheduler.bootstrap_key().await.unwrap().unwrap();
        let ctx = scheduler.authenticate(&key).await.unwrap();
        let loops = CancellationToken::new();
        tokio::spawn({
            let (scheduler, loops) = (scheduler.clone(), loops.clone());
            async move { scheduler.run(loops).await }
        });
        let mut bench = Self { scheduler, ctx, dir, queue, objects, agent: None, loops };
        bench.start_agent(behaviour);
        bench
    }

    pub(crate) fn start_agent(&mut self, behaviour: &str) {
        let double = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/double.py");
        // The agent gives trainers no PATH, so the interpreter is named whole.
        let trainer = self.dir.path().join(format!("trainer-{behaviour}"));
        let script = format!("#!/bin/sh\nexec {} {double} {behaviour} \"$@\"\n", python());
        std::fs::write(&trainer, script).unwrap();
        std::fs::set_permissions(&trainer, std::fs::Permissions::from_mode(0o755)).unwrap();
        let config = AgentConfig {
            executor: ExecutorId::generate().unwrap(),
            pool: "default".into(),
            slots: 1,
            work_dir: self.dir.path().join("work"),
            models_dir: self.dir.path().join("models"),
            trainer,
            threads: Some(1),
            heartbeat: Duration::from_millis(500),
            self_fence: Duration::from_millis(1500),
            stop_grace: Duration::from_secs(2),
            stall: Duration::from_millis(1500),
            stall_start: Duration::from_secs(3),
            report_every: Duration::from_millis(100),
        };
        let agent = Agent::new(
            config,
            Arc::new(self.scheduler.clone()),
            self.queue.clone(),
            self.objects.clone(),
        );
        let shutdown = CancellationToken::new();
        let task = tokio::spawn(agent.run(shutdown.clone()));
        self.agent = Some((shutdown, task));
    }

    /// Lets the agent end in order.
    pub(crate) async fn stop_agent(&mut self) {
        let (shutdown, task) = self.agent.take().unwrap();
        shutdown.cancel();
        tokio::time::timeout(Duration::from_secs(25), task)
            .await
            .expect("the agent ends in time")
            .unwrap();
    }

    pub(crate) async fn submit(&self) -> JobId {
        self.submit_with(serde_json::json!({})).await
    }

    /// Submits a job with these settings of Trainyard's own.
    pub(crate) async fn submit_with(&self, settings: serde_json::Value) -> JobId {
        let mut upload =
            self.scheduler.begin_upload(&self.ctx, "train.jsonl", Purpose::FineTune).await.unwrap();
        upload.write("{\"text\": \"a line\"}\n".repeat(20).into()).await.unwrap();
        let file = upload.finish().await.unwrap();
        let request = serde_json::json!({
            "model": "tiny", "training_file": file.id, "trainyard": settings,
            "method": {"type": "supervised", "supervised": {"hyperparameters": {"batch_size": 4}}},
        });
        self.scheduler
            .submit(&self.ctx, serde_json::from_value(request).unwrap(), None)
            .await
            .unwrap()
            .id
    }

    pub(crate) async fn until(&self, id: &JobId, what: &str, done: impl Fn(&Job) -> bool) -> Job {
        for _ in 0..600 {
            let job = self.scheduler.job(&self.ctx, id).await.unwrap();
            if done(&job) {
                return job;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        let job = self.scheduler.job(&self.ctx, id).await.unwrap();
        panic!(
            "not {what} within 30 s: {:?} {:?} {:?}",
            job.status,
            job.error,
            self.messages(id).await
        );
    }

    pub(crate) async fn ended(&self, id: &JobId) -> Job {
        self.until(id, "ended", |job| job.status.is_terminal()).await
    }

    pub(crate) async fn running(&self, id: &JobId) -> Job {
        self.until(id, "running", |job| {
            job.status == JobStatus::Running && job.trainyard.progress.total_steps.is_some()
        })
        .await
    }

    /// The history, oldest first.
    pub(crate) async fn messages(&self, id: &JobId) -> Vec<String> {
        let mut page = PageRequest { after: None, limit: 1000, order: Order::Asc };
        let mut messages = Vec::new();
        loop {
            let events = self.scheduler.events(&self.ctx, id, &page).await.unwrap();
            page.after = events.data.last().map(|event| event.id.to_string());
            messages.extend(events.data.into_iter().map(|event| event.message));
            if !events.has_more {
                return messages;
            }
        }
    }

    /// Waits until nothing is left in the work directory: a job's end is told before its directory goes.
    pub(crate) async fn cleared(&self) {
        let start = std::time::Instant::now();
        while !self.work().is_empty() {
            assert!(start.elapsed() < std::time::Duration::from_secs(60), "{:?}", self.work());
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
    }

    /// What is left in the work directory.
    pub(crate) fn work(&self) -> Vec<PathBuf> {
        let entries = std::fs::read_dir(self.dir.path().join("work"))
            .map(|entries| entries.map(|entry| entry.unwrap().path()).collect());
        entries.unwrap_or_default()
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        self.loops.cancel();
        if let Some((shutdown, _)) = &self.agent {
            shutdown.cancel();
        }
    }
}

fn python() -> String {
    let found = std::process::Command::new("python3")
        .args(["-c", "import sys; print(sys.executable)"])
        .output()
        .unwrap();
    String::from_utf8(found.stdout).unwrap().trim().to_string()
}

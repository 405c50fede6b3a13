//! A scheduler on a database file with a clock that is turned by hand, and a deliverer that a test steps.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use serde_json::{Value, json};
use tempfile::TempDir;
use trainyard_openapi::body;
use trainyard_openapi::file::Purpose;
use trainyard_openapi::id::{TenantId, WebhookId};
use trainyard_openapi::job::Job;
use trainyard_openapi::page::{Order, PageRequest};
use trainyard_openapi::tenant::Scope;
use trainyard_openapi::webhook::{CreateWebhook, Webhook, WebhookDelivery};
use trainyard_plan::HostFacts;
use trainyard_scheduler::adapter::fs::FsObjects;
use trainyard_scheduler::adapter::memory::MemoryQueue;
use trainyard_scheduler::adapter::sqlite::SqliteStore;
use trainyard_scheduler::clock::ManualClock;
use trainyard_scheduler::key::ApiKey;
use trainyard_scheduler::port::document::Change;
use trainyard_scheduler::port::store::Store;
use trainyard_scheduler::tenant::{KeyRecord, TenantRecord};
use trainyard_scheduler::webhook::Targets;
use trainyard_scheduler::{BaseModels, Parts, Scheduler, SchedulerConfig, TenantContext};
use trainyard_webhooks::Deliverer;
use trainyard_webhooks::client::Client;
use trainyard_webhooks::resolver::SystemLookup;

pub(crate) struct World {
    pub(crate) scheduler: Scheduler,
    pub(crate) clock: Arc<ManualClock>,
    pub(crate) store: Arc<dyn Store>,
    pub(crate) ctx: TenantContext,
    pub(crate) deliverer: Deliverer,
    dir: Arc<TempDir>,
}

/// Everything on this machine is allowed.
pub(crate) fn local() -> Targets {
    Targets { insecure: true, networks: "127.0.0.0/8".parse().unwrap() }
}

impl World {
    pub(crate) async fn new(targets: Targets) -> Self {
        let clock = Arc::new(ManualClock::at(1_700_000_000_000));
        Self::open(Arc::new(TempDir::new().unwrap()), clock, targets).await
    }

    async fn open(dir: Arc<TempDir>, clock: Arc<ManualClock>, targets: Targets) -> Self {
        let model = dir.path().join("models/tiny");
        std::fs::create_dir_all(&model).unwrap();
        let facts = json!({"model_type": "llama", "hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2,
                           "vocab_size": 256, "max_position_embeddings": 512});
        std::fs::write(model.join("config.json"), facts.to_string()).unwrap();
        let store: Arc<dyn Store> =
            Arc::new(SqliteStore::open(&dir.path().join("record.db"), clock.clone()).unwrap());
        let scheduler = Scheduler::new(Parts {
            store: store.clone(),
            queue: Arc::new(MemoryQueue::new()),
            objects: Arc::new(FsObjects::open(&dir.path().join("objects")).unwrap()),
            models: BaseModels::new(dir.path().join("models")),
            host: HostFacts { cuda: false, fast_bf16: false, memory_bytes: 1 << 33 },
            inspector: None,
            config: SchedulerConfig { webhooks: targets.clone(), ..SchedulerConfig::default() },
        });
        let client = Client::new(targets, Arc::new(SystemLookup), Duration::from_secs(2));
        let deliverer = Deliverer::new(scheduler.clone(), client.unwrap());
        let ctx = tenant(&scheduler, store.as_ref()).await;
        Self { scheduler, clock, store, ctx, deliverer, dir }
    }

    /// The next process on the same disk, with the same caller.
    pub(crate) async fn reopened(self, targets: Targets) -> Self {
        let Self { scheduler, clock, store, ctx, deliverer, dir } = self;
        drop((scheduler, store, deliverer));
        Self { ctx, ..Self::open(dir, clock, targets).await }
    }

    pub(crate) async fn stranger(&self) -> TenantContext {
        tenant(&self.scheduler, self.store.as_ref()).await
    }

    pub(crate) async fn webhook(&self, url: &str) -> Webhook {
        let new = CreateWebhook { url: url.to_string(), events: None, description: None };
        self.scheduler.create_webhook(&self.ctx, &new).await.unwrap()
    }

    /// A job, changed by `extra`.
    pub(crate) async fn job(&self, extra: Value) -> Job {
        let upload = self.scheduler.begin_upload(&self.ctx, "l.jsonl", Purpose::FineTune).await;
        let mut upload = upload.unwrap();
        upload.write(Bytes::from_static(b"{\"text\": \"a\"}\n")).await.unwrap();
        let file = upload.finish().await.unwrap().id;
        let mut request = json!({"model": "tiny", "training_file": file});
        for (key, value) in extra.as_object().unwrap() {
            request[key] = value.clone();
        }
        let request = body::parse(request.to_string().as_bytes()).unwrap();
        self.scheduler.submit(&self.ctx, request, None).await.unwrap()
    }

    /// Oldest first.
    pub(crate) async fn deliveries(&self, id: &WebhookId) -> Vec<WebhookDelivery> {
        let page = PageRequest { after: None, limit: 100, order: Order::Asc };
        self.scheduler.webhook_deliveries(&self.ctx, id, &page).await.unwrap().data
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

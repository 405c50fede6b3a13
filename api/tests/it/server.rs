//! A server on a free port over a scheduler in a temporary directory. Nothing is trained here: no loop runs.

use std::sync::Arc;

use actix_web::{App, HttpServer, dev::ServerHandle};
use reqwest::{Method, RequestBuilder, Response};
use serde_json::{Value, json};
use trainyard_api::{ApiOptions, LimitSettings, Limits, app};
use trainyard_plan::HostFacts;
use trainyard_scheduler::adapter::{fs::FsObjects, memory::MemoryQueue, sqlite::SqliteStore};
use trainyard_scheduler::clock::SystemClock;
use trainyard_scheduler::port::objects::Objects;
use trainyard_scheduler::port::queue::Queue;
use trainyard_scheduler::port::store::Store;
use trainyard_scheduler::{BaseModels, Parts, Scheduler, SchedulerConfig};

pub(crate) struct Server {
    pub(crate) url: String,
    pub(crate) key: String,
    /// The tenant of `key`.
    pub(crate) tenant: String,
    pub(crate) http: reqwest::Client,
    pub(crate) scheduler: Scheduler,
    pub(crate) store: Arc<dyn Store>,
    pub(crate) queue: Arc<dyn Queue>,
    pub(crate) objects: Arc<dyn Objects>,
    handle: ServerHandle,
    dir: tempfile::TempDir,
}

impl Server {
    /// Bad credentials are not counted: tests send many from one address.
    pub(crate) async fn start() -> Self {
        Self::limited(unlimited()).await
    }

    pub(crate) async fn limited(settings: LimitSettings) -> Self {
        Self::with(ApiOptions { limits: Limits::new(settings), ..ApiOptions::default() }).await
    }

    pub(crate) async fn with(options: ApiOptions) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let model = dir.path().join("models/tiny");
        std::fs::create_dir_all(&model).unwrap();
        let config = json!({"model_type": "llama", "hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2,
                            "vocab_size": 256, "max_position_embeddings": 128});
        std::fs::write(model.join("config.json"), config.to_string()).unwrap();
        let store: Arc<dyn Store> = Arc::new(
            SqliteStore::open(&dir.path().join("store.db"), Arc::new(SystemClock)).unwrap(),
        );
        let queue: Arc<dyn Queue> = Arc::new(MemoryQueue::new());
        let objects: Arc<dyn Objects> =
            Arc::new(FsObjects::open(&dir.path().join("objects")).unwrap());
        let scheduler = Scheduler::new(Parts {
            store: store.clone(),
            queue: queue.clone(),
            objects: objects.clone(),
            models: BaseModels::new(dir.path().join("models")),
            host: HostFacts { cuda: false, fast_bf16: true, memory_bytes: 1 << 32 },
            inspector: None,
            config: SchedulerConfig::default(),
        });
        let key = scheduler.bootstrap_key().await.unwrap().unwrap();
        let tenant = scheduler.authenticate(&key).await.unwrap().tenant().to_string();
        let mounted = scheduler.clone();
        let server =
            HttpServer::new(move || App::new().service(app(mounted.clone(), options.clone())))
                .workers(1)
                .client_request_timeout(std::time::Duration::from_secs(1))
                .disable_signals()
                .bind(("127.0.0.1", 0))
                .unwrap();
        let url = format!("http://{}", server.addrs()[0]);
        let server = server.run();
        let handle = server.handle();
        tokio::spawn(server);
        Self {
            url,
            key,
            tenant,
            http: reqwest::Client::new(),
            scheduler,
            store,
            queue,
            objects,
            handle,
            dir,
        }
    }

    pub(crate) fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.http.request(method, format!("{}{path}", self.url)).bearer_auth(&self.key)
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        Answer::of(self.request(Method::GET, path).send().await.unwrap()).await
    }

    pub(crate) async fn post(&self, path: &str, body: &Value) -> Answer {
        Answer::of(self.request(Method::POST, path).json(body).send().await.unwrap()).await
    }

    /// A key of another tenant, with all that a tenant's key can have.
    pub(crate) async fn stranger(&self) -> String {
        let tenant = self.post("/v1/admin/tenants", &json!({"name": "stranger"})).await;
        let id = tenant.body["id"].as_str().unwrap();
        let path = format!("/v1/admin/tenants/{id}/keys");
        let key = self.post(&path, &json!({"name": "stranger"})).await;
        key.body["key"].as_str().unwrap().to_string()
    }

    /// Uploads by a form as a client writes it; the parts in the order given.
    pub(crate) async fn form(&self, parts: &[(&str, Option<&str>, &[u8])]) -> Answer {
        let mut body = Vec::new();
        for (name, filename, content) in parts {
            body.extend(format!("--XX\r\nContent-Disposition: form-data; name=\"{name}\"").bytes());
            if let Some(filename) = filename {
                body.extend(format!("; filename=\"{filename}\"").bytes());
            }
            body.extend(b"\r\n\r\n");
            body.extend(*content);
            body.extend(b"\r\n");
        }
        body.extend(b"--XX--\r\n");
        let request = self.request(Method::POST, "/v1/files");
        let request = request.header("content-type", "multipart/form-data; boundary=XX").body(body);
        Answer::of(request.send().await.unwrap()).await
    }

    /// Whether any file of the data directory holds `text`.
    pub(crate) fn data_holds(&self, text: &[u8]) -> bool {
        fn holds(path: &std::path::Path, text: &[u8]) -> bool {
            if path.is_dir() {
                let mut entries = std::fs::read_dir(path).unwrap();
                return entries.any(|entry| holds(&entry.unwrap().path(), text));
            }
            std::fs::read(path).unwrap().windows(text.len()).any(|window| window == text)
        }
        holds(self.dir.path(), text)
    }

    pub(crate) async fn upload(&self, text: &str) -> String {
        let answer = self
            .form(&[("purpose", None, b"fine-tune"), ("file", Some("t.jsonl"), text.as_bytes())])
            .await;
        assert_eq!(answer.status, 200, "{}", answer.body);
        answer.body["id"].as_str().unwrap().to_string()
    }

    pub(crate) async fn job(&self) -> String {
        let file = self.upload("{\"text\": \"a\"}\n").await;
        let answer = self
            .post("/v1/fine_tuning/jobs", &json!({"model": "tiny", "training_file": file}))
            .await;
        assert_eq!(answer.status, 200, "{}", answer.body);
        answer.body["id"].as_str().unwrap().to_string()
    }
}

/// Limits that do not count bad credentials.
pub(crate) fn unlimited() -> LimitSettings {
    LimitSettings { bad_credentials_per_minute: u32::MAX, ..LimitSettings::default() }
}

impl Drop for Server {
    fn drop(&mut self) {
        let stop = self.handle.stop(false);
        tokio::spawn(stop);
    }
}

/// An answer, read whole.
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: reqwest::header::HeaderMap,
    pub(crate) body: Value,
}

impl Answer {
    pub(crate) async fn of(response: Response) -> Self {
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let text = response.text().await.unwrap();
        let body = serde_json::from_str(&text).unwrap_or(Value::String(text));
        Self { status, headers, body }
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    /// Checks an error: OpenAI's four keys, and no fifth.
    pub(crate) fn refused(&self, status: u16, code: &str, param: Option<&str>) {
        assert_eq!(self.status, status, "{}", self.body);
        let error = self.body["error"].as_object().unwrap();
        let mut keys: Vec<&str> = error.keys().map(String::as_str).collect();
        keys.sort_unstable();
        assert_eq!(keys, ["code", "message", "param", "type"]);
        assert_eq!(error["code"], code, "{}", self.body);
        assert_eq!(error["param"].as_str(), param, "{}", self.body);
        assert!(self.header("content-type").starts_with("application/json"));
        assert!(
            !self.header("x-should-retry").is_empty() && !self.header("x-request-id").is_empty()
        );
    }
}

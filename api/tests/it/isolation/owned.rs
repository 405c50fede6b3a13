//! What tenant A has: a job that ended with model, checkpoint, events and result file, one that has not ended, and whatever
//! else the document's paths name.

use std::collections::BTreeMap;

use reqwest::Method;
use serde_json::{Value, json};
use trainyard_openapi::id::TenantId;
use trainyard_openapi::tenant::Scope;
use trainyard_scheduler::key::ApiKey;
use trainyard_scheduler::port::document::Change;
use trainyard_scheduler::tenant::{KeyRecord, TenantRecord};

use crate::document::operations;
use crate::executor::{claim, run};
use crate::server::{Answer, Server};

/// A word that stands in everything that A wrote.
pub(super) const SECRET: &str = "secretofa";

/// A key that works, one that was revoked, one that has expired.
pub(super) enum Life {
    Live,
    Revoked,
    Expired,
}

/// Makes a tenant.
pub(super) async fn tenant(server: &Server, name: &str) -> TenantId {
    let tenant = TenantRecord::new(TenantId::generate().unwrap(), name, 0);
    server.store.apply(&Change::none().put(&tenant, 1).unwrap()).await.unwrap();
    tenant.id
}

/// Makes a key; gives its public part and the whole of it.
pub(super) async fn key(
    server: &Server,
    tenant: &TenantId,
    scopes: &[Scope],
    life: Life,
) -> (String, String) {
    let key = ApiKey::generate().unwrap();
    let mut record = KeyRecord::new(&key, tenant, "key", scopes.to_vec(), 0);
    match life {
        Life::Live => {}
        Life::Revoked => record.revoked_at_ms = Some(1),
        Life::Expired => record.expires_at_ms = Some(1),
    }
    server.store.apply(&Change::none().put(&record, 1).unwrap()).await.unwrap();
    (record.id, key.reveal())
}

/// Sends a request as it stands.
pub(super) async fn send(
    server: &Server,
    key: Option<&str>,
    method: &str,
    url: &str,
    body: Option<&Value>,
) -> Answer {
    let method = Method::from_bytes(method.to_uppercase().as_bytes()).unwrap();
    let mut request = server.http.request(method, format!("{}{url}", server.url));
    if let Some(key) = key {
        request = request.bearer_auth(key);
    }
    if let Some(body) = body {
        request = request.json(body);
    }
    let answer = tokio::time::timeout(std::time::Duration::from_secs(20), request.send()).await;
    Answer::of(answer.unwrap_or_else(|_| panic!("{url}: no answer")).unwrap()).await
}

/// Tenant A.
pub(super) struct Owned {
    pub(super) key: String,
    /// What a parameter of a path can be: A's values, each with one of the same form that nobody has.
    values: BTreeMap<String, Vec<(String, String)>>,
    /// What nobody else may be shown.
    pub(super) secrets: Vec<String>,
}

impl Owned {
    pub(super) async fn new(server: &Server) -> Self {
        let tenant = tenant(server, SECRET).await;
        let (key_id, key) = key(server, &tenant, &Scope::TENANT, Life::Live).await;
        let file = upload(server, &key).await;
        let (done, model, checkpoint) = trained(server, &key, &file).await;
        let live = job(server, &key, &file, 2).await;
        let erasure = erased(server, &key).await;
        let get = async |url: String| send(server, Some(&key), "get", &url, None).await.body;
        let job = get(format!("/v1/fine_tuning/jobs/{done}")).await;
        let result = job["result_files"][0].as_str().unwrap().to_string();
        let events = get(format!("/v1/fine_tuning/jobs/{done}/events")).await;
        let event = events["data"][0]["id"].as_str().unwrap().to_string();
        let nobody = |prefix: &str| format!("{prefix}{}", "0".repeat(24));
        let mut values = BTreeMap::new();
        let mut own = |name: &str, all: &[&String], none: String| {
            let all = all.iter().map(|value| (value.to_string(), none.clone())).collect();
            values.insert(name.to_string(), all);
        };
        own("file_id", &[&file, &result], nobody("file-"));
        own("fine_tuning_job_id", &[&done, &live], nobody("ftjob-"));
        own("model", &[&model, &checkpoint], "ft:tiny:000000:x:0000".to_string());
        own("erasure_id", &[&erasure], nobody("erase_"));
        own("name", &[&"manifest.json".to_string()], "manifest.json".to_string());
        own("tenant_id", &[&tenant.to_string()], nobody("org-"));
        own("key_id", &[&key_id], "0".repeat(12));
        let secrets = [
            SECRET.into(),
            file,
            result,
            done,
            live,
            model,
            checkpoint,
            event,
            erasure,
            key_id,
            tenant.to_string(),
        ];
        let mut owned = Self { key, values, secrets: secrets.to_vec() };
        owned.make_the_rest(server).await;
        owned
    }

    /// Makes one of each thing that a path names and that is not in the table: by the operation that creates such a thing, with
    /// the document's own example.
    async fn make_the_rest(&mut self, server: &Server) {
        for (path, method, _) in operations() {
            for name in parameters(&path) {
                if self.values.contains_key(&name) {
                    continue;
                }
                let at = path.find(&format!("/{{{name}}}")).unwrap();
                let unknown = format!(
                    "{method} {path}: no value of A's for '{{{name}}}' in the table of owned.rs"
                );
                let collection = &path[..at];
                let create =
                    operations().into_iter().find(|(p, m, _)| p == collection && m == "post");
                let (_, _, create) =
                    create.unwrap_or_else(|| panic!("{unknown}, and no POST {collection}"));
                let example = &create["requestBody"]["content"]["application/json"]["example"];
                assert!(!example.is_null(), "{unknown}, and POST {collection} has no example");
                let url = self.urls(collection).remove(0).0;
                let made = send(server, Some(&self.key), "post", &url, Some(example)).await;
                assert_eq!(
                    made.status, 200,
                    "{unknown}, and POST {collection} answers {}",
                    made.body
                );
                let id = made.body["id"].as_str().unwrap().to_string();
                let random = id.len().min(24);
                let none = format!("{}{}", &id[..id.len() - random], "0".repeat(random));
                self.secrets.push(id.clone());
                self.values.insert(name, vec![(id, none)]);
            }
        }
    }

    /// The path with A's values in every combination, each beside the same path of nobody.
    pub(super) fn urls(&self, path: &str) -> Vec<(String, String)> {
        let mut urls = vec![(path.to_string(), path.to_string())];
        for name in parameters(path) {
            let values = &self.values[&name];
            let hole = format!("{{{name}}}");
            urls = urls
                .iter()
                .flat_map(|(mine, none)| {
                    values.iter().map(|(own, nobody)| {
                        (mine.replace(&hole, own), none.replace(&hole, nobody))
                    })
                })
                .collect();
        }
        urls
    }

    /// A's values with those of nobody.
    pub(super) fn pairs(&self, name: &str) -> &[(String, String)] {
        &self.values[name]
    }

    /// Every id of A's, whatever it names, with one of nobody.
    pub(super) fn cursors(&self) -> Vec<(String, String)> {
        self.values.values().flatten().cloned().collect()
    }

    /// Everything that A can read.
    pub(super) async fn everything(&self, server: &Server) -> BTreeMap<String, Value> {
        let mut seen = BTreeMap::new();
        for (path, method, _) in operations() {
            if method != "get" || path.starts_with("/v1/admin") || path.starts_with("/healthz") {
                continue;
            }
            for (url, _) in self.urls(&path) {
                let answer = send(server, Some(&self.key), "get", &url, None).await;
                // A checkpoint's name is good for its files alone; it is no model in the list of them.
                let checkpoint = path == "/v1/models/{model}" && url.contains(":ckpt-step-");
                // Objects in a directory have no links, which is said to who may know that they are there.
                let status = match path.as_str() {
                    path if path.ends_with("/link") => 400,
                    _ if checkpoint => 404,
                    _ => 200,
                };
                assert_eq!(answer.status, status, "{url}: {}", answer.body);
                seen.insert(url, answer.body);
            }
        }
        seen
    }
}

/// The names in braces.
fn parameters(path: &str) -> Vec<String> {
    path.split('{').skip(1).map(|rest| rest.split('}').next().unwrap().to_string()).collect()
}

/// Uploads a file whose name and content are A's secret.
async fn upload(server: &Server, key: &str) -> String {
    let line = format!("{{\"text\": \"{SECRET}\"}}\n");
    let body = format!(
        "--XX\r\nContent-Disposition: form-data; name=\"purpose\"\r\n\r\nfine-tune\r\n--XX\r\nContent-Disposition: form-data; \
         name=\"file\"; filename=\"{SECRET}.jsonl\"\r\n\r\n{line}\r\n--XX--\r\n"
    );
    let request = server.http.post(format!("{}/v1/files", server.url)).bearer_auth(key);
    let request = request.header("content-type", "multipart/form-data; boundary=XX").body(body);
    let answer = Answer::of(request.send().await.unwrap()).await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    answer.body["id"].as_str().unwrap().to_string()
}

/// Erases a file of its own; gives the erasure.
async fn erased(server: &Server, key: &str) -> String {
    let file = upload(server, key).await;
    let url = format!("/v1/files/{file}?cascade=true");
    let answer = send(server, Some(key), "delete", &url, None).await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    answer.body["trainyard"]["erasure"]["id"].as_str().unwrap().to_string()
}

/// Creates a job; `seed` tells it from others.
async fn job(server: &Server, key: &str, file: &str, seed: u32) -> String {
    let body = json!({
        "model": "tiny", "training_file": file, "suffix": SECRET, "seed": seed, "metadata": {SECRET: SECRET},
    });
    let request = server.http.post(format!("{}/v1/fine_tuning/jobs", server.url)).bearer_auth(key);
    let request = request.header("idempotency-key", format!("{IDEMPOTENCY_KEY}-{seed}"));
    let answer = Answer::of(request.json(&body).send().await.unwrap()).await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    answer.body["id"].as_str().unwrap().to_string()
}

/// How the idempotency keys of A's requests begin.
pub(super) const IDEMPOTENCY_KEY: &str = "key-of-a";

/// Trains a job as an executor does; gives the job, its model and its checkpoint's name.
async fn trained(server: &Server, key: &str, file: &str) -> (String, String, String) {
    let id = job(server, key, file, 1).await;
    let lease = claim(server).await;
    run(server, &lease, SECRET).await;
    let job =
        send(server, Some(key), "get", &format!("/v1/fine_tuning/jobs/{id}"), None).await.body;
    assert_eq!(job["status"], "succeeded", "{job}");
    let model = job["fine_tuned_model"].as_str().unwrap().to_string();
    let url = format!("/v1/fine_tuning/jobs/{id}/checkpoints");
    let checkpoints = send(server, Some(key), "get", &url, None).await.body;
    let checkpoint = checkpoints["data"][0]["fine_tuned_model_checkpoint"].as_str().unwrap();
    (id, model, checkpoint.to_string())
}

//! The control plane over HTTP: who may speak, of what, and how that is answered.

use actix_web::{App, HttpServer, dev::ServerHandle};
use serde_json::{Value, json};
use trainyard_api::{BodyPace, LeaseOptions, Metrics, leases};
use trainyard_openapi::id::{ExecutorId, JobId, Nonce};

use crate::server::{Answer, Server};

const TOKEN: &str = "an-executor-token-of-sufficient-length";

/// The listener for executors of a server.
struct Internal {
    url: String,
    http: reqwest::Client,
    handle: ServerHandle,
}

impl Internal {
    fn of(server: &Server) -> Self {
        let scheduler = server.scheduler.clone();
        let options = LeaseOptions {
            executor_token: TOKEN.parse().unwrap(),
            body_pace: BodyPace::default(),
            metrics: Metrics::default(),
        };
        let server =
            HttpServer::new(move || App::new().service(leases(scheduler.clone(), options.clone())))
                .workers(1)
                .disable_signals()
                .bind(("127.0.0.1", 0))
                .unwrap();
        let url = format!("http://{}", server.addrs()[0]);
        let server = server.run();
        let handle = server.handle();
        tokio::spawn(server);
        Self { url, http: reqwest::Client::new(), handle }
    }

    async fn post(&self, path: &str, token: &str, body: impl Into<reqwest::Body>) -> Answer {
        let request = self.http.post(format!("{}/internal/v1{path}", self.url));
        Answer::of(request.bearer_auth(token).body(body).send().await.unwrap()).await
    }

    async fn call(&self, path: &str, token: &str, body: &Value) -> Answer {
        self.post(path, token, body.to_string()).await
    }

    /// Claims a new job; gives the path of its lease and its token.
    async fn claim(&self, server: &Server) -> (String, String) {
        let (call, nonce) = self.ticket(server).await;
        let claimed = self.call("/leases/claim", TOKEN, &call).await;
        assert_eq!(claimed.status, 200, "{}", claimed.body);
        let lease = &claimed.body["claim"]["lease"];
        assert_eq!(lease["nonce"], nonce);
        let (job, epoch) = (lease["job"].as_str().unwrap(), lease["epoch"].as_u64().unwrap());
        let token = claimed.body["token"].as_str().unwrap().to_string();
        (format!("/leases/{job}/{epoch}/{nonce}"), token)
    }

    /// What is to be sent for a new job, with its nonce.
    async fn ticket(&self, server: &Server) -> (Value, String) {
        server.job().await;
        server.scheduler.tick().await.unwrap();
        server.scheduler.tick().await.unwrap();
        let mut consumer = server.queue.consume("default").await.unwrap();
        let ticket = consumer.next().await.unwrap().expect("a ticket waits");
        consumer.ack().await.unwrap();
        let nonce = Nonce::generate().unwrap().to_string();
        let executor = ExecutorId::generate().unwrap();
        (json!({"ticket": ticket, "executor": executor, "nonce": nonce}), nonce)
    }
}

impl Drop for Internal {
    fn drop(&mut self) {
        tokio::spawn(self.handle.stop(false));
    }
}

fn refused(answer: &Answer, status: u16, code: &str) {
    assert_eq!(
        (answer.status, answer.body["error"]["code"].as_str()),
        (status, Some(code)),
        "{}",
        answer.body
    );
    assert!(!answer.body["error"]["message"].as_str().unwrap().is_empty());
}

#[tokio::test]
async fn only_who_was_given_a_job_speaks_of_it() {
    let server = Server::start().await;
    let internal = Internal::of(&server);
    let (call, _) = internal.ticket(&server).await;
    let foreign = server.key.clone();
    for token in ["", "wrong", &TOKEN[1..], &format!("{TOKEN}0"), &foreign] {
        refused(&internal.call("/leases/claim", token, &call).await, 401, "invalid_api_key");
        let path = format!("/executors/{}", ExecutorId::generate().unwrap());
        let presence = json!({"pool": "default", "devices": 1, "draining": false});
        refused(&internal.call(&path, token, &presence).await, 401, "invalid_api_key");
    }
    // The very same call again has the same answer: the first one may have been lost.
    let first = internal.call("/leases/claim", TOKEN, &call).await;
    let again = internal.call("/leases/claim", TOKEN, &call).await;
    assert_eq!(first.status, 200, "{}", first.body);
    assert_eq!(first.body, again.body);
    let mut other = call.clone();
    other["nonce"] = json!(Nonce::generate().unwrap());
    refused(&internal.call("/leases/claim", TOKEN, &other).await, 409, "stale");

    let lease = &first.body["claim"]["lease"];
    let (job, nonce) = (lease["job"].as_str().unwrap(), lease["nonce"].as_str().unwrap());
    let token = first.body["token"].as_str().unwrap();
    let beat = json!({"progress": {}});
    let path = format!("/leases/{job}/1/{nonce}/heartbeat");
    let answer = internal.call(&path, token, &beat).await;
    assert_eq!((answer.status, &answer.body), (200, &json!({"directive": "continue"})));
    // Another epoch, nonce or job is not this token's; the executors' token is no lease's.
    let (stranger, nobody) = (JobId::generate().unwrap(), Nonce::generate().unwrap());
    for (path, token) in [
        (format!("/leases/{job}/2/{nonce}/heartbeat"), token),
        (format!("/leases/{job}/1/{nobody}/heartbeat"), token),
        (format!("/leases/{stranger}/1/{nonce}/heartbeat"), token),
        (format!("/leases/{job}/1/{nonce}x/heartbeat"), token),
        (format!("/leases/{job}/-1/{nonce}/heartbeat"), token),
        (path.clone(), TOKEN),
        (path.clone(), ""),
        (path.clone(), &token[..token.len() - 1]),
    ] {
        refused(&internal.call(&path, token, &beat).await, 404, "unknown_lease");
    }
    for name in
        ["directive", "report", "checkpoint", "reserve", "settle", "complete", "fail", "release"]
    {
        let path = format!("/leases/{job}/1/{nonce}/{name}");
        refused(&internal.call(&path, TOKEN, &json!({})).await, 404, "unknown_lease");
    }
    // A token stays what it is when the lease is gone; the lease does not come back.
    let release = format!("/leases/{job}/1/{nonce}/release");
    let released = internal.call(&release, token, &json!({"reason": "shutdown"})).await;
    assert_eq!(released.status, 204, "{}", released.body);
    refused(&internal.call(&path, token, &beat).await, 409, "fenced");
    refused(&internal.call("/leases/claim", TOKEN, &call).await, 409, "stale");
}

#[tokio::test]
async fn two_listeners_on_one_record_take_each_others_tokens() {
    let server = Server::start().await;
    let (one, two) = (Internal::of(&server), Internal::of(&server));
    let (path, token) = one.claim(&server).await;
    let answer = two.call(&format!("{path}/heartbeat"), &token, &json!({"progress": {}})).await;
    assert_eq!(answer.status, 200, "{}", answer.body);
}

#[tokio::test]
async fn garbage_is_refused_by_name_and_changes_nothing() {
    let server = Server::start().await;
    let internal = Internal::of(&server);
    let (path, token) = internal.claim(&server).await;
    for (name, body, code) in [
        ("heartbeat", "", "invalid_body"),
        ("heartbeat", "{", "invalid_body"),
        ("heartbeat", "[{}]", "invalid_body"),
        ("heartbeat", "\u{0}\u{1}", "invalid_body"),
        ("heartbeat", r#"{"progress": {}, "more": 1}"#, "unknown_parameter"),
        ("heartbeat", r#"{"progress": {"step": -1}}"#, "invalid_value"),
        ("heartbeat", "{}", "missing_required_parameter"),
        ("directive", r#"{"wait_ms": 30001}"#, "invalid_value"),
        ("report", r#"{"progress": {}, "events": [{"level": "loud"}]}"#, "invalid_value"),
        ("reserve", r#"{"from": 0}"#, "missing_required_parameter"),
        ("reserve", r#"{"from": -1, "until": 4}"#, "invalid_value"),
        ("settle", r#"{"step": 1, "spent": {}}"#, "unknown_parameter"),
        ("release", r#"{"reason": "tired"}"#, "invalid_value"),
        ("complete", r#"{"prefix": "jobs/x"}"#, "missing_required_parameter"),
    ] {
        let answer = internal.post(&format!("{path}/{name}"), &token, body).await;
        refused(&answer, 400, code);
    }
    let huge = vec![b' '; 16 * 1024 * 1024 + 1];
    let answer = internal.post(&format!("{path}/report"), &token, huge).await;
    refused(&answer, 413, "request_too_large");
    // What does not hold together is the control plane's to refuse.
    let pointer = json!({"epoch": 1, "step": 1, "prefix": "jobs/another", "manifest_sha256": "0"});
    let call = json!({"pointer": pointer, "metrics": {}});
    let answer = internal.call(&format!("{path}/checkpoint"), &token, &call).await;
    refused(&answer, 422, "refused");
    for (name, call) in
        [("reserve", json!({"from": 0, "until": 1})), ("settle", json!({"step": 0}))]
    {
        let answer = internal.call(&format!("{path}/{name}"), &token, &call).await;
        refused(&answer, 422, "refused");
        assert!(answer.body.to_string().contains("is not private"), "{}", answer.body);
    }
    for (presence, said) in [
        (json!({"pool": "a/b", "devices": 1, "draining": false}), "a/b"),
        (json!({"pool": "", "devices": 1, "draining": false}), "pool"),
        (json!({"pool": "default", "devices": 0, "draining": false}), "not 0"),
    ] {
        let executor = format!("/executors/{}", ExecutorId::generate().unwrap());
        let answer = internal.call(&executor, TOKEN, &presence).await;
        refused(&answer, 422, "refused");
        assert!(answer.body.to_string().contains(said), "{}", answer.body);
    }
    refused(
        &internal
            .call("/executors/me", TOKEN, &json!({"pool": "a", "devices": 1, "draining": true}))
            .await,
        400,
        "invalid_value",
    );
    refused(&internal.call("/nothing", TOKEN, &json!({})).await, 404, "not_found");
    let answer =
        internal.call(&format!("{path}/heartbeat"), &token, &json!({"progress": {}})).await;
    assert_eq!(answer.status, 200, "the lease still holds: {}", answer.body);
}

#[tokio::test]
async fn the_public_listener_knows_nothing_of_it() {
    let server = Server::start().await;
    let internal = Internal::of(&server);
    let (path, token) = internal.claim(&server).await;
    for (path, token) in [
        ("/internal/v1/leases/claim".to_string(), TOKEN.to_string()),
        (format!("/internal/v1{path}/heartbeat"), token),
        (format!("/internal/v1/executors/{}", ExecutorId::generate().unwrap()), TOKEN.to_string()),
    ] {
        let request = server.http.post(format!("{}{path}", server.url)).bearer_auth(token);
        let answer = Answer::of(request.json(&json!({})).send().await.unwrap()).await;
        answer.refused(404, "not_found", None);
    }
    assert!(!trainyard_api::openapi().to_string().contains("/internal/"));
    let answer = internal.http.get(format!("{}/v1/models", internal.url)).bearer_auth(&server.key);
    refused(&Answer::of(answer.send().await.unwrap()).await, 404, "not_found");
}

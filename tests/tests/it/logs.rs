//! Logs in JSON of every kind of process, at the level that says most: in one form, with the ids that lines are looked for by, and with nothing
//! that lets anybody in.

use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};
use trainyard_tests::api::{self, text};
use trainyard_tests::redis::PASSWORD;
use trainyard_tests::rgw::{ACCESS_KEY_ID, BUCKET, Rgw, SECRET_ACCESS_KEY};
use trainyard_tests::{Api, Cluster, ClusterOptions, Redis, Role, data};

use crate::rabbitmq::broker::Broker;

/// A guard against hanging.
const LIMIT: Duration = Duration::from_secs(240);
const ROLES: [Role; 3] = [Role::Api, Role::Scheduler, Role::Executor];
const REQUEST: &str = "request-of-this-test-1";
const COLLECTOR: &str = "a-collectors-token-5512";
const WRONG_KEY: &str = "sk-trainyard-somebodys-lost-key";

fn lines(log: &str) -> Vec<Value> {
    let parse = |line: &str| serde_json::from_str(line).unwrap_or_else(|_| panic!("{line}"));
    log.lines().map(parse).collect()
}

/// The lines with this message.
#[track_caller]
fn saying<'a>(lines: &'a [Value], message: &str) -> Vec<&'a Value> {
    let found: Vec<_> =
        lines.iter().filter(|line| text(line, "/fields/message") == message).collect();
    assert!(!found.is_empty(), "nobody says '{message}'");
    found
}

/// Everything that makes or uses a secret; gives the secrets, the tenant and the job.
async fn use_secrets(cluster: &Cluster) -> (Vec<String>, String, String) {
    let operator = cluster.api(0);
    let (_, tenant) =
        operator.call(Method::POST, "/v1/admin/tenants", Some(json!({"name": "t"}))).await;
    let tenant = text(&tenant, "/id");
    let keys = format!("/v1/admin/tenants/{tenant}/keys");
    let (_, made) = operator.call(Method::POST, &keys, Some(json!({"name": "k"}))).await;
    let rotate = format!("{keys}/{}/rotate", text(&made, "/id"));
    let (_, rotated) = operator.call(Method::POST, &rotate, Some(json!({}))).await;
    let api = Api::new(&cluster.url(0), &text(&rotated, "/key"));
    let (status, hook) = api
        .call(Method::POST, "/v1/webhooks", Some(json!({"url": "http://127.0.0.1:9/hook-of-test"})))
        .await;
    assert_eq!(status, 200, "{hook}");
    let again = format!("/v1/webhooks/{}/rotate_secret", text(&hook, "/id"));
    let (_, hook_again) = api.call(Method::POST, &again, Some(json!({}))).await;
    let wrong = Api::new(&cluster.url(0), WRONG_KEY);
    assert_eq!(wrong.call(Method::GET, "/v1/models", None).await.0, 401);
    let file = api.file("train.jsonl", data::chat(8)).await;
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    let call = http.post(format!("{}/v1/fine_tuning/jobs", cluster.url(0)));
    let call = call.bearer_auth(text(&rotated, "/key")).header("x-request-id", REQUEST);
    let mut request = api::request(&file, 1, 4);
    request["trainyard"]["webhook"] =
        json!({"url": "http://127.0.0.1:9/", "secret": "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"});
    let job: Value = call.json(&request).send().await.unwrap().json().await.unwrap();
    let id = text(&job, "/id");
    assert!(!id.is_empty(), "{job:#}");
    let job = api.end(&id, LIMIT).await;
    assert_eq!(text(&job, "/status"), "succeeded", "{job:#}");
    let secrets = [text(&made, "/key"), text(&rotated, "/key"), text(&hook, "/secret")];
    let mut secrets = secrets.to_vec();
    secrets.push(text(&hook_again, "/secret"));
    secrets.extend(["whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", WRONG_KEY].map(String::from));
    (secrets, tenant, id)
}

#[tokio::test]
async fn every_line_says_whose_it_is_and_none_lets_anybody_in() {
    let directory = tempfile::tempdir().unwrap();
    let (broker, redis) = (Broker::start(), Redis::start(directory.path()));
    let rgw = Rgw::start();
    data::file(directory.path(), "headers", format!("authorization=Bearer%20{COLLECTOR}"));
    data::file(directory.path(), "s3", SECRET_ACCESS_KEY);
    let mut options = ClusterOptions::new(redis.url(), broker.url());
    (options.api, options.scheduler, options.executors) = (1, 1, 1);
    for role in ROLES {
        // Nobody listens there: what is said of a failed call must not have the token either.
        options = options.with(
            role,
            &[
                "--log-level=debug",
                "--traces-endpoint=http://127.0.0.1:9/v1/traces",
                "--traces-headers-file=headers",
            ],
        );
        if role != Role::Executor {
            let hooks = ["--webhook-allow-insecure=true", "--webhook-allow-networks=127.0.0.0/8"];
            options = options.with(role, &hooks);
        }
        if let Some(rgw) = &rgw {
            let endpoint = format!("--s3-endpoint={}", rgw.endpoint);
            let id = format!("--s3-access-key-id={ACCESS_KEY_ID}");
            options = options.with(role, &[&endpoint, &id, "--s3-secret-access-key-file=s3"]);
        }
    }
    options.objects = rgw.as_ref().map(|_| format!("s3://{BUCKET}/logs"));
    let mut cluster = Cluster::start(directory.path(), options);
    let (mut secrets, tenant, job) = use_secrets(&cluster).await;
    // A delivery is tried within a second of the job's end, and told of.
    tokio::time::sleep(Duration::from_secs(3)).await;
    for role in [Role::Executor, Role::Scheduler, Role::Api] {
        assert_eq!(cluster.stop(role, 0).0, Some(0), "{}", cluster.log(role, 0));
    }

    let [password, escaped] = Broker::passwords();
    let token = std::fs::read_to_string(directory.path().join("token")).unwrap();
    let more = [cluster.key(), token.trim(), PASSWORD, password, escaped, COLLECTOR];
    secrets.extend(more.map(String::from));
    secrets.extend(rgw.iter().map(|_| SECRET_ACCESS_KEY.to_string()));
    for role in ROLES {
        let log = cluster.log(role, 0);
        for secret in &secrets {
            assert!(secret.len() >= 8, "'{secret}' would be found anywhere");
            let line = log.lines().find(|line| line.contains(secret.as_str()));
            assert_eq!(line, None, "{role:?} logs '{secret}'");
        }
        // The token of a lease is in nobody's hands but the executor's; it has this form.
        assert!(!log.to_lowercase().contains("bearer "), "{role:?} logs a credential");
        let lines = lines(&log);
        assert!(lines.iter().any(|line| text(line, "/level") == "DEBUG"), "{role:?}");
        for line in &lines {
            for key in ["/timestamp", "/level", "/target"] {
                assert!(!text(line, key).is_empty(), "no {key} in {line}");
            }
            let within = |name: &str| {
                let spans = line["spans"].as_array().into_iter().flatten();
                spans.into_iter().any(|span| text(span, "/name") == name)
            };
            assert!(!within("request") || !text(line, "/request_id").is_empty(), "{line}");
            assert!(!within("job") || text(line, "/job_id") == job, "{line}");
        }
    }

    let of = |role| lines(&cluster.log(role, 0));
    let api = of(Role::Api);
    let answered = saying(&api, "answered");
    let created = answered.iter().find(|line| text(line, "/request_id") == REQUEST);
    let created = created.expect("the line of the request");
    assert_eq!(
        (text(created, "/job_id"), text(created, "/tenant_id")),
        (job.clone(), tenant.clone())
    );
    assert_eq!(text(created, "/trace_id").len(), 32);
    let about = |line: &&&Value| text(line, "/span/path").starts_with("/internal/v1/leases/");
    let calls: Vec<_> = answered.iter().filter(about).collect();
    assert!(!calls.is_empty() && calls.iter().all(|line| text(line, "/job_id") == job));
    let executor = of(Role::Executor);
    for message in ["claimed", "run ended"] {
        let line = saying(&executor, message)[0];
        assert_eq!(text(line, "/job_id"), job);
        assert_eq!(text(line, "/tenant_id"), tenant);
        assert_eq!(text(line, "/trace_id").len(), 32);
    }
    let scheduler = of(Role::Scheduler);
    for message in ["dispatched", "webhook"] {
        let line = saying(&scheduler, message)[0];
        assert_eq!(
            (text(line, "/job_id"), text(line, "/tenant_id")),
            (job.clone(), tenant.clone())
        );
    }
}

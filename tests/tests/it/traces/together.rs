//! A job through processes of their own: the request, the ticket over RabbitMQ, the run, the calls between executor and api, the webhook.

use std::time::Duration;

use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use serde_json::json;
use trainyard_tests::api::{self, text};
use trainyard_tests::{Cluster, ClusterOptions, Redis, Role, data};

use super::collector::{Collector, TOKEN, one};
use crate::rabbitmq::broker::Broker;

/// A guard against hanging.
const LIMIT: Duration = Duration::from_secs(240);
const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
const CALLER: &str = "b7ad6b7169203331";
const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
/// What the tenant says, which no span may.
const TENANTS_OWN: [&str; 4] = ["tenantfile", "tenantsuffix", "tenantvalue", "tenanthook"];

#[tokio::test]
async fn a_job_is_found_from_its_request_to_its_webhook_across_the_queue() {
    let collector = Collector::start();
    let directory = tempfile::tempdir().unwrap();
    let (broker, redis) = (Broker::start(), Redis::start(directory.path()));
    let mut options = ClusterOptions::new(redis.url(), broker.url());
    (options.api, options.scheduler, options.executors) = (1, 1, 1);
    let variable = |name: &str, value: String| (name.to_string(), value);
    options.environment = vec![
        variable("OTEL_EXPORTER_OTLP_ENDPOINT", collector.base()),
        variable("OTEL_EXPORTER_OTLP_HEADERS", format!("authorization=Bearer%20{TOKEN}")),
    ];
    let hooks = ["--webhook-allow-insecure=true", "--webhook-allow-networks=127.0.0.0/8"];
    let options = options.with(Role::Api, &hooks).with(Role::Scheduler, &hooks);
    let mut cluster = Cluster::start(directory.path(), options);
    let api = cluster.api(0);
    let file = api.file("tenantfile.jsonl", data::chat(8)).await;
    let mut request = api::request(&file, 2, 4);
    request["suffix"] = json!("tenantsuffix");
    request["metadata"] = json!({"k": "tenantvalue"});
    request["trainyard"]["checkpoint"] = json!({"every_steps": 2, "every_seconds": null});
    let url = format!("{}?tenanthook", collector.hook());
    request["trainyard"]["webhook"] =
        json!({"url": url, "secret": SECRET, "events": ["fine_tuning.job.succeeded"]});
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    let call = http.post(format!("{}/v1/fine_tuning/jobs", cluster.url(0)));
    let call = call.bearer_auth(cluster.key()).json(&request);
    let call = call.header("traceparent", format!("00-{TRACE}-{CALLER}-01"));
    let job: serde_json::Value = call.send().await.unwrap().json().await.unwrap();
    let id = text(&job, "/id");
    assert!(!id.is_empty(), "{job:#}");
    let job = api.end(&id, LIMIT).await;
    assert_eq!(text(&job, "/status"), "succeeded", "{job:#}");
    collector
        .wait(|seen| {
            let there = |name: &str| seen.iter().any(|span| span.name == name);
            there("run job") && there("POST webhook")
        })
        .await;
    // What they have not sent yet they send at their end.
    for role in [Role::Executor, Role::Scheduler, Role::Api] {
        assert_eq!(cluster.stop(role, 0).0, Some(0), "{}", cluster.log(role, 0));
    }
    let seen = collector.seen();
    assert!(collector.hooks() > 0);
    let of = |service: &str, name: &str| one(&seen, service, name);

    let server = of("trainyard-api", "POST /v1/fine_tuning/jobs");
    assert_eq!((server.trace.as_str(), server.parent.as_str()), (TRACE, CALLER));
    assert_eq!(server.kind, SpanKind::Server);
    assert_eq!(server.says("http.route"), "/v1/fine_tuning/jobs");
    assert_eq!(server.says("http.request.method"), "POST");
    assert_eq!(server.says("http.response.status_code"), "200");
    assert!(!server.failed);
    assert_eq!(server.says("trainyard.tenant.id"), text(&job, "/organization_id"));
    let submit = of("trainyard-api", "submit job");
    assert!(submit.is_below(server) && submit.says("trainyard.job.id") == id);
    assert!(seen.iter().any(|span| span.name == "commit" && span.is_below(submit)));

    assert!(of("trainyard-scheduler", "validate files").is_below(submit));
    let send = of("trainyard-scheduler", "send trainyard.tickets");
    assert!(send.is_below(submit) && send.kind == SpanKind::Producer);
    let process = of("trainyard-executor", "process trainyard.tickets");
    assert_eq!((process.kind, process.parent.as_str()), (SpanKind::Consumer, ""));
    assert_ne!(process.trace, TRACE, "a run is a trace of its own");
    assert_eq!(process.links, [send.place()], "which is linked to where it comes from");
    for ticket in [send, process] {
        assert_eq!(ticket.says("messaging.system"), "rabbitmq");
        assert_eq!(ticket.says("messaging.destination.name"), "trainyard.tickets");
        assert_eq!(ticket.says("messaging.message.id"), format!("{id}:1"));
    }

    let run = of("trainyard-executor", "run job");
    assert!(run.is_below(process) && !run.failed);
    assert_eq!(run.says("trainyard.outcome"), "succeeded");
    assert_eq!(run.says("trainyard.job.id"), id);
    assert_eq!(run.says("trainyard.tenant.id"), server.says("trainyard.tenant.id"));
    for name in ["fetch inputs", "train", "upload result"] {
        assert!(of("trainyard-executor", name).is_below(run), "{name}");
    }
    let train = of("trainyard-executor", "train");
    assert_eq!(train.says("trainyard.step"), "4");
    let kept: Vec<_> = seen.iter().filter(|span| span.name == "upload checkpoint").collect();
    assert!(!kept.is_empty() && kept.iter().all(|span| span.is_below(train)), "{kept:#?}");

    let claim = "POST /internal/v1/leases/claim";
    let asked = of("trainyard-executor", claim);
    assert!(asked.is_below(of("trainyard-executor", "claim job")));
    assert_eq!((asked.kind, asked.says("server.address")), (SpanKind::Client, "127.0.0.1"));
    let answered = of("trainyard-api", claim);
    assert!(answered.is_below(asked) && answered.kind == SpanKind::Server);
    let complete = "POST /internal/v1/leases/{job}/{epoch}/{nonce}/complete";
    assert!(of("trainyard-executor", complete).is_below(run));
    assert!(of("trainyard-api", complete).is_below(of("trainyard-executor", complete)));

    let webhook = of("trainyard-scheduler", "POST webhook");
    assert_eq!((webhook.links.clone(), webhook.parent.as_str()), (vec![submit.place()], ""));
    assert_eq!(webhook.says("http.response.status_code"), "204");

    for span in &seen {
        let quiet = ["heartbeat", "directive", "healthz", "executors"];
        assert!(!quiet.iter().any(|word| span.name.contains(word)), "{span:#?}");
        let words = format!("{span:?}");
        let secret = [cluster.key(), SECRET, TOKEN, trainyard_tests::redis::PASSWORD];
        for never in TENANTS_OWN.iter().chain(&secret) {
            assert!(!words.contains(never), "'{never}' is in {span:#?}");
        }
    }
}

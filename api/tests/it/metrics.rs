//! What is counted: routes by their patterns, limits by their reasons, streams while they are open.

use std::collections::BTreeMap;
use std::time::Duration;

use prometheus::{Encoder, Registry, TextEncoder};
use reqwest::Method;
use serde_json::json;
use trainyard_api::{ApiOptions, LimitSettings, Limits, Metrics};

use crate::server::Server;

/// A server whose metrics are registered.
async fn counted(prefix: &str, settings: LimitSettings) -> (Server, Registry) {
    let (registry, metrics) = (Registry::new(), Metrics::default());
    metrics.register(&registry).unwrap();
    let limits = Limits::counted(settings, metrics.clone());
    let options = ApiOptions { prefix: prefix.into(), limits, metrics, ..ApiOptions::default() };
    (Server::with(options).await, registry)
}

/// Values by name and labels, as they are written.
fn scrape(registry: &Registry) -> BTreeMap<String, f64> {
    let mut text = Vec::new();
    TextEncoder::new().encode(&registry.gather(), &mut text).unwrap();
    let text = String::from_utf8(text).unwrap();
    let samples = text.lines().filter(|line| !line.starts_with('#'));
    samples
        .map(|line| {
            let (name, value) = line.rsplit_once(' ').unwrap();
            (name.to_string(), value.parse().unwrap())
        })
        .collect()
}

fn requests(registry: &Registry, route: &str, method: &str, code: u16) -> f64 {
    let name = format!(
        "trainyard_http_requests_total{{code=\"{code}\",method=\"{method}\",route=\"{route}\"}}"
    );
    scrape(registry).get(&name).copied().unwrap_or(-1.0)
}

#[actix_web::test]
async fn requests_count_under_the_pattern_of_their_route() {
    for prefix in ["", "/training"] {
        let (server, registry) = counted(prefix, LimitSettings::default()).await;
        let job = "/v1/fine_tuning/jobs/{fine_tuning_job_id}";
        assert_eq!(requests(&registry, job, "GET", 200), 0.0, "zero before the first");
        assert_eq!(requests(&registry, job, "GET", 500), 0.0);
        for id in ["ftjob-hidden", "ftjob-another"] {
            let answer = server.get(&format!("{prefix}/v1/fine_tuning/jobs/{id}")).await;
            assert_eq!(answer.status, 404, "{}", answer.body);
        }
        assert_eq!(server.get(&format!("{prefix}/v1/models")).await.status, 200);
        assert_eq!(server.get(&format!("{prefix}/v1/no/such/hidden-path")).await.status, 404);
        let method = Method::from_bytes(b"INVENTED").unwrap();
        let path = format!("{prefix}/v1/models");
        assert_eq!(server.request(method, &path).send().await.unwrap().status(), 405);
        // Refused before any handler, by what stands around them.
        let request = server.request(Method::POST, &format!("{prefix}/v1/fine_tuning/jobs"));
        let request = request.header("idempotency-key", "k".repeat(1000)).body("{}");
        assert_eq!(request.send().await.unwrap().status(), 400);

        assert_eq!(requests(&registry, job, "GET", 404), 2.0);
        assert_eq!(requests(&registry, "/v1/models", "GET", 200), 1.0);
        assert_eq!(requests(&registry, "none", "GET", 404), 1.0);
        assert_eq!(requests(&registry, "/v1/models", "other", 405), 1.0);
        assert_eq!(requests(&registry, "/v1/fine_tuning/jobs", "POST", 400), 1.0);
        let scrape = scrape(&registry);
        assert!(!scrape.keys().any(|name| name.contains("hidden") || name.contains("INVENTED")));
        let count = "trainyard_http_request_duration_seconds_count{method=\"GET\",route=\"/v1/fine_tuning/jobs/{fine_tuning_job_id}\"}";
        assert_eq!(scrape[count], 2.0);
    }
}

#[actix_web::test]
async fn limits_count_by_which_was_reached() {
    let settings = LimitSettings { bad_credentials_per_minute: 2, ..LimitSettings::default() };
    let (server, registry) = counted("", settings).await;
    let limited = |reason: &str| {
        scrape(&registry)[&format!("trainyard_rate_limited_total{{reason=\"{reason}\"}}")]
    };
    let path = format!("/v1/admin/tenants/{}", server.tenant);
    let quota = json!({"quota": {"requests_per_minute": 1000, "requests_per_minute_per_key": 1}});
    assert_eq!(server.post(&path, &quota).await.status, 200);
    assert_eq!(server.get("/v1/models").await.status, 200);
    assert_eq!(server.get("/v1/models").await.status, 429);
    for _ in 0..4 {
        let request = server.http.get(format!("{}/v1/models", server.url)).bearer_auth("sk-guess");
        request.send().await.unwrap();
    }
    assert_eq!((limited("key"), limited("tenant"), limited("streams")), (1.0, 0.0, 0.0));
    assert_eq!(limited("credentials"), 2.0);
}

#[actix_web::test]
async fn streams_count_while_they_are_open() {
    let (server, registry) = counted("", LimitSettings::default()).await;
    let open = || scrape(&registry)["trainyard_event_streams"];
    let job = server.job().await;
    let path = format!("/v1/fine_tuning/jobs/{job}/events?stream=true");
    let stream = server.request(Method::GET, &path).send().await.unwrap();
    assert_eq!((stream.status().as_u16(), open()), (200, 1.0));
    assert_eq!(
        server.post(&format!("/v1/fine_tuning/jobs/{job}/cancel"), &json!({})).await.status,
        200
    );
    assert!(stream.text().await.unwrap().contains("[DONE]"));
    for _ in 0..100 {
        if open() == 0.0 {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("{} streams are open", open());
}

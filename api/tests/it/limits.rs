//! Rate limits and event streams over real sockets.

use futures::StreamExt;
use reqwest::{Method, Response};
use serde_json::json;
use trainyard_api::LimitSettings;

use crate::server::{Answer, Server};

async fn open(server: &Server, job: &str, last: Option<&str>) -> Response {
    let path = format!("/v1/fine_tuning/jobs/{job}/events?stream=true");
    let mut request = server.request(Method::GET, &path);
    if let Some(last) = last {
        request = request.header("last-event-id", last);
    }
    request.send().await.unwrap()
}

fn ids(text: &str) -> Vec<&str> {
    text.lines().filter_map(|line| line.strip_prefix("id: ")).collect()
}

#[actix_web::test]
async fn requests_are_counted_and_told() {
    let server = Server::start().await;
    let first = server.get("/v1/models").await;
    assert_eq!(first.header("x-ratelimit-limit-requests"), "6000");
    assert!(first.header("x-ratelimit-remaining-requests").parse::<u32>().unwrap() < 6000);
    assert!(first.header("x-ratelimit-reset-requests").ends_with('s'));
    let path = format!("/v1/admin/tenants/{}", server.tenant);
    let quota = json!({"quota": {"requests_per_minute": 1000, "requests_per_minute_per_key": 2}});
    assert_eq!(server.post(&path, &quota).await.status, 200);
    // The quota holds at once.
    let second = server.get("/v1/models").await;
    assert_eq!(second.header("x-ratelimit-remaining-requests"), "1");
    assert_eq!(server.get("/v1/models").await.status, 200);
    let refused = server.get("/v1/models").await;
    refused.refused(429, "rate_limit_exceeded", None);
    assert_eq!(refused.header("x-ratelimit-remaining-requests"), "0");
    let seconds: u64 = refused.header("retry-after").parse().unwrap();
    let milliseconds: u64 = refused.header("retry-after-ms").parse().unwrap();
    assert!((1..=30).contains(&seconds) && milliseconds <= 30_000, "{seconds} {milliseconds}");
    let public = server.http.get(format!("{}/healthz/live", server.url)).send().await.unwrap();
    assert_eq!(public.status(), 200);
    assert!(public.headers().get("x-ratelimit-limit-requests").is_none());
}

#[actix_web::test]
async fn guessing_keys_is_slow_whatever_address_is_claimed() {
    let server = Server::limited(LimitSettings::default()).await;
    let mut statuses = Vec::new();
    for number in 0..130 {
        let request = server.http.get(format!("{}/v1/models", server.url)).bearer_auth("sk-guess");
        let request = request.header("x-forwarded-for", format!("10.0.0.{number}"));
        statuses.push(Answer::of(request.send().await.unwrap()).await.status);
    }
    assert!(statuses[..120].iter().all(|status| *status == 401));
    assert!(statuses[120..].contains(&429), "{:?}", &statuses[120..]);
}

#[actix_web::test]
async fn a_stream_gives_every_event_once_and_ends() {
    let server = Server::start().await;
    let job = server.job().await;
    let mut stream = open(&server, &job, None).await.bytes_stream();
    let mut text = String::new();
    while ids(&text).len() < 2 {
        text += std::str::from_utf8(&stream.next().await.unwrap().unwrap()).unwrap();
    }
    let cancelled = server.post(&format!("/v1/fine_tuning/jobs/{job}/cancel"), &json!({})).await;
    assert_eq!(cancelled.status, 200);
    while let Some(piece) = stream.next().await {
        text += std::str::from_utf8(&piece.unwrap()).unwrap();
    }
    assert!(text.ends_with("event: done\ndata: [DONE]\n\n"), "{text}");
    let listed = server.get(&format!("/v1/fine_tuning/jobs/{job}/events")).await.body;
    let mut listed: Vec<&str> = listed["data"]
        .as_array()
        .unwrap()
        .iter()
        .map(|event| event["id"].as_str().unwrap())
        .collect();
    listed.reverse();
    assert_eq!(ids(&text), listed);
    // Each place to go on from loses nothing and doubles nothing.
    for (index, id) in listed.iter().enumerate() {
        let rest = open(&server, &job, Some(id)).await.text().await.unwrap();
        assert_eq!(ids(&rest), listed[index + 1..], "{rest}");
    }
    for unknown in ["nonsense", "ftevent-000000000000000000000000"] {
        let all = open(&server, &job, Some(unknown)).await.text().await.unwrap();
        assert!(all.starts_with("event: trainyard.reset\ndata: {"), "{all}");
        assert_eq!(ids(&all), listed);
    }
    let foreign =
        server.http.get(format!("{}/v1/fine_tuning/jobs/{job}/events?stream=true", server.url));
    Answer::of(foreign.bearer_auth(server.stranger().await).send().await.unwrap()).await.refused(
        404,
        "not_found",
        Some("fine_tuning_job_id"),
    );
}

#[actix_web::test]
async fn a_tenant_has_so_many_streams_and_no_more() {
    let server = Server::start().await;
    let job = server.job().await;
    let mut streams = Vec::new();
    for _ in 0..100 {
        let stream = open(&server, &job, None).await;
        assert_eq!(stream.status(), 200);
        streams.push(stream);
    }
    Answer::of(open(&server, &job, None).await).await.refused(429, "rate_limit_exceeded", None);
}

//! Events reach their endpoints, signed, once or until they are given up.

use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use serde_json::{Value, json};
use sha2::Sha256;
use tokio_util::sync::CancellationToken;
use trainyard_openapi::error::ErrorCode;
use trainyard_openapi::webhook::{DeliveryStatus, EventType, SigningSecret, UpdateWebhook};

use crate::receiver::{Received, Receiver};
use crate::world::{World, local};

/// Whether one of the request's signatures is `secret`'s, by the algorithm of Standard Webhooks.
fn verifies(request: &Received, secret: &SigningSecret) -> bool {
    let key = STANDARD.decode(secret.0.strip_prefix("whsec_").unwrap()).unwrap();
    let (id, at) = (request.header("webhook-id"), request.header("webhook-timestamp"));
    let mut mac = Hmac::<Sha256>::new_from_slice(&key).unwrap();
    mac.update(format!("{id}.{at}.{}", request.body).as_bytes());
    let expected = format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes()));
    request.header("webhook-signature").split(' ').any(|signature| signature == expected)
}

fn body(request: &Received) -> Value {
    serde_json::from_str(&request.body).unwrap()
}

#[tokio::test]
async fn every_transition_is_told_and_signed() {
    let (receiver, own) = (Receiver::with_status(200).await, Receiver::with_status(204).await);
    let world = World::new(local()).await;
    let webhook = world.webhook(&receiver.url()).await;
    let secret = webhook.secret.clone().unwrap();
    let brought = SigningSecret(format!("whsec_{}", STANDARD.encode([7; 24])));
    let only = ["fine_tuning.job.cancelled"];
    let job = world
        .job(json!({"trainyard": {"webhook": {"url": own.url(), "secret": brought, "events": only}}}))
        .await;
    let shown = serde_json::to_value(&job).unwrap();
    assert_eq!(shown["trainyard"]["webhook"], json!({"url": own.url(), "events": only}));
    assert!(!shown.to_string().contains(&brought.0));

    world.scheduler.tick().await.unwrap();
    world.scheduler.pause(&world.ctx, &job.id).await.unwrap();
    world.scheduler.resume(&world.ctx, &job.id).await.unwrap();
    world.scheduler.cancel(&world.ctx, &job.id).await.unwrap();
    while world.deliverer.pass().await.unwrap() > 0 {}
    let received = receiver.received();
    let mut types: Vec<String> =
        received.iter().map(|request| body(request)["type"].as_str().unwrap().into()).collect();
    types.sort();
    let told = ["cancelled", "created", "paused", "queued", "queued"];
    assert_eq!(types, told.map(|word| format!("fine_tuning.job.{word}")));
    for request in &received {
        let body = body(request);
        assert!(verifies(request, &secret), "{request:?}");
        assert_eq!(body["id"], request.header("webhook-id"));
        assert_eq!((&body["object"], &body["data"]["id"]), (&json!("event"), &json!(job.id)));
        assert_eq!(request.header("content-type"), "application/json");
        assert!(request.body.len() < 20_000);
    }
    assert_eq!(own.received().len(), 1);
    assert!(verifies(&own.received()[0], &brought) && !verifies(&own.received()[0], &secret));
    assert_eq!(body(&own.received()[0])["type"], only[0]);
    let deliveries = world.deliveries(&webhook.id).await;
    assert!(deliveries.iter().all(|delivery| delivery.status == DeliveryStatus::Delivered));
    assert_eq!(deliveries.len(), 5);

    // After 7 days nothing is left of them, the job's own endpoint and its secret included.
    world.clock.advance_seconds(7 * 86_400 + 1);
    world.scheduler.sweep_deliveries().await.unwrap();
    assert_eq!(world.deliveries(&webhook.id).await, vec![]);
    use trainyard_scheduler::port::document::Kind;
    for (kind, left) in [(Kind::Delivery, 0), (Kind::DeliveryTimer, 0), (Kind::Webhook, 1)] {
        assert_eq!(world.store.document_count(kind).await.unwrap(), left, "{kind:?}");
    }
}

#[tokio::test]
async fn a_crash_between_transition_and_delivery_loses_nothing() {
    let receiver = Receiver::with_status(200).await;
    let world = World::new(local()).await;
    let webhook = world.webhook(&receiver.url()).await;
    world.job(json!({})).await;
    let before = world.deliveries(&webhook.id).await;
    let world = world.reopened(local()).await;
    assert_eq!(world.deliverer.pass().await.unwrap(), 1);
    assert_eq!(receiver.received()[0].header("webhook-id"), before[0].id.as_str());
    assert_eq!(world.deliverer.pass().await.unwrap(), 0, "once");
}

#[tokio::test]
async fn a_rotated_secret_signs_beside_the_new_one_for_a_day() {
    let receiver = Receiver::with_status(200).await;
    let world = World::new(local()).await;
    let webhook = world.webhook(&receiver.url()).await;
    let old = webhook.secret.unwrap();
    let new = world.scheduler.rotate_webhook_secret(&world.ctx, &webhook.id).await.unwrap();
    let new = new.secret.unwrap();
    for _ in 0..2 {
        world.scheduler.test_webhook(&world.ctx, &webhook.id).await.unwrap();
        world.deliverer.pass().await.unwrap();
        world.clock.advance_seconds(86_400);
    }
    let [during, after] = &receiver.received()[..] else { panic!("two requests") };
    assert_eq!(during.header("webhook-signature").split(' ').count(), 2);
    assert!(verifies(during, &old) && verifies(during, &new));
    assert!(!verifies(after, &old) && verifies(after, &new));
    assert_eq!(world.scheduler.webhook(&world.ctx, &webhook.id).await.unwrap().secret, None);
}

#[tokio::test]
async fn gone_disables_the_endpoint_until_it_is_enabled_again() {
    let receiver = Receiver::with_status(410).await;
    let world = World::new(local()).await;
    let webhook = world.webhook(&receiver.url()).await;
    world.scheduler.test_webhook(&world.ctx, &webhook.id).await.unwrap();
    world.deliverer.pass().await.unwrap();
    let shown = world.scheduler.webhook(&world.ctx, &webhook.id).await.unwrap();
    assert!(!shown.enabled && shown.disabled_reason.unwrap().contains("410"));
    assert_eq!(world.deliveries(&webhook.id).await[0].status, DeliveryStatus::Failed);
    let log = world.store.audit(world.ctx.tenant(), 0, 99).await.unwrap();
    let last = &log.last().unwrap().entry;
    assert_eq!((last.action.as_str(), last.actor.as_str()), ("webhook.disabled", "system"));
    world.job(json!({})).await;
    assert_eq!(world.deliveries(&webhook.id).await.len(), 1, "nothing new is queued");
    let test = world.scheduler.test_webhook(&world.ctx, &webhook.id).await;
    assert_eq!(test.unwrap_err().to_api().code, ErrorCode::InvalidState);
    let update = UpdateWebhook { enabled: Some(true), ..UpdateWebhook::default() };
    let shown = world.scheduler.update_webhook(&world.ctx, &webhook.id, &update).await.unwrap();
    assert!(shown.enabled && shown.disabled_reason.is_none());
}

#[tokio::test]
async fn a_failing_endpoint_is_tried_for_72_hours_under_one_id() {
    let receiver = Receiver::with_status(500).await;
    let world = World::new(local()).await;
    let webhook = world.webhook(&receiver.url()).await;
    world.scheduler.test_webhook(&world.ctx, &webhook.id).await.unwrap();
    let mut hours = 0.0;
    loop {
        world.deliverer.pass().await.unwrap();
        let delivery = world.deliveries(&webhook.id).await.remove(0);
        assert_eq!(delivery.last_response_status, Some(500));
        let Some(next) = delivery.next_attempt_at else {
            assert_eq!(delivery.status, DeliveryStatus::Failed);
            break;
        };
        assert_eq!(world.deliverer.pass().await.unwrap(), 0, "not before its time");
        hours = (next - delivery.created_at) as f64 / 3600.0;
        let now = trainyard_scheduler::clock::Clock::now_ms(world.clock.as_ref()) / 1000;
        world.clock.advance_seconds(next - now + 1);
    }
    assert!((71.9..=72.1).contains(&hours), "{hours}");
    let received = receiver.received();
    assert!((14..=19).contains(&received.len()), "{} attempts", received.len());
    let id = received[0].header("webhook-id");
    assert!(received.iter().all(|request| request.header("webhook-id") == id));
    assert_ne!(received[0].header("webhook-timestamp"), received[1].header("webhook-timestamp"));
}

#[tokio::test]
async fn retry_after_is_obeyed() {
    let answer = "HTTP/1.1 503 x\r\nretry-after: 1800\r\ncontent-length: 0\r\n\r\n";
    let receiver = Receiver::answering(answer).await;
    let world = World::new(local()).await;
    let webhook = world.webhook(&receiver.url()).await;
    world.scheduler.test_webhook(&world.ctx, &webhook.id).await.unwrap();
    world.deliverer.pass().await.unwrap();
    let delivery = world.deliveries(&webhook.id).await.remove(0);
    assert_eq!(delivery.next_attempt_at.unwrap() - delivery.created_at, 1800);
}

/// One that never answers, one that answers with 5 MB, and one that is well: none holds up another.
#[tokio::test]
async fn slow_and_huge_answers_hold_nobody_up() {
    let silent = Receiver::answering("").await;
    let mut huge = b"HTTP/1.1 200 x\r\ncontent-length: 5000000\r\n\r\n".to_vec();
    huge.resize(huge.len() + 5_000_000, b'x');
    let (huge, well) = (Receiver::answering(huge).await, Receiver::with_status(200).await);
    let world = World::new(local()).await;
    let mut webhooks = Vec::new();
    for receiver in [&silent, &huge, &well] {
        webhooks.push(world.webhook(&receiver.url()).await.id);
    }
    for _ in 0..20 {
        world.scheduler.test_webhook(&world.ctx, &webhooks[0]).await.unwrap();
    }
    for id in &webhooks[1..] {
        world.scheduler.test_webhook(&world.ctx, id).await.unwrap();
    }
    let (scheduler, ctx) = (world.scheduler.clone(), world.ctx.clone());
    let stop = CancellationToken::new();
    let start = Instant::now();
    let World { deliverer, store: _store, .. } = world;
    let running = tokio::spawn(deliverer.run(stop.clone()));
    while well.accepted() == 0 || huge.accepted() == 0 {
        assert!(start.elapsed() < Duration::from_millis(1_900), "before the silent one times out");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert!(silent.accepted() <= 4, "few at once to one endpoint: {}", silent.accepted());
    stop.cancel();
    tokio::time::timeout(Duration::from_secs(5), running).await.unwrap().unwrap();
    let page = trainyard_openapi::page::PageRequest {
        after: None,
        limit: 9,
        order: trainyard_openapi::page::Order::Asc,
    };
    for (id, status) in webhooks.iter().zip([
        DeliveryStatus::Pending,
        DeliveryStatus::Delivered,
        DeliveryStatus::Delivered,
    ]) {
        let page = scheduler.webhook_deliveries(&ctx, id, &page).await.unwrap();
        assert_eq!(page.data[0].status, status, "{:?}", page.data[0]);
        assert_eq!(page.data[0].kind, EventType::Ping);
    }
}

#[tokio::test]
async fn a_foreign_webhook_does_not_exist() {
    let world = World::new(local()).await;
    let webhook = world.webhook("https://example.com/").await.id;
    let stranger = world.stranger().await;
    let page = trainyard_openapi::page::PageRequest {
        after: None,
        limit: 9,
        order: trainyard_openapi::page::Order::Asc,
    };
    let scheduler = &world.scheduler;
    let codes = [
        scheduler.webhook(&stranger, &webhook).await.unwrap_err(),
        scheduler.update_webhook(&stranger, &webhook, &UpdateWebhook::default()).await.unwrap_err(),
        scheduler.rotate_webhook_secret(&stranger, &webhook).await.unwrap_err(),
        scheduler.test_webhook(&stranger, &webhook).await.unwrap_err(),
        scheduler.webhook_deliveries(&stranger, &webhook, &page).await.unwrap_err(),
        scheduler.delete_webhook(&stranger, &webhook).await.unwrap_err(),
    ];
    for error in codes {
        assert_eq!(error.to_api().code, ErrorCode::NotFound);
    }
    assert_eq!(scheduler.webhooks(&stranger, &page).await.unwrap().data, vec![]);
    scheduler.delete_webhook(&world.ctx, &webhook).await.unwrap();
    let gone = scheduler.webhook(&world.ctx, &webhook).await.unwrap_err();
    assert_eq!(gone.to_api().code, ErrorCode::NotFound);
}

//! No address of a network that is not public is ever connected to, in whatever form it comes.

use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures::future::BoxFuture;
use trainyard_openapi::error::ErrorCode;
use trainyard_openapi::id::{DeliveryId, TenantId, WebhookId};
use trainyard_openapi::webhook::CreateWebhook;
use trainyard_scheduler::webhook::{Outcome, Outgoing, Targets};
use trainyard_webhooks::client::Client;
use trainyard_webhooks::resolver::{Lookup, SystemLookup};

use crate::receiver::Receiver;
use crate::world::World;

/// Hosts that all must be refused. Where one means this machine, the receiver listens behind it.
const HOSTS: [&str; 67] = [
    "127.0.0.1",
    "127.1",
    "127.0.1",
    "127.255.255.254",
    "127.0.0.1.",
    "0x7f000001",
    "0x7f.0.0.1",
    "0x7f.1",
    "2130706433",
    "017700000001",
    "0177.0.0.1",
    "0177.0x0.0.1",
    "%31%32%37.0.0.1",
    "１２７.０.０.１",
    "127。0。0。1",
    "0.0.0.0",
    "0",
    "0x0",
    "0.1.2.3",
    "10.0.0.1",
    "167772161",
    "100.64.0.1",
    "100.127.255.255",
    "168.63.129.16",
    "169.254.169.254",
    "0xa9fea9fe",
    "2852039166",
    "172.16.0.1",
    "172.31.255.255",
    "192.0.0.1",
    "192.0.0.192",
    "192.0.2.1",
    "192.88.99.1",
    "192.168.0.1",
    "198.18.0.1",
    "198.19.255.255",
    "198.51.100.1",
    "203.0.113.1",
    "224.0.0.1",
    "239.255.255.255",
    "240.0.0.1",
    "255.255.255.255",
    "[::]",
    "[::1]",
    "[0:0:0:0:0:0:0:1]",
    "[::ffff:127.0.0.1]",
    "[::ffff:7f00:1]",
    "[::ffff:10.0.0.1]",
    "[::ffff:169.254.169.254]",
    "[::127.0.0.1]",
    "[64:ff9b::7f00:1]",
    "[64:ff9b:1::a9fe:a9fe]",
    "[100::1]",
    "[2001::1]",
    "[2001:db8::1]",
    "[2002:7f00:1::]",
    "[3fff::1]",
    "[5f00::1]",
    "[fc00::1]",
    "[fd00:ec2::254]",
    "[fe80::1]",
    "[fec0::1]",
    "[ff02::1]",
    "localhost",
    "localhost.",
    "app.localhost",
    "metadata.google.internal",
];

/// Anything goes but the address.
fn open_but_for_addresses() -> Targets {
    Targets { insecure: true, ..Targets::default() }
}

fn outgoing(url: String) -> Outgoing {
    Outgoing {
        job: None,
        attempts: 0,
        traceparent: None,
        id: DeliveryId::generate().unwrap(),
        webhook: WebhookId::generate().unwrap(),
        tenant: TenantId::generate().unwrap(),
        url,
        body: "{}".to_string(),
        timestamp: 0,
        signature: "v1,x".to_string(),
    }
}

#[tokio::test]
async fn no_form_of_a_blocked_address_is_taken_or_connected_to() {
    let receiver = Receiver::with_status(200).await;
    let port = receiver.port;
    let world = World::new(open_but_for_addresses()).await;
    let client =
        Client::new(open_but_for_addresses(), Arc::new(SystemLookup), Duration::from_secs(2));
    let client = client.unwrap();
    for host in HOSTS {
        let url = format!("http://{host}:{port}/hook");
        let new = CreateWebhook { url: url.clone(), events: None, description: None };
        let error = world.scheduler.create_webhook(&world.ctx, &new).await.unwrap_err().to_api();
        assert_eq!(error.code, ErrorCode::InvalidValue, "{host}");
        assert_eq!(error.param.as_deref(), Some("url"), "{host}");
        let outcome = client.send(&outgoing(url), 0).await;
        assert!(matches!(outcome, Outcome::Unanswered(_)), "{host}: {outcome:?}");
    }
    assert_eq!(receiver.accepted(), 0);
}

#[tokio::test]
async fn urls_of_other_forms_are_refused() {
    let world = World::new(Targets::default()).await;
    for url in [
        "",
        "example.com",
        "//example.com/",
        "http://example.com/",
        "file:///etc/passwd",
        "gopher://example.com/",
        "ftp://example.com/",
        "https://example.com:6379/",
        "https://example.com:5672/",
        "https://user@example.com/",
        "https://user:secret@example.com/",
        "https://@example.com/",
        "https://example.com/#part",
        "https://example.com./",
        "https://example.com\\@127.0.0.1/",
        "https://exam\tple.com/",
        " https://example.com/",
        "https:///",
        "https://[::1/",
        "https://printer/",
        "https://nas.local/",
    ] {
        let new = CreateWebhook { url: url.to_string(), events: None, description: None };
        let answer = world.scheduler.create_webhook(&world.ctx, &new).await;
        let error = answer.expect_err(url).to_api();
        assert_eq!(error.param.as_deref(), Some("url"), "{url}");
    }
    for url in ["https://example.com/hook?a=b", "https://1.1.1.1/", "https://[2606:4700::1111]/"] {
        world.webhook(url).await;
    }
    world.webhook("https://[::ffff:8.8.8.8]/").await;
}

/// Answers with a public address at first, and with this machine's after that.
struct Rebinding(AtomicUsize);

impl Lookup for Rebinding {
    fn lookup(&self, _: String) -> BoxFuture<'static, io::Result<Vec<IpAddr>>> {
        let first = self.0.fetch_add(1, Ordering::SeqCst) == 0;
        // A public address on which nothing answers within the time limit of this test.
        let address = if first { "192.0.1.1" } else { "127.0.0.1" };
        Box::pin(async move { Ok(vec![address.parse().unwrap()]) })
    }
}

/// The name answers with this machine's addresses, written in several ways.
struct Private;

impl Lookup for Private {
    fn lookup(&self, _: String) -> BoxFuture<'static, io::Result<Vec<IpAddr>>> {
        let all = ["127.0.0.1", "::1", "::ffff:127.0.0.1", "0.0.0.0", "10.0.0.1"];
        Box::pin(async move { Ok(all.iter().map(|text| text.parse().unwrap()).collect()) })
    }
}

#[tokio::test]
async fn a_name_that_comes_to_mean_this_machine_gains_nothing() {
    let receiver = Receiver::with_status(200).await;
    let url = format!("http://hooks.example.com:{}/", receiver.port);
    let rebinding = Arc::new(Rebinding(AtomicUsize::new(0)));
    let client =
        Client::new(open_but_for_addresses(), rebinding.clone(), Duration::from_millis(300));
    let client = client.unwrap();
    for _ in 0..4 {
        let outcome = client.send(&outgoing(url.clone()), 0).await;
        assert!(matches!(outcome, Outcome::Unanswered(_)), "{outcome:?}");
    }
    assert!(rebinding.0.load(Ordering::SeqCst) >= 4, "each attempt looks the name up anew");
    let client = Client::new(open_but_for_addresses(), Arc::new(Private), Duration::from_secs(2));
    let outcome = client.unwrap().send(&outgoing(url), 0).await;
    let reason = "the host has no address of the public internet".to_string();
    assert_eq!(outcome, Outcome::Unanswered(reason));
    assert_eq!(receiver.accepted(), 0);
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let target = Receiver::with_status(200).await;
    let answer =
        format!("HTTP/1.1 307 x\r\nlocation: {}\r\ncontent-length: 0\r\n\r\n", target.url());
    let front = Receiver::answering(answer).await;
    let world = World::new(crate::world::local()).await;
    let webhook = world.webhook(&front.url()).await;
    world.scheduler.test_webhook(&world.ctx, &webhook.id).await.unwrap();
    world.deliverer.pass().await.unwrap();
    let delivery = &world.deliveries(&webhook.id).await[0];
    assert_eq!(delivery.last_response_status, Some(307));
    assert_eq!((front.accepted(), target.accepted()), (1, 0));
}

//! The control plane over HTTP, seen from the executor: real servers over a real scheduler, which fail as told.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use actix_web::dev::ServerHandle;
use actix_web::http::StatusCode;
use actix_web::web::{self, Bytes, Data};
use actix_web::{App, HttpRequest, HttpResponse, HttpServer};
use serde_json::json;
use tokio::io::AsyncReadExt;
use tokio::net::TcpListener;
use trainyard_executor::RemoteControlPlane;
use trainyard_openapi::extension::Progress;
use trainyard_openapi::id::{ExecutorId, Nonce};
use trainyard_scheduler::Scheduler;
use trainyard_scheduler::adapter::memory::MemoryQueue;
use trainyard_scheduler::port::control_plane::{
    Claim, ControlPlane, Directive, LeaseError, Presence, ReleaseReason,
};
use trainyard_scheduler::port::lease_call::{
    ClaimCall, Claimed, HeartbeatCall, ReleaseCall, ReserveCall, SettleCall, Settled,
};
use trainyard_scheduler::port::queue::{Queue, Ticket};

use crate::bench::Bench;

pub(crate) const TOKEN: &str = "the executors' token";

/// How a server answers.
#[derive(Clone)]
enum Mood {
    /// As the scheduler does.
    Well,
    /// With this status and body, whatever is asked.
    With(u16, String),
    /// Not at all.
    Never,
}

#[derive(Clone)]
struct Plane {
    scheduler: Scheduler,
    mood: Arc<Mutex<Mood>>,
    /// Path and credential of each call.
    calls: Arc<Mutex<Vec<(String, String)>>>,
}

/// A server that ends with the test.
pub(crate) struct Running {
    pub(crate) url: String,
    plane: Plane,
    handle: ServerHandle,
}

impl Running {
    pub(crate) fn start(scheduler: &Scheduler) -> Self {
        let plane = Plane {
            scheduler: scheduler.clone(),
            mood: Arc::new(Mutex::new(Mood::Well)),
            calls: Arc::default(),
        };
        let shared = plane.clone();
        let server = HttpServer::new(move || {
            App::new().app_data(Data::new(shared.clone())).default_service(web::to(answer))
        });
        let server = server.workers(1).disable_signals().bind(("127.0.0.1", 0)).unwrap();
        let url = format!("http://{}", server.addrs()[0]);
        let server = server.run();
        let handle = server.handle();
        tokio::spawn(server);
        Self { url, plane, handle }
    }

    fn is_in(&self, mood: Mood) {
        *self.plane.mood.lock().unwrap() = mood;
    }

    /// Calls since the last look.
    pub(crate) fn calls(&self) -> Vec<(String, String)> {
        std::mem::take(&mut *self.plane.calls.lock().unwrap())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        tokio::spawn(self.handle.stop(false));
    }
}

async fn answer(plane: Data<Plane>, request: HttpRequest, body: Bytes) -> HttpResponse {
    let path = request.path().strip_prefix("/internal/v1").unwrap().to_string();
    let credential = request.headers().get("authorization").unwrap().to_str().unwrap();
    plane.calls.lock().unwrap().push((path.clone(), credential.to_string()));
    let mood = plane.mood.lock().unwrap().clone();
    match mood {
        Mood::Well => {}
        Mood::With(status, body) => {
            return HttpResponse::build(StatusCode::from_u16(status).unwrap()).body(body);
        }
        Mood::Never => std::future::pending().await,
    }
    let scheduler = &plane.scheduler;
    let said = match path.rsplit('/').next().unwrap() {
        "claim" => {
            let ClaimCall { ticket, executor, nonce } = serde_json::from_slice(&body).unwrap();
            let claimed = scheduler.claim(&ticket, &executor, &nonce).await;
            claimed.map(|claim| json!(Claimed { claim, token: format!("for {nonce}") }))
        }
        "heartbeat" => {
            let HeartbeatCall { progress } = serde_json::from_slice(&body).unwrap();
            let lease = lease(&path);
            scheduler
                .heartbeat(&lease, &progress)
                .await
                .map(|directive| json!({"directive": directive}))
        }
        "reserve" => {
            let ReserveCall { from, until } = serde_json::from_slice(&body).unwrap();
            scheduler.reserve_steps(&lease(&path), from, until).await.map(|given| json!(given))
        }
        "settle" => {
            let SettleCall { step } = serde_json::from_slice(&body).unwrap();
            let spent = scheduler.settle_steps(&lease(&path), step).await;
            spent.map(|spent| json!(Settled { spent }))
        }
        "release" => {
            let ReleaseCall { reason } = serde_json::from_slice(&body).unwrap();
            scheduler.release(&lease(&path), reason).await.map(|()| json!(null))
        }
        _ => {
            let presence: Presence = serde_json::from_slice(&body).unwrap();
            let executor = path.rsplit('/').next().unwrap().parse().unwrap();
            scheduler.enlist(&executor, &presence).await.map(|()| json!(null))
        }
    };
    match said {
        Ok(json) if json.is_null() => HttpResponse::NoContent().finish(),
        Ok(json) => HttpResponse::Ok().json(json),
        Err(error) => HttpResponse::Conflict()
            .json(json!({"error": {"code": error.code(), "message": error.to_string()}})),
    }
}

fn lease(path: &str) -> trainyard_scheduler::port::control_plane::LeaseId {
    let parts: Vec<&str> = path.split('/').collect();
    let [_, _, job, epoch, nonce, _] = parts[..] else { panic!("{path}") };
    trainyard_scheduler::port::control_plane::LeaseId {
        job: job.parse().unwrap(),
        epoch: epoch.parse().unwrap(),
        nonce: nonce.parse().unwrap(),
    }
}

/// A scheduler with a job that waits to be claimed, and no agent.
pub(crate) async fn bench() -> (Bench, Ticket) {
    bench_with(json!({})).await
}

/// The same, with these settings of the job.
async fn bench_with(settings: serde_json::Value) -> (Bench, Ticket) {
    let queue = Arc::new(MemoryQueue::new());
    let mut bench = Bench::start_on(queue.clone(), "complete").await;
    bench.stop_agent().await;
    bench.submit_with(settings).await;
    let mut consumer = queue.consume("default").await.unwrap();
    let ticket = consumer.next().await.unwrap().unwrap();
    consumer.ack().await.unwrap();
    (bench, ticket)
}

fn client(urls: &[&str]) -> RemoteControlPlane {
    let urls = urls.iter().map(|url| url.parse().unwrap()).collect();
    RemoteControlPlane::new(urls, TOKEN.to_string(), None).unwrap()
}

async fn claim(client: &RemoteControlPlane, ticket: &Ticket) -> Claim {
    let (executor, nonce) = (ExecutorId::generate().unwrap(), Nonce::generate().unwrap());
    client.claim(ticket, &executor, &nonce).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_goes_to_the_next_address_where_one_gives_no_definite_answer() {
    let (bench, ticket) = bench().await;
    let (one, two) = (Running::start(&bench.scheduler), Running::start(&bench.scheduler));
    // Nobody listens here.
    let gone = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let nowhere = format!("http://{}", gone.local_addr().unwrap());
    drop(gone);
    let client = client(&[&nowhere, &one.url, &two.url]);
    let claim = claim(&client, &ticket).await;
    let own = format!("Bearer for {}", claim.lease.nonce);
    let calls = one.calls();
    assert_eq!(calls, [("/leases/claim".to_string(), format!("Bearer {TOKEN}"))]);

    let beat = async || client.heartbeat(&claim.lease, &Progress::default()).await;
    assert_eq!(beat().await.unwrap(), Directive::Continue);
    assert_eq!(one.calls()[0].1, own, "the claim's own token and no other");
    let page = "<html>bad gateway</html>".to_string();
    let down =
        json!({"error": {"code": "unavailable", "message": "the store is away"}}).to_string();
    for (status, body) in [
        (500, String::new()),
        (502, page.clone()),
        (503, down.clone()),
        (404, page),
        (200, "{".into()),
    ] {
        one.is_in(Mood::With(status, body));
        two.is_in(Mood::Well);
        assert_eq!(beat().await.unwrap(), Directive::Continue, "{status}");
        assert_eq!((one.calls().len(), two.calls().len()), (1, 1), "{status}");
        assert_eq!(beat().await.unwrap(), Directive::Continue, "the one that answered comes first");
        assert_eq!((one.calls().len(), two.calls().len()), (0, 1), "{status}");
        // And back, past the address where nobody listens.
        two.is_in(Mood::With(503, down.clone()));
        one.is_in(Mood::Well);
        assert_eq!(beat().await.unwrap(), Directive::Continue);
        one.calls();
        two.calls();
    }
    one.is_in(Mood::With(503, down.clone()));
    let Err(LeaseError::Unavailable(reason)) = beat().await else { panic!("an answer") };
    assert!(reason.contains(&nowhere) && reason.contains("the store is away"), "{reason}");
    assert!(!reason.contains("Bearer") && !reason.contains(TOKEN), "{reason}");

    // A caller that waits no longer has moved on, too: the address did not answer.
    one.is_in(Mood::Never);
    two.is_in(Mood::Never);
    one.calls();
    two.calls();
    let wait = Duration::from_millis(300);
    for _ in 0..3 {
        assert!(tokio::time::timeout(wait, beat()).await.is_err());
    }
    assert!(!one.calls().is_empty() && !two.calls().is_empty());
    one.is_in(Mood::Well);
    two.is_in(Mood::Well);
    assert_eq!(beat().await.unwrap(), Directive::Continue);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_is_cut_is_no_answer() {
    let (bench, ticket) = bench().await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let cut = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        loop {
            // Reads some of the request and lets go.
            let (mut socket, _) = listener.accept().await.unwrap();
            let _ = socket.read(&mut [0; 16]).await;
        }
    });
    let alone = client(&[&cut]);
    let (executor, nonce) = (ExecutorId::generate().unwrap(), Nonce::generate().unwrap());
    let answer = alone.claim(&ticket, &executor, &nonce).await;
    assert!(matches!(answer, Err(LeaseError::Unavailable(_))), "{answer:?}");
    let good = Running::start(&bench.scheduler);
    claim(&client(&[&cut, &good.url]), &ticket).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn definite_answers_are_not_asked_for_again() {
    let (bench, ticket) = bench().await;
    let (one, two) = (Running::start(&bench.scheduler), Running::start(&bench.scheduler));
    let client = client(&[&one.url, &two.url]);
    let first = claim(&client, &ticket).await;
    let (executor, nonce) = (ExecutorId::generate().unwrap(), Nonce::generate().unwrap());
    let stale = client.claim(&ticket, &executor, &nonce).await;
    assert!(matches!(stale, Err(LeaseError::Stale)), "{stale:?}");
    let presence = Presence { pool: "default".to_string(), devices: 1, draining: false };
    client.enlist(&executor, &presence).await.unwrap();
    let refusal = |code: &str| json!({"error": {"code": code, "message": "a reason"}}).to_string();
    let beat = async || client.heartbeat(&first.lease, &Progress::default()).await;
    for (status, code) in [(400, "invalid_value"), (413, "request_too_large"), (422, "refused")] {
        one.is_in(Mood::With(status, refusal(code)));
        let answer = beat().await;
        assert!(
            matches!(&answer, Err(LeaseError::Refused(reason)) if reason == "a reason"),
            "{answer:?}"
        );
    }
    // A token that the api does not take is the operator's to mend; no ticket is dropped for it.
    one.is_in(Mood::With(401, refusal("invalid_api_key")));
    two.is_in(Mood::With(401, refusal("invalid_api_key")));
    let answer = client.claim(&ticket, &executor, &nonce).await;
    assert!(matches!(answer, Err(LeaseError::Unavailable(_))), "{answer:?}");
    one.is_in(Mood::Well);
    two.is_in(Mood::Well);
    one.calls();
    two.calls();
    client.release(&first.lease, ReleaseReason::Shutdown).await.unwrap();
    assert_eq!(one.calls().len() + two.calls().len(), 1);
    // The token is forgotten with the lease.
    assert!(matches!(beat().await, Err(LeaseError::Fenced)));
    assert!(one.calls().is_empty() && two.calls().is_empty());
}

#[test]
fn an_address_names_a_host_alone() {
    for wrong in ["ftp://h", "http://u:p@h", "http://h/path", "http://h/?a=b"] {
        let answer = RemoteControlPlane::new(vec![wrong.parse().unwrap()], String::new(), None);
        assert!(answer.is_err(), "{wrong}");
    }
    assert!(RemoteControlPlane::new(Vec::new(), String::new(), None).is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn steps_are_reserved_and_settled_once_whatever_is_lost() {
    let privacy = json!({"privacy": {"target_epsilon": 8.0, "accountant": "rdp"}});
    let (bench, ticket) = bench_with(privacy).await;
    let (one, two) = (Running::start(&bench.scheduler), Running::start(&bench.scheduler));
    let client = client(&[&one.url, &two.url]);
    let lease = claim(&client, &ticket).await.lease;
    // It was done, and the answer cannot be read: the other address gives the same one.
    bench.scheduler.reserve_steps(&lease, 0, 6).await.unwrap();
    one.is_in(Mood::With(200, "{".to_string()));
    let given = client.reserve_steps(&lease, 0, 6).await.unwrap();
    assert_eq!((given.until, given.spent.steps), (6, 6));
    assert_eq!(two.calls().last().unwrap().0.rsplit('/').next(), Some("reserve"));
    one.is_in(Mood::Well);
    let refused = client.reserve_steps(&lease, 1, 7).await;
    assert!(matches!(&refused, Err(LeaseError::Refused(why)) if why.contains("'from' must be 0")));
    let spent = client.settle_steps(&lease, 4).await.unwrap();
    assert!(spent.steps == 4 && spent.epsilon < given.spent.epsilon, "{spent:?}");
    assert_eq!(client.settle_steps(&lease, 4).await.unwrap(), spent);
    client.release(&lease, ReleaseReason::Shutdown).await.unwrap();
    assert!(matches!(client.settle_steps(&lease, 4).await, Err(LeaseError::Fenced)));
}

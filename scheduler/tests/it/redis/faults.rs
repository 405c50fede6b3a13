//! Answers that get lost, and scripts that the server forgets: everything happens once.

use std::sync::Arc;

use futures::future::join_all;
use trainyard_openapi::page::{Order, PageRequest};
use trainyard_scheduler::adapter::redis::RedisStore;
use trainyard_scheduler::audit::{AuditEntry, verify};
use trainyard_scheduler::contract::sample;
use trainyard_scheduler::port::document::Change;
use trainyard_scheduler::port::store::{JobFilter, Store, StoreError, UsageRecord};

use super::proxy::{Loss, Proxy};
use super::server::{Server, named};

fn all() -> PageRequest {
    PageRequest { after: None, limit: 1000, order: Order::Asc }
}

/// Writes of every kind whose repetition would show.
async fn write_once(store: &dyn Store, lose: impl Fn()) {
    let tenant = sample::tenant();
    lose();
    let job = sample::made(store, sample::job(&tenant)).await;
    let mut next = sample::next(&job);
    next.events = vec![sample::event("once")];
    next.ticket = Some(sample::ticket(&job, 1));
    next.usage = Some(UsageRecord { accelerator_ms: 7, ..UsageRecord::on(0) });
    next.also = Change::audited(sample::audit_entry(&tenant));
    lose();
    store.commit(next.clone()).await.unwrap();
    assert_eq!(store.job(&tenant, &job.id).await.unwrap(), Some(next.job.clone()));
    assert_eq!(store.events(&job.id, &all()).await.unwrap().0, next.events);
    assert_eq!(store.outbox().await.unwrap().len(), 1);
    assert_eq!(store.usage(&tenant, 0, 0).await.unwrap()[0].accelerator_ms, 7);
    lose();
    store.apply(&Change::audited(sample::audit_entry(&tenant))).await.unwrap();
    let log = store.audit(&tenant, 0, 99).await.unwrap();
    assert_eq!(log.len(), 2);
    verify(&log, None).unwrap();
    // What was refused the first time is refused still.
    lose();
    assert!(matches!(store.commit(next).await, Err(StoreError::Conflict)));

    let mut file = sample::file(&tenant, trainyard_openapi::file::Purpose::FineTune);
    file.bytes = (3 << 32) + 5;
    lose();
    store.put_file(&file, &Change::audited(sample::audit_entry(&tenant))).await.unwrap();
    assert_eq!(store.stored_bytes(&tenant).await.unwrap(), file.bytes);
    // The first run said that there was one; so does the second.
    lose();
    assert!(store.delete_file(&tenant, &file.id, &Change::none()).await.unwrap());
    assert_eq!(store.stored_bytes(&tenant).await.unwrap(), 0);
    lose();
    store.ticket_sent(&sample::ticket(&job, 1)).await.unwrap();
    assert_eq!(store.outbox().await.unwrap(), vec![]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_is_cut_after_a_write_makes_it_once() {
    let server = Server::durable();
    let proxy = Proxy::to(server.port(), Loss::Cut, "EVALSHA").await;
    let store = RedisStore::open(&proxy.url(), &named("cut")).await.unwrap();
    // The server knows the scripts then: what gets lost is the word that it is done.
    write_once(&store, || {}).await;
    write_once(&store, || proxy.lose(1)).await;
    assert_eq!(proxy.lost(), 7);
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_that_are_cut_again_and_again_are_waited_for() {
    let server = Server::durable();
    let proxy = Proxy::to(server.port(), Loss::Cut, "ftjob-").await;
    let store = RedisStore::open(&proxy.url(), &named("cut")).await.unwrap();
    sample::made(&store, sample::job(&sample::tenant())).await;
    proxy.lose(4);
    let job = sample::made(&store, sample::job(&sample::tenant())).await;
    assert_eq!(proxy.lost(), 4);
    assert_eq!(store.job_of_any_tenant(&job.id).await.unwrap(), Some(job));
}

/// Takes the five seconds that an answer may take.
#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_never_comes_is_asked_for_on_a_new_connection() {
    let server = Server::durable();
    let proxy = Proxy::to(server.port(), Loss::Silence, "ftjob-").await;
    let store = RedisStore::open(&proxy.url(), &named("silence")).await.unwrap();
    sample::made(&store, sample::job(&sample::tenant())).await;
    proxy.lose(1);
    let job = sample::made(&store, sample::job(&sample::tenant())).await;
    assert_eq!(proxy.lost(), 1);
    let (jobs, _) = store.jobs(&job.tenant, &JobFilter::default(), &all()).await.unwrap();
    assert_eq!(jobs, [job]);
}

/// The asker gave up on the first request and was refused with the second. When the first arrives after all, what stood against
/// it is gone; still nothing may come of it.
#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_arrives_late_finds_the_answer_of_its_repetition() {
    let server = Server::durable();
    let direct = server.store("late").await;
    let tenant = sample::tenant();
    let first = sample::made(&direct, sample::job(&tenant)).await;
    let proxy = Proxy::to(server.port(), Loss::Late, "ftjob-").await;
    let store = RedisStore::open(&proxy.url(), &named("late")).await.unwrap();
    let mut second = sample::new(sample::job(&tenant));
    second.live_max = Some(1);
    proxy.lose(1);
    let answer = store.commit(second.clone()).await;
    assert!(matches!(answer, Err(StoreError::TooManyLive(1))), "{answer:?}");
    assert_eq!(proxy.lost(), 1);
    direct.commit(sample::ended(&first)).await.unwrap();
    proxy.release().await;
    assert_eq!(direct.job_of_any_tenant(&second.job.id).await.unwrap(), None);
    direct.commit(second).await.expect("asked anew, there is room");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_forgets_its_scripts_is_told_them_again() {
    let server = Server::durable();
    let store = Arc::new(server.store("flush").await);
    let tenant = sample::tenant();
    let writers = (0..20).map(|_| {
        let (store, tenant) = (store.clone(), tenant.clone());
        tokio::spawn(async move {
            for _ in 0..20 {
                sample::made(store.as_ref(), sample::job(&tenant)).await;
            }
        })
    });
    let flushes = async {
        for _ in 0..50 {
            server.say(&["SCRIPT", "FLUSH"]).await;
        }
    };
    let (written, ()) = tokio::join!(join_all(writers), flushes);
    written.into_iter().for_each(|writer| writer.unwrap());
    let (jobs, more) = store.jobs(&tenant, &JobFilter::default(), &all()).await.unwrap();
    assert_eq!((jobs.len(), more), (400, false));
}

/// The chain's hash is the script's own work: entries of every length up to some blocks, against the library's.
#[tokio::test]
async fn the_servers_hash_is_sha_256() {
    let server = Server::durable();
    let store = server.store("hash").await;
    let tenant = sample::tenant();
    let entries = (0..140)
        .map(|length| AuditEntry { target: "é".repeat(length), ..sample::audit_entry(&tenant) });
    let change = Change { writes: Vec::new(), audit: entries.collect() };
    store.apply(&change).await.unwrap();
    let log = store.audit(&tenant, 0, 999).await.unwrap();
    assert_eq!(log.len(), 140);
    let head = verify(&log, None).expect("every hash is right").unwrap();
    assert_eq!(head.0, 140);
}

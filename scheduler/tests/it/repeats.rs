//! Requests that come again: who runs, who waits, who takes over; and many writers at once.

use std::time::{Duration, Instant};

use futures::StreamExt;
use futures::future::join_all;
use futures::stream;
use serde_json::json;
use trainyard_openapi::error::ErrorCode;
use trainyard_openapi::page::{Order, PageRequest};
use trainyard_openapi::tenant::Scope;
use trainyard_scheduler::IdempotencyKey;
use trainyard_scheduler::port::document::Kind;
use trainyard_scheduler::port::store::JobFilter;
use trainyard_scheduler::request::{Answer, Body};
use trainyard_scheduler::scheduler::{Reservation, Reserved};

use crate::world::{World, code};

async fn run(world: &World, sha: &str) -> Reservation {
    match world.scheduler.reserve(&world.ctx, "k", sha).await.unwrap() {
        Reserved::Run(reservation) => reservation,
        Reserved::Answered(answer) => panic!("answered with {answer:?}"),
    }
}

fn answer() -> Answer {
    let body = Body::Json("{}".into());
    Answer { status: 200, body, scope: Scope::FilesWrite, streamed_sha256: None }
}

#[tokio::test]
async fn who_has_died_is_taken_over_and_writes_nothing() {
    let world = World::on_disk(1).await;
    let reserve = async |sha: &'static str| world.scheduler.reserve(&world.ctx, "k", sha).await;
    let mut first = run(&world, "a").await;
    world.clock.advance_seconds(59);
    assert_eq!(code(reserve("a").await), ErrorCode::IdempotencyInProgress);
    assert_eq!(code(reserve("b").await), ErrorCode::IdempotencyMismatch);
    world.scheduler.still_running(&mut first).await.unwrap();
    world.clock.advance_seconds(59);
    assert_eq!(code(reserve("a").await), ErrorCode::IdempotencyInProgress, "it has said so");
    world.clock.advance_seconds(1);
    let second = run(&world, "a").await;
    assert!(world.scheduler.still_running(&mut first).await.is_err());
    assert!(world.scheduler.keep_answer(first, answer()).await.is_err());
    world.scheduler.keep_answer(second, answer()).await.unwrap();
    assert!(matches!(reserve("a").await.unwrap(), Reserved::Answered(kept) if kept == answer()));
    let world = world.reopened().await;
    let again = world.scheduler.reserve(&world.ctx, "k", "a").await.unwrap();
    assert!(matches!(again, Reserved::Answered(_)), "after a restart too");
    // A day later the key is forgotten, before the sweep and after it.
    world.clock.advance_seconds(86_400);
    let free = run(&world, "b").await;
    world.scheduler.free_key(free).await.unwrap();
    let kept = run(&world, "c").await;
    world.scheduler.keep_answer(kept, answer()).await.unwrap();
    world.clock.advance_seconds(86_400);
    world.scheduler.tick().await.unwrap();
    assert_eq!(world.store.document_count(Kind::Request).await.unwrap(), 0);
}

/// Durable submits by fifty clients, and then a thousand keys that come twenty times each.
#[tokio::test(flavor = "multi_thread")]
#[allow(clippy::print_stdout, reason = "the figures are for who reads the test's output")]
async fn a_thousand_keys_twenty_times_each_make_a_thousand_jobs() {
    let world = World::on_disk(1).await;
    let body = world.request(&world.ctx, json!({})).await;
    let submit = |key: Option<IdempotencyKey>| {
        let (scheduler, ctx, body) = (world.scheduler.clone(), world.ctx.clone(), body.clone());
        let submitted = tokio::spawn(async move { scheduler.submit(&ctx, body, key).await });
        async move { submitted.await.unwrap().unwrap().id }
    };
    let begun = Instant::now();
    stream::iter(0..600).map(|_| submit(None)).buffer_unordered(50).for_each(|_| async {}).await;
    let rate = 600.0 / begun.elapsed().as_secs_f64();
    let begun = Instant::now();
    let keys = stream::iter(0..1000).map(|number| {
        let key = IdempotencyKey { key: format!("key-{number}"), request_sha256: "a".into() };
        let submits = join_all((0..20).map(|_| submit(Some(key.clone()))));
        async move {
            let ids = submits.await;
            assert!(ids.iter().all(|id| *id == ids[0]), "one job to a key");
        }
    });
    keys.buffer_unordered(10).for_each(|()| async {}).await;
    let took = begun.elapsed();
    println!("{rate:.0} submits/s; 1,000 keys 20 times each in {took:?}");
    let (mut page, mut jobs) = (PageRequest { after: None, limit: 1000, order: Order::Desc }, 0);
    loop {
        let found = world.scheduler.jobs(&world.ctx, &JobFilter::default(), &page).await.unwrap();
        jobs += found.data.len();
        page.after = found.last_id;
        if !found.has_more {
            break;
        }
    }
    assert_eq!(jobs, 1600);
    // An unoptimised build on busy cores: the figure is ten times that on a quiet machine.
    assert!(rate > 50.0 && took < Duration::from_secs(120), "{rate:.0}/s, {took:?}");
}

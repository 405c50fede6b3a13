//! Executors of other processes: what they say of themselves decides how many jobs are handed out.

use std::sync::Arc;

use trainyard_openapi::id::{ExecutorId, JobId, Nonce};
use trainyard_openapi::job::JobStatus;
use trainyard_openapi::page::{Order, PageRequest};
use trainyard_scheduler::adapter::sqlite::SqliteStore;
use trainyard_scheduler::clock::SystemClock;
use trainyard_scheduler::port::control_plane::{ControlPlane, LeaseError, LeaseId, Presence};
use trainyard_scheduler::port::document::Kind;
use trainyard_scheduler::port::store::Store;
use trainyard_scheduler::{Devices, SchedulerConfig};

use crate::world::{self, World};

fn presence(pool: &str, devices: u32) -> Presence {
    Presence { pool: pool.to_string(), devices, draining: false }
}

fn ending() -> Presence {
    Presence { draining: true, ..presence("default", 1) }
}

async fn world() -> World {
    World::with(SchedulerConfig { devices: Devices::Enlisted, ..world::config(0) }).await
}

async fn dispatched(world: &World, ids: &[JobId]) -> usize {
    world.tick().await;
    let mut count = 0;
    for id in ids {
        count += usize::from(world.record(id).await.seq > 0);
    }
    count
}

#[tokio::test]
async fn jobs_are_handed_out_for_the_devices_that_are_there() {
    let world = world().await;
    let mut ids = Vec::new();
    for _ in 0..6 {
        ids.push(world.submit().await);
    }
    world.tick().await;
    assert_eq!(dispatched(&world, &ids).await, 0, "nobody is there");
    let [one, two] = [(); 2].map(|()| ExecutorId::generate().unwrap());
    world.scheduler.enlist(&one, &presence("default", 1)).await.unwrap();
    world.scheduler.enlist(&one, &presence("default", 1)).await.unwrap();
    assert_eq!(dispatched(&world, &ids).await, 1, "once, however often it says so");
    world.scheduler.enlist(&two, &presence("default", 2)).await.unwrap();
    assert_eq!(dispatched(&world, &ids).await, 3);

    // One says that it ends; what it said before may still be under way.
    world.scheduler.enlist(&two, &ending()).await.unwrap();
    world.scheduler.enlist(&two, &presence("default", 2)).await.unwrap();
    world.scheduler.enlist(&one, &presence("default", 4)).await.unwrap();
    assert_eq!(dispatched(&world, &ids).await, 4, "four devices of one, none of the other");
    // The other falls silent.
    world.clock.advance_seconds(59);
    let three = ExecutorId::generate().unwrap();
    world.scheduler.enlist(&three, &presence("default", 1)).await.unwrap();
    assert_eq!(dispatched(&world, &ids).await, 5);
    world.clock.advance_seconds(1);
    for id in &ids {
        if world.record(id).await.seq > 0 {
            world.scheduler.cancel(&world.ctx, id).await.unwrap();
        }
    }
    world.tick().await;
    assert_eq!(world.status(&ids[5]).await, JobStatus::Queued);
    let last = [ids[5].clone(), world.submit().await];
    assert_eq!(dispatched(&world, &last).await, 1, "one device is left");
}

#[tokio::test]
async fn who_was_silent_for_a_day_is_forgotten() {
    let world = world().await;
    let [one, two] = [(); 2].map(|()| ExecutorId::generate().unwrap());
    world.scheduler.enlist(&one, &presence("large", 1)).await.unwrap();
    world.scheduler.enlist(&two, &presence("default", 1)).await.unwrap();
    let large = || serde_json::json!({"trainyard": {"resources": {"pool": "large"}}});
    let file = world.upload(&world.ctx, world::LINES).await;
    let submit =
        async || world.scheduler.submit(&world.ctx, world::request(&file, large()), None).await;
    world.clock.advance_seconds(86_399);
    world.scheduler.enlist(&two, &presence("default", 1)).await.unwrap();
    world.tick().await;
    submit().await.expect("its executors may come back");
    world.clock.advance_seconds(1);
    world.tick().await;
    let refused = world::refusal(submit().await);
    assert_eq!(refused.param.as_deref(), Some("trainyard.resources.pool"));
    assert!(refused.message.contains("no pool 'large', only 'default'"), "{refused:?}");
    let page = PageRequest { after: None, limit: 10, order: Order::Asc };
    let (known, _) = world.store.documents(Kind::Executor, "", &page).await.unwrap();
    assert_eq!(known.iter().map(|one| one.id.as_str()).collect::<Vec<_>>(), [two.as_str()]);
}

#[tokio::test]
async fn an_executor_that_cannot_be_is_refused() {
    let world = world().await;
    let long = "p".repeat(65);
    let wrong = [
        presence("", 1),
        presence("a b", 1),
        presence(&long, 1),
        presence("default", 0),
        presence("default", 1025),
    ];
    for presence in wrong {
        let answer = world.scheduler.enlist(&ExecutorId::generate().unwrap(), &presence).await;
        assert!(matches!(answer, Err(LeaseError::Refused(_))), "{presence:?}: {answer:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn two_processes_that_start_at_once_make_one_key_and_one_secret() {
    for _ in 0..20 {
        let dir = tempfile::tempdir().unwrap();
        let store: Arc<dyn Store> = Arc::new(
            SqliteStore::open(&dir.path().join("store.db"), Arc::new(SystemClock)).unwrap(),
        );
        let world = World::with_no_key().await;
        let [one, two] = [world.beside(store.clone()), world.beside(store.clone())];
        let (first, second) = tokio::join!(one.bootstrap_key(), two.bootstrap_key());
        let made = [first.unwrap(), second.unwrap()].into_iter().flatten().count();
        assert_eq!((made, store.document_count(Kind::Key).await.unwrap()), (1, 1));
        assert_eq!(store.document_count(Kind::Tenant).await.unwrap(), 1);
        let lease = LeaseId {
            job: JobId::generate().unwrap(),
            epoch: 1,
            nonce: Nonce::generate().unwrap(),
        };
        let (first, second) = tokio::join!(one.lease_token(&lease), two.lease_token(&lease));
        let (first, second) = (first.unwrap(), second.unwrap());
        assert_eq!(first, second);
        assert!(one.is_lease_token(&lease, &second).await.unwrap());
        assert!(!one.is_lease_token(&lease, "tyl_00").await.unwrap());
    }
}

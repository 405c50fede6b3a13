//! Jobs over RabbitMQ: whatever happens to the broker, every job comes to its one result.

use std::sync::Arc;
use std::time::Duration;

use lapin::options::{QueueDeleteOptions, QueuePurgeOptions};
use tokio::task::JoinSet;
use trainyard_openapi::id::JobId;
use trainyard_openapi::job::JobStatus;
use trainyard_scheduler::job::JobState;
use trainyard_scheduler::port::control_plane::LeaseError;
use trainyard_scheduler::port::queue::{Queue, Ticket};

use super::broker::Broker;
use super::proxy::Proxy;
use super::{QUEUE, drain, open, put, stranger, take};
use crate::simulation::{SLOTS, Simulation};
use crate::world::World;

/// How long is waited for a ticket where there may be none.
const PATIENCE: Duration = Duration::from_millis(500);

async fn world(slots: u32, url: &str) -> Arc<World> {
    let queue: Arc<dyn Queue> = Arc::new(open(url).await);
    Arc::new(World::on_queue(slots, queue, PATIENCE).await)
}

/// Executors that run whatever they can claim.
fn executors(world: &Arc<World>, count: usize) -> JoinSet<()> {
    let mut executors = JoinSet::new();
    for _ in 0..count {
        let world = Arc::clone(world);
        executors.spawn(async move {
            let mut consumer = world.queue.consume("default").await.unwrap();
            loop {
                let ticket = take(consumer.as_mut()).await;
                let claim = world.claim(&ticket).await;
                if let Err(error) = consumer.ack().await {
                    println!("not acknowledged: {error}");
                }
                match claim {
                    Ok(run) => run.complete().await.unwrap(),
                    Err(LeaseError::Stale) => {}
                    Err(other) => panic!("{other}"),
                }
            }
        });
    }
    executors
}

/// Lets the scheduler's loops look; the queue may not answer.
async fn look(world: &World) {
    if let Err(error) = world.scheduler.tick().await {
        println!("the loops were held up: {error}");
    }
}

async fn ended(world: &World, jobs: &[JobId]) -> usize {
    let mut ended = 0;
    for id in jobs {
        ended += usize::from(world.status(id).await.is_terminal());
    }
    ended
}

/// Lets time pass for tickets that nobody takes, until `count` jobs have ended. Time stands while a job runs: a run here takes
/// no time.
async fn until_ended(world: &World, jobs: &[JobId], count: usize) {
    let waiting = async {
        let mut looks = 0;
        while ended(world, jobs).await < count {
            look(world).await;
            tokio::time::sleep(Duration::from_millis(20)).await;
            looks += 1;
            let live = world.store.busy_jobs().await.unwrap();
            let runs = live.iter().any(|job| matches!(job.state, JobState::Running { .. }));
            if looks % 50 == 0 && !runs {
                world.clock.advance_seconds(61);
            }
        }
    };
    tokio::time::timeout(super::GUARD, waiting).await.expect("the jobs end");
}

async fn all_succeeded(world: &World, jobs: &[JobId]) {
    until_ended(world, jobs, jobs.len()).await;
    for id in jobs {
        assert_eq!(world.status(id).await, JobStatus::Succeeded);
        assert_eq!(world.record(id).await.epoch, 1, "run once");
    }
    assert_eq!(world.store.models(world.ctx.tenant()).await.unwrap().len(), jobs.len());
    assert!(world.store.outbox().await.unwrap().is_empty());
}

async fn submit(world: &World, count: usize) -> Vec<JobId> {
    let mut jobs = Vec::new();
    for _ in 0..count {
        jobs.push(world.submit().await);
    }
    jobs
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_that_is_killed_or_wiped_loses_no_job() {
    let mut broker = Broker::start();
    let world = world(4, &broker.url()).await;
    let jobs = submit(&world, 24).await;
    let _executors = executors(&world, 3);
    until_ended(&world, &jobs, 6).await;
    broker.settle().await;
    broker.kill();
    look(&world).await;
    broker.start_again();
    until_ended(&world, &jobs, 14).await;
    broker.kill();
    broker.wipe();
    broker.start_again();
    all_succeeded(&world, &jobs).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn tickets_that_are_purged_or_deleted_are_issued_again() {
    let broker = Broker::start();
    let world = world(4, &broker.url()).await;
    let jobs = submit(&world, 12).await;
    let (_connection, channel) = stranger(&broker.url()).await;
    look(&world).await;
    assert_eq!(channel.queue_purge(QUEUE.into(), QueuePurgeOptions::default()).await.unwrap(), 4);
    let _executors = executors(&world, 2);
    until_ended(&world, &jobs, 4).await;
    channel.queue_delete(QUEUE.into(), QueueDeleteOptions::default()).await.unwrap();
    all_succeeded(&world, &jobs).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_copies_and_forgeries_change_nothing() {
    let broker = Broker::start();
    let world = world(2, &broker.url()).await;
    let jobs = submit(&world, 2).await;
    look(&world).await;
    let (_connection, channel) = stranger(&broker.url()).await;
    let tickets = drain(&channel, QUEUE, 2).await;
    let good: Ticket = serde_json::from_slice(&tickets[0]).unwrap();
    let forged = |change: fn(&mut Ticket)| {
        let mut ticket = good.clone();
        change(&mut ticket);
        serde_json::to_vec(&ticket).unwrap()
    };
    let forgeries = [
        forged(|ticket| ticket.seq = 0),
        forged(|ticket| ticket.seq += 1),
        forged(|ticket| ticket.seq = u64::MAX),
        forged(|ticket| ticket.job = JobId::generate().unwrap()),
    ];
    for forgery in &forgeries {
        put(&channel, QUEUE, forgery).await;
    }
    for copy in 0..1000 {
        put(&channel, QUEUE, &tickets[copy % 2]).await;
    }
    let _executors = executors(&world, 4);
    all_succeeded(&world, &jobs).await;
    // All were answered: nothing waits, and nothing went round in circles.
    let waiting = async {
        while !broker.ctl(&["list_queues", "name", "messages"]).contains(&format!("{QUEUE}\t0")) {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    tokio::time::timeout(super::GUARD, waiting).await.expect("the queue is empty");
    for id in &jobs {
        let messages = world.messages(id).await;
        let started = messages.iter().filter(|text| text.contains("started")).count();
        assert_eq!(started, 1, "{messages:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ticket_of_another_pool_is_no_leave_to_claim() {
    let broker = Broker::start();
    let world = world(1, &broker.url()).await;
    let jobs = submit(&world, 1).await;
    look(&world).await;
    let (_connection, channel) = stranger(&broker.url()).await;
    let content = drain(&channel, QUEUE, 1).await.remove(0);
    let mut ticket: Ticket = serde_json::from_slice(&content).unwrap();
    ticket.pool = "other".to_string();
    let claim = world.claim(&ticket).await.map(|_| ());
    assert!(matches!(claim, Err(LeaseError::Stale)), "{claim:?}");
    put(&channel, QUEUE, &content).await;
    let _executors = executors(&world, 1);
    all_succeeded(&world, &jobs).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_confirm_that_is_lost_leaves_the_ticket_in_the_outbox() {
    let broker = Broker::start();
    let proxy = Proxy::to(broker.port).await;
    let world = world(1, &broker.url_of(proxy.port, "")).await;
    // The connection is there before the proxy goes deaf.
    let done = submit(&world, 1).await;
    look(&world).await;
    let (_connection, channel) = stranger(&broker.url()).await;
    let first = drain(&channel, QUEUE, 1).await.remove(0);
    world.claim(&serde_json::from_slice(&first).unwrap()).await.unwrap().complete().await.unwrap();
    assert_eq!(ended(&world, &done).await, 1);

    let jobs = submit(&world, 1).await;
    proxy.set_deaf(true);
    let (ticked, arrived) = tokio::join!(world.scheduler.tick(), async {
        let arrived = drain(&channel, QUEUE, 1).await;
        proxy.cut();
        arrived
    });
    proxy.set_deaf(false);
    assert!(ticked.is_err(), "no confirm, no success");
    let ticket: Ticket = serde_json::from_slice(&arrived[0]).unwrap();
    assert_eq!(world.store.outbox().await.unwrap(), [ticket]);
    // The loops send it again, and both copies together start the job once.
    put(&channel, QUEUE, &arrived[0]).await;
    let _executors = executors(&world, 2);
    all_succeeded(&world, &jobs.iter().chain(&done).cloned().collect::<Vec<_>>()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn stale_tickets_are_not_sent_when_the_broker_comes_back() {
    let mut broker = Broker::start();
    broker.kill();
    let world = world(1, &broker.url()).await;
    let jobs = submit(&world, 1).await;
    for _ in 0..2 {
        look(&world).await;
        world.clock.advance_seconds(61);
    }
    let current =
        Ticket { job: jobs[0].clone(), seq: 2, pool: "default".to_string(), traceparent: None };
    assert_eq!(world.store.outbox().await.unwrap(), [current]);
    broker.start_again();
    let _executors = executors(&world, 1);
    all_succeeded(&world, &jobs).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_happens_over_rabbitmq() {
    let mut broker = Broker::start();
    let (mut accepted, mut succeeded) = (0, 0);
    for seed in 1001..=1004 {
        let vhost = broker.new_vhost();
        let queue = Arc::new(open(&broker.url_of(broker.port, &vhost)).await);
        let ended =
            Simulation::run(seed, World::on_queue(SLOTS, queue, PATIENCE).await, PATIENCE).await;
        accepted += ended.accepted;
        succeeded += ended.succeeded().await;
    }
    println!("{accepted} words accepted, {succeeded} jobs succeeded");
    assert!(succeeded > 0, "too little has happened");
}

//! What is counted when something goes wrong: tickets that nobody takes, executors that vanish, a queue that says no.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use prometheus::{Encoder, Registry, TextEncoder};
use trainyard_scheduler::port::control_plane::{ControlPlane, LeaseError};
use trainyard_scheduler::port::queue::{Consumer, Queue, QueueError, Ticket};

use crate::world::{World, fenced, progress};

/// The metrics of a world's scheduler.
struct Counted(Registry);

impl Counted {
    fn of(world: &World) -> Self {
        let registry = Registry::new();
        world.scheduler.metrics().register_calls(&registry).unwrap();
        world.scheduler.metrics().register_loops(&registry).unwrap();
        Self(registry)
    }

    /// The value of a series, as it is written without the prefix.
    fn value(&self, series: &str) -> f64 {
        let mut text = Vec::new();
        TextEncoder::new().encode(&self.0.gather(), &mut text).unwrap();
        let text = String::from_utf8(text).unwrap();
        let series = format!("trainyard_{series}");
        let found = text.lines().find_map(|line| line.strip_prefix(&series)?.strip_prefix(' '));
        found.unwrap_or_else(|| panic!("no {series} in\n{text}")).parse().unwrap()
    }
}

#[tokio::test]
async fn tickets_and_runs_that_are_lost_are_counted() {
    let world = World::new(1).await;
    let counted = Counted::of(&world);
    let id = world.submit().await;
    world.tick().await;
    world.tick().await;
    assert_eq!(counted.value("jobs{pool=\"default\",state=\"dispatched\"}"), 1.0);
    assert_eq!(counted.value("publish_confirms_total{result=\"ok\"}"), 1.0);

    let lost = world.ticket().await.unwrap();
    world.pass(61).await;
    assert_eq!(counted.value("redispatch_total{reason=\"unclaimed\"}"), 1.0);
    assert!(matches!(world.claim(&lost).await, Err(LeaseError::Stale)));
    assert_eq!(counted.value("tickets_stale_total"), 1.0);

    let run = world.started().await;
    assert_eq!(counted.value("job_queue_wait_seconds_sum{pool=\"default\"}"), 61.0);
    world.pass(60 + 15 + 1).await;
    assert_eq!(counted.value("lease_expirations_total"), 1.0);
    fenced(world.scheduler.heartbeat(run.lease(), &progress(1)).await);
    fenced(run.checkpoint(1).await);
    for op in ["heartbeat", "checkpoint"] {
        assert_eq!(counted.value(&format!("fenced_writes_total{{op=\"{op}\"}}")), 1.0, "{op}");
    }

    // The next run of the same job has not waited since it was made.
    world.started().await.complete().await.unwrap();
    world.tick().await;
    assert_eq!(counted.value("job_queue_wait_seconds_count{pool=\"default\"}"), 1.0);
    assert_eq!(counted.value("job_duration_seconds_count{outcome=\"succeeded\"}"), 1.0);
    assert_eq!(counted.value("job_duration_seconds_sum{outcome=\"succeeded\"}"), 137.0);
    for state in ["validating_files", "queued", "dispatched", "running", "paused"] {
        let series = format!("jobs{{pool=\"default\",state=\"{state}\"}}");
        assert_eq!(counted.value(&series), 0.0, "{state}");
    }
    assert!(world.job(&id).await.fine_tuned_model.is_some());
}

/// A queue that takes nothing.
struct Shut;

#[async_trait]
impl Queue for Shut {
    fn system(&self) -> &'static str {
        "in_process"
    }

    async fn publish(&self, _: &Ticket) -> Result<(), QueueError> {
        Err(QueueError("shut".to_string()))
    }

    async fn consume(&self, _: &str) -> Result<Box<dyn Consumer>, QueueError> {
        Err(QueueError("shut".to_string()))
    }
}

#[tokio::test]
async fn tickets_that_the_queue_does_not_take_wait_in_the_outbox() {
    let world = World::on_queue(1, Arc::new(Shut), Duration::ZERO).await;
    let counted = Counted::of(&world);
    world.submit().await;
    let issued_ms = world.now_ms();
    for errors in [1.0, 2.0] {
        world.scheduler.tick().await.unwrap_err();
        assert_eq!(counted.value("publish_confirms_total{result=\"error\"}"), errors);
        world.clock.advance_seconds(10);
    }
    assert_eq!(counted.value("outbox_entries"), 1.0);
    let oldest = counted.value("outbox_oldest_timestamp_seconds");
    assert_eq!(oldest, issued_ms as f64 / 1000.0);
}

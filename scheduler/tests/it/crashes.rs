//! The process dies between any two steps: what was acknowledged is there, and the job still comes to its end.

use std::sync::Arc;

use serde_json::json;
use tokio_util::sync::CancellationToken;
use trainyard_openapi::job::JobStatus;
use trainyard_scheduler::port::control_plane::ControlPlane;

use crate::world::{LINES, World, fenced, request};

/// The steps of a job's life on one process; a crash comes after one of them.
const STEPS: usize = 8;

/// Takes a job through its life as far as `steps`.
async fn live(world: &World, steps: usize) -> Option<trainyard_openapi::id::JobId> {
    let file = world.upload(&world.ctx, LINES).await;
    if steps == 0 {
        return None;
    }
    let id = world.scheduler.submit(&world.ctx, request(&file, json!({})), None).await.unwrap().id;
    if steps >= 2 {
        // Validated, dispatched, published.
        world.tick().await;
    }
    let ticket = if steps >= 3 { world.ticket().await } else { None };
    if steps >= 4 {
        let run = world.claim(&ticket.unwrap()).await.unwrap();
        run.beat(1).await.unwrap();
        if steps >= 5 {
            run.upload("step-000002", 2).await;
        }
        if steps >= 6 {
            run.checkpoint(2).await.unwrap();
        }
        let completion = if steps >= 7 { Some(run.finished().await) } else { None };
        if steps >= 8 {
            world.scheduler.complete(run.lease(), &completion.unwrap()).await.unwrap();
        }
    }
    Some(id)
}

#[tokio::test]
async fn a_crash_after_any_step_loses_nothing() {
    for steps in 0..=STEPS {
        let world = World::on_disk(1).await;
        let id = live(&world, steps).await;
        let before = match &id {
            Some(id) => Some((world.record(id).await, world.events(id).await)),
            None => None,
        };
        let world = world.reopened().await;
        assert_eq!(
            world.store.files(world.ctx.tenant(), None, &all()).await.unwrap().0.len(),
            if steps == STEPS { 2 } else { 1 }
        );
        let Some(id) = id else { continue };
        let (record, events) = before.unwrap();
        assert_eq!(world.record(&id).await, record, "after {steps} steps");
        assert_eq!(world.events(&id).await, events, "after {steps} steps");

        world.scheduler.recover_embedded().await.unwrap();
        world.scheduler.recover_embedded().await.expect("a crash while recovering");
        if steps < STEPS {
            let status = world.status(&id).await;
            let expected = if steps == 1 { JobStatus::ValidatingFiles } else { JobStatus::Queued };
            assert_eq!(status, expected, "after {steps} steps");
            let run = world.started().await;
            assert_eq!(run.claim.checkpoint.is_some(), steps >= 6, "after {steps} steps");
            assert_eq!(world.record(&id).await.attempts.lost, u32::from(steps == 4 || steps == 5));
            run.complete().await.unwrap();
        }
        let job = world.job(&id).await;
        assert_eq!(job.status, JobStatus::Succeeded, "after {steps} steps");
        assert_eq!(world.store.models(world.ctx.tenant()).await.unwrap().len(), 1);
        let model = job.fine_tuned_model.unwrap();
        assert_eq!(world.scheduler.artifacts(&world.ctx, &model).await.unwrap().data.len(), 4);
        let ends = world.messages(&id).await;
        let ends = ends.iter().filter(|text| text.contains("successfully completed")).count();
        assert_eq!(ends, 1, "after {steps} steps");
        // Nothing that was half done is left: one checkpoint at most, and the adapter.
        let files = world.objects.list(&format!("jobs/{id}")).await.unwrap();
        assert_eq!(files.len(), if steps >= 6 { 8 } else { 4 }, "after {steps} steps: {files:?}");
    }
}

#[tokio::test]
async fn without_recovery_time_heals_the_same() {
    for steps in 2..STEPS {
        let world = World::on_disk(1).await;
        let id = live(&world, steps).await.unwrap();
        let world = world.reopened().await;
        // As several processes on one store do it: nobody knows who is dead, the lease or the ticket's time decides.
        world.tick().await;
        assert_eq!(world.ticket().await, None, "after {steps} steps");
        world.pass(100).await;
        world.tick().await;
        let run = world.started().await;
        run.complete().await.unwrap();
        assert_eq!(world.status(&id).await, JobStatus::Succeeded, "after {steps} steps");
    }
}

#[tokio::test]
async fn a_run_of_the_dead_process_is_fenced() {
    let world = World::on_disk(1).await;
    let id = world.submit().await;
    let run = world.started().await;
    let world = world.reopened().await;
    world.scheduler.recover_embedded().await.unwrap();
    fenced(world.scheduler.heartbeat(run.lease(), &crate::world::progress(1)).await);
    // Wishes of before the crash are kept.
    let run = world.started().await;
    world.scheduler.pause(&world.ctx, &id).await.unwrap();
    let world = world.reopened().await;
    world.scheduler.recover_embedded().await.unwrap();
    assert_eq!(world.status(&id).await, JobStatus::Paused);
    fenced(world.scheduler.heartbeat(run.lease(), &crate::world::progress(1)).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_loops_react_at_once_and_end_when_told() {
    let mut slow = crate::world::config(1);
    // Only wake-ups can bring the job forward in this test's time.
    slow.tick = std::time::Duration::from_secs(3600);
    let world = Arc::new(World::with(slow).await);
    let stop = CancellationToken::new();
    let loops = tokio::spawn({
        let (scheduler, stop) = (world.scheduler.clone(), stop.clone());
        async move { scheduler.run(stop).await }
    });
    for _ in 0..3 {
        let id = world.submit().await;
        let mut consumer = world.queue.consume("default").await.unwrap();
        let soon = std::time::Duration::from_secs(20);
        let ticket = tokio::time::timeout(soon, consumer.next()).await.unwrap().unwrap().unwrap();
        consumer.ack().await.unwrap();
        assert_eq!(ticket.job, id);
        world.claim(&ticket).await.unwrap().complete().await.unwrap();
    }
    stop.cancel();
    tokio::time::timeout(std::time::Duration::from_secs(20), loops).await.unwrap().unwrap();
}

fn all() -> trainyard_openapi::page::PageRequest {
    trainyard_openapi::page::PageRequest {
        after: None,
        limit: 99,
        order: trainyard_openapi::page::Order::Desc,
    }
}

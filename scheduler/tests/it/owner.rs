//! What an owner may ask of a job, in each of its states.

use std::time::{Duration, Instant};

use serde_json::json;
use trainyard_openapi::error::ErrorCode;
use trainyard_openapi::id::JobId;
use trainyard_openapi::job::{JobError, JobStatus};
use trainyard_openapi::job_error::JobErrorCode;
use trainyard_scheduler::port::control_plane::{
    ControlPlane, Directive, LeaseError, ReleaseReason,
};

use crate::world::{Run, World, code, fenced, refusal};

/// A job in the state of that name, and its run if it has one.
async fn brought_to(world: &World, state: &str) -> (JobId, Option<Run>) {
    let id = world.submit().await;
    let run = match state {
        "validating" => None,
        "queued" => {
            // Dispatching stands still while the only slot is taken.
            world.tick().await;
            None
        }
        "running" | "succeeded" | "failed" => Some(world.started().await),
        "paused" => {
            world.scheduler.pause(&world.ctx, &id).await.unwrap();
            None
        }
        "cancelled" => {
            world.scheduler.cancel(&world.ctx, &id).await.unwrap();
            None
        }
        other => panic!("{other}"),
    };
    if let ("succeeded", Some(run)) = (state, &run) {
        run.complete().await.unwrap();
    }
    if let ("failed", Some(run)) = (state, &run) {
        let error = JobError { code: JobErrorCode::EngineError, message: "y".into(), param: None };
        world.scheduler.fail(run.lease(), &error, false).await.unwrap();
    }
    (id, run)
}

#[tokio::test]
async fn before_it_runs_a_wish_is_done_at_once() {
    for state in ["validating", "queued"] {
        let world = World::new(1).await;
        let (scheduler, ctx) = (&world.scheduler, &world.ctx);
        let (id, _) = brought_to(&world, state).await;
        let ticket = world.ticket().await;
        assert_eq!(code(scheduler.resume(ctx, &id).await), ErrorCode::InvalidState);
        assert_eq!(scheduler.pause(ctx, &id).await.unwrap().status, JobStatus::Paused);
        assert_eq!(scheduler.pause(ctx, &id).await.unwrap().status, JobStatus::Paused, "twice");
        if let Some(ticket) = &ticket {
            let claim = world.claim(ticket).await.map(|run| run.claim);
            assert!(matches!(claim, Err(LeaseError::Stale)), "the ticket was of before");
        }
        world.pass(1000).await;
        assert_eq!(world.status(&id).await, JobStatus::Paused, "it stays so");
        let resumed = scheduler.resume(ctx, &id).await.unwrap().status;
        let expected =
            if state == "validating" { JobStatus::ValidatingFiles } else { JobStatus::Queued };
        assert_eq!(resumed, expected);
        world.tick().await;
        if let Some(old) = ticket {
            let new = world.ticket().await.unwrap();
            assert!(new.seq > old.seq);
            assert!(world.claim(&old).await.is_err());
        }
        assert_eq!(scheduler.cancel(ctx, &id).await.unwrap().status, JobStatus::Cancelled);
        let paused = world.messages(&id).await;
        assert_eq!(paused.iter().filter(|text| *text == "The job was paused").count(), 1);
    }
}

#[tokio::test]
async fn a_paused_job_goes_on_where_it_was() {
    let world = World::new(1).await;
    let (scheduler, ctx) = (&world.scheduler, &world.ctx);
    let (id, run) = brought_to(&world, "running").await;
    let run = run.unwrap();
    assert_eq!(scheduler.pause(ctx, &id).await.unwrap().status, JobStatus::Running);
    assert_eq!(run.beat(4).await.unwrap(), Directive::Pause);
    run.checkpoint(4).await.unwrap();
    scheduler.release(run.lease(), ReleaseReason::Paused).await.unwrap();
    assert_eq!(world.status(&id).await, JobStatus::Paused);
    fenced(run.beat(5).await);
    world.pass(1000).await;
    assert_eq!(world.ticket().await, None);
    scheduler.resume(ctx, &id).await.unwrap();
    let next = world.started().await;
    assert_eq!(next.claim.checkpoint.as_ref().unwrap().step, 4);
    assert_eq!(next.beat(5).await.unwrap(), Directive::Continue);
}

#[tokio::test]
async fn a_pause_may_be_taken_back() {
    let world = World::new(1).await;
    let (scheduler, ctx) = (&world.scheduler, &world.ctx);
    let (id, run) = brought_to(&world, "running").await;
    let run = run.unwrap();
    scheduler.pause(ctx, &id).await.unwrap();
    assert_eq!(scheduler.resume(ctx, &id).await.unwrap().status, JobStatus::Running);
    assert_eq!(run.beat(1).await.unwrap(), Directive::Continue);
    // The run may have heard the first wish and not the second.
    scheduler.release(run.lease(), ReleaseReason::Paused).await.unwrap();
    assert_eq!(world.status(&id).await, JobStatus::Queued);
}

#[tokio::test]
async fn a_running_job_is_cancelled_when_its_run_has_heard() {
    let world = World::new(1).await;
    let (id, run) = brought_to(&world, "running").await;
    let run = run.unwrap();
    let listens = async {
        let directive = world.scheduler.directive(run.lease(), Duration::from_secs(30)).await;
        assert_eq!(directive.unwrap(), Directive::Cancel);
        world.scheduler.release(run.lease(), ReleaseReason::Cancelled).await.unwrap();
    };
    let begun = Instant::now();
    let (cancelled, ()) = tokio::join!(world.scheduler.cancel(&world.ctx, &id), listens);
    assert_eq!(cancelled.unwrap().status, JobStatus::Cancelled, "the answer waits for it");
    assert!(begun.elapsed() < Duration::from_secs(2), "the wish arrived at once");
    assert!(world.store.models(world.ctx.tenant()).await.unwrap().is_empty());
}

#[tokio::test]
async fn a_cancelled_run_cannot_end_otherwise() {
    let error = JobError { code: JobErrorCode::EngineError, message: "y".into(), param: None };
    for end in ["complete", "fail", "fail again", "lost", "preempted", "silent"] {
        let world = World::new(1).await;
        let (id, run) = brought_to(&world, "running").await;
        let run = run.unwrap();
        run.checkpoint(3).await.unwrap();
        // Nobody hears it yet, and who asked does not wait for that.
        let cancel = world.scheduler.cancel(&world.ctx, &id);
        assert!(tokio::time::timeout(Duration::from_millis(50), cancel).await.is_err());
        assert_eq!(world.status(&id).await, JobStatus::Running);
        assert_eq!(run.beat(4).await.unwrap(), Directive::Cancel);
        assert_eq!(code(world.scheduler.pause(&world.ctx, &id).await), ErrorCode::InvalidState);
        assert_eq!(code(world.scheduler.resume(&world.ctx, &id).await), ErrorCode::InvalidState);
        match end {
            "complete" => fenced(run.complete().await),
            "fail" => world.scheduler.fail(run.lease(), &error, false).await.unwrap(),
            "fail again" => world.scheduler.fail(run.lease(), &error, true).await.unwrap(),
            "preempted" => {
                world.scheduler.release(run.lease(), ReleaseReason::Preempted).await.unwrap();
            }
            _ => world.pass(100).await,
        }
        let job = world.job(&id).await;
        assert_eq!((job.status, job.error), (JobStatus::Cancelled, None), "{end}");
        assert!(
            world.messages(&id).await.iter().any(|text| text.contains("The job was cancelled"))
        );
        assert_eq!(world.record(&id).await.attempts, Default::default(), "{end}");
        world.tick().await;
        assert_eq!(world.ticket().await, None);
    }
}

#[tokio::test]
async fn a_pause_survives_the_run() {
    let error = JobError { code: JobErrorCode::EngineError, message: "y".into(), param: None };
    for end in ["fail again", "lost", "preempted"] {
        let world = World::new(1).await;
        let (id, run) = brought_to(&world, "running").await;
        let run = run.unwrap();
        world.scheduler.pause(&world.ctx, &id).await.unwrap();
        match end {
            "fail again" => world.scheduler.fail(run.lease(), &error, true).await.unwrap(),
            "preempted" => {
                world.scheduler.release(run.lease(), ReleaseReason::Preempted).await.unwrap();
            }
            _ => world.pass(100).await,
        }
        assert_eq!(world.status(&id).await, JobStatus::Paused, "{end}");
        assert_eq!(world.record(&id).await.attempts, Default::default(), "{end}");
    }
}

#[tokio::test]
async fn an_end_is_an_end() {
    for state in ["succeeded", "failed", "cancelled"] {
        let world = World::new(1).await;
        let (id, _) = brought_to(&world, state).await;
        let before = world.record(&id).await;
        for answer in [
            world.scheduler.cancel(&world.ctx, &id).await,
            world.scheduler.pause(&world.ctx, &id).await,
            world.scheduler.resume(&world.ctx, &id).await,
        ] {
            let error = refusal(answer);
            assert_eq!(error.code, ErrorCode::InvalidState);
            assert!(error.message.contains(state), "{}", error.message);
        }
        world.pass(100_000).await;
        assert_eq!(world.record(&id).await, before);
    }
}

#[tokio::test]
async fn a_queued_job_knows_its_place() {
    let world = World::new(1).await;
    let running = world.submit().await;
    let _run = world.started().await;
    let low = json!({"trainyard": {"resources": {"priority": "low"}}});
    let high = json!({"trainyard": {"resources": {"priority": "high"}}});
    let last = world.submit_for(&world.ctx, low).await;
    world.pass(1).await;
    let second = world.submit().await;
    world.pass(1).await;
    let third = world.submit().await;
    world.pass(1).await;
    let first = world.submit_for(&world.ctx, high).await;
    world.pass(1).await;
    let mut places = Vec::new();
    for id in [&first, &second, &third, &last] {
        let progress = world.job(id).await.trainyard.progress;
        places.push(progress.queue_position.unwrap());
        assert_eq!(progress.waiting_reason.as_deref(), Some("all 1 slots are taken"));
    }
    assert_eq!(places, [1, 2, 3, 4]);
    assert_eq!(world.job(&running).await.trainyard.progress.queue_position, None);
}

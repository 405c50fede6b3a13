//! Who may say something of a job: claims, fences, lost executors, budgets.

use std::time::Duration;

use serde_json::json;
use trainyard_openapi::checkpoint::CheckpointMetrics;
use trainyard_openapi::event::{EventKind, EventLevel};
use trainyard_openapi::id::{ExecutorId, Nonce};
use trainyard_openapi::job::{JobError, JobStatus};
use trainyard_openapi::job_error::JobErrorCode;
use trainyard_scheduler::port::control_plane::{
    CheckpointPointer, ControlPlane, Directive, LeaseError, LeaseId, NewEvent, ReleaseReason,
};
use trainyard_scheduler::port::queue::Ticket;

use crate::world::{Run, World, fenced, progress, refused};

/// Everything that a run can say is refused.
async fn assert_fenced(world: &World, run: &Run, lease: &LeaseId) {
    let scheduler = &world.scheduler;
    let error = JobError { code: JobErrorCode::EngineError, message: "y".into(), param: None };
    let before = world.record(&lease.job).await;
    fenced(scheduler.heartbeat(lease, &progress(9)).await);
    fenced(scheduler.directive(lease, Duration::ZERO).await);
    fenced(scheduler.report(lease, &progress(9), 0, vec![]).await);
    fenced(scheduler.fail(lease, &error, true).await);
    fenced(scheduler.fail(lease, &error, false).await);
    for reason in [ReleaseReason::Cancelled, ReleaseReason::Paused, ReleaseReason::Shutdown] {
        fenced(scheduler.release(lease, reason).await);
    }
    // With files that are all in order, the lease alone decides.
    let mut own = run.clone();
    own.claim.lease = lease.clone();
    fenced(own.checkpoint(777).await);
    let mut completion = own.finished().await;
    fenced(scheduler.complete(lease, &completion).await);
    completion.trained_tokens = 0;
    fenced(scheduler.complete(lease, &completion).await);
    assert_eq!(world.record(&lease.job).await, before, "a fenced run has changed nothing");
}

#[tokio::test]
async fn only_the_holder_speaks() {
    let world = World::new(1).await;
    let id = world.submit().await;
    let run = world.started().await;
    let lease = run.lease().clone();
    for wrong in [
        LeaseId { epoch: lease.epoch + 1, ..lease.clone() },
        LeaseId { epoch: lease.epoch - 1, ..lease.clone() },
        LeaseId { nonce: Nonce::generate().unwrap(), ..lease.clone() },
    ] {
        assert_fenced(&world, &run, &wrong).await;
    }
    run.complete().await.unwrap();
    assert_eq!(world.status(&id).await, JobStatus::Succeeded);
}

#[tokio::test]
async fn a_report_that_comes_twice_is_in_the_history_once() {
    let world = World::new(1).await;
    let id = world.submit().await;
    let run = world.started().await;
    let say = async |first: u64, words: &[&str]| {
        let events = words.iter().map(|words| said(words)).collect();
        world.scheduler.report(run.lease(), &progress(1), first, events).await.unwrap();
    };
    say(0, &["a", "b"]).await;
    // Its answer was lost, and more had happened when it was sent again.
    say(0, &["a", "b", "c"]).await;
    // One that was on its way all the while.
    say(0, &["a"]).await;
    say(3, &["d"]).await;
    say(3, &["d"]).await;
    let told = |messages: Vec<String>| -> Vec<String> {
        messages.into_iter().filter(|message| message.len() == 1).collect()
    };
    assert_eq!(told(world.messages(&id).await), ["a", "b", "c", "d"]);
    // The next run counts anew.
    world.scheduler.release(run.lease(), ReleaseReason::Shutdown).await.unwrap();
    let next = world.started().await;
    world.scheduler.report(next.lease(), &progress(1), 0, vec![said("e")]).await.unwrap();
    assert_eq!(told(world.messages(&id).await), ["a", "b", "c", "d", "e"]);
}

fn said(words: &str) -> NewEvent {
    let (level, kind) = (EventLevel::Info, EventKind::Message);
    NewEvent { level, kind, message: words.into(), data: serde_json::Map::new() }
}

#[tokio::test]
async fn a_ticket_is_good_once() {
    let world = World::new(1).await;
    let id = world.submit().await;
    world.tick().await;
    let early = world.ticket().await.unwrap();
    let stale = |ticket: Ticket| {
        let world = &world;
        async move {
            let answer = world.claim(&ticket).await.map(|run| run.claim);
            assert!(matches!(answer, Err(LeaseError::Stale)), "{answer:?}");
        }
    };
    stale(Ticket { seq: early.seq + 1, ..early.clone() }).await;
    stale(Ticket { job: trainyard_openapi::id::JobId::generate().unwrap(), ..early.clone() }).await;
    // Nobody took it for so long that another was issued.
    world.pass(61).await;
    let late = world.ticket().await.unwrap();
    assert_eq!(late.seq, early.seq + 1);
    stale(early.clone()).await;

    let (executor, nonce) = (ExecutorId::generate().unwrap(), Nonce::generate().unwrap());
    let first = world.scheduler.claim(&late, &executor, &nonce).await.unwrap();
    let again = world.scheduler.claim(&late, &executor, &nonce).await.unwrap();
    assert_eq!(first, again, "the same answer to who asks again");
    assert_eq!(world.record(&id).await.epoch, 1);
    stale(late).await;
    let started = world.messages(&id).await;
    assert_eq!(started.iter().filter(|text| text.contains("started")).count(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_of_many_claims_wins() {
    let world = World::on_disk(1).await;
    let id = world.submit().await;
    world.tick().await;
    let ticket = world.ticket().await.unwrap();
    let claims = (0..20).map(|_| {
        let (scheduler, ticket) = (world.scheduler.clone(), ticket.clone());
        tokio::spawn(async move {
            let (executor, nonce) = (ExecutorId::generate().unwrap(), Nonce::generate().unwrap());
            scheduler.claim(&ticket, &executor, &nonce).await
        })
    });
    let mut won = 0;
    for claim in futures::future::join_all(claims).await {
        match claim.unwrap() {
            Ok(_) => won += 1,
            Err(LeaseError::Stale) => {}
            Err(other) => panic!("{other}"),
        }
    }
    assert_eq!((won, world.record(&id).await.epoch), (1, 1));
}

#[tokio::test]
async fn a_lease_lasts_as_long_as_it_is_kept() {
    let world = World::new(1).await;
    let id = world.submit().await;
    let run = world.started().await;
    for step in 1..=5 {
        world.pass(59).await;
        assert_eq!(run.beat(step).await.unwrap(), Directive::Continue);
    }
    assert_eq!(world.record(&id).await.running_seconds, 5.0 * 59.0, "charged once each");
    // Lease and grace to the second.
    world.pass(75).await;
    assert_eq!(world.status(&id).await, JobStatus::Running);
    world.pass(1).await;
    assert_eq!(world.status(&id).await, JobStatus::Queued);
    assert_eq!(world.record(&id).await.attempts.lost, 1);
}

#[tokio::test]
async fn a_late_heartbeat_before_the_reaper_keeps_the_lease() {
    let world = World::new(1).await;
    let id = world.submit().await;
    let run = world.started().await;
    world.clock.advance_seconds(500);
    assert_eq!(run.beat(1).await.unwrap(), Directive::Continue);
    world.tick().await;
    assert_eq!(world.status(&id).await, JobStatus::Running);
}

#[tokio::test]
async fn a_zombie_changes_nothing() {
    let world = World::new(1).await;
    let id = world.submit().await;
    let zombie = world.started().await;
    zombie.checkpoint(3).await.unwrap();
    zombie.beat(5).await.unwrap();
    world.pass(100).await;
    assert_fenced(&world, &zombie, zombie.lease()).await;

    let next = world.started().await;
    assert_eq!(next.lease().epoch, 2);
    let record = world.record(&id).await;
    assert_eq!(record.progress.step, 3, "it goes on from the checkpoint");
    assert_eq!(next.claim.checkpoint, record.checkpoint);
    next.beat(0).await.unwrap();
    assert_eq!(world.record(&id).await.progress.step, 3, "what is behind the record is old");
    next.beat(4).await.unwrap();
    next.beat(3).await.unwrap();
    assert_eq!(world.record(&id).await.progress.step, 4);
    assert_fenced(&world, &zombie, zombie.lease()).await;
    // The zombie's finished adapter lies beside; the new run's counts.
    next.complete().await.unwrap();
    assert_fenced(&world, &zombie, zombie.lease()).await;
    let messages = world.messages(&id).await;
    let count = |part: &str| messages.iter().filter(|text| text.contains(part)).count();
    assert_eq!((count("successfully completed"), count("New fine-tuned model")), (1, 1));
    assert_eq!(world.store.models(world.ctx.tenant()).await.unwrap().len(), 1);
}

#[tokio::test]
async fn completion_may_be_repeated() {
    let world = World::new(1).await;
    let id = world.submit().await;
    let run = world.started().await;
    let completion = run.finished().await;
    world.scheduler.complete(run.lease(), &completion).await.unwrap();
    let record = world.record(&id).await;
    for _ in 0..2 {
        world.scheduler.complete(run.lease(), &completion).await.unwrap();
    }
    assert_eq!(world.record(&id).await, record, "once is enough");
    let other = LeaseId { nonce: Nonce::generate().unwrap(), ..run.lease().clone() };
    assert!(world.scheduler.complete(&other, &completion).await.is_err());
    fenced(run.beat(10).await);
}

#[tokio::test]
async fn handovers_are_looked_at() {
    let world = World::new(1).await;
    let id = world.submit().await;
    let run = world.started().await;
    let scheduler = &world.scheduler;
    let sha = run.upload("step-000005", 5).await;
    let good = CheckpointPointer {
        stage: None,
        epoch: 1,
        step: 5,
        prefix: format!("{}/step-000005", run.prefix()),
        manifest_sha256: sha.clone(),
    };
    run.put(&format!("{}/no-manifest/x", run.prefix()), b"x").await;
    run.put(&format!("{}/garbage/manifest.json", run.prefix()), b"{}").await;
    let manifest = |name: &str, bytes: u64| {
        json!({"step": 5, "plan_sha256": "", "files": {name: {"bytes": bytes, "sha256": ""}}})
            .to_string()
    };
    let mut hashes = Vec::new();
    for (directory, name, bytes) in
        [("missing", "x", 1), ("short", "manifest.json", 1), ("climbs", "../../../files/x", 1)]
    {
        let json = manifest(name, bytes);
        run.put(&format!("{}/{directory}/manifest.json", run.prefix()), json.as_bytes()).await;
        hashes.push(hex::encode(<sha2::Sha256 as sha2::Digest>::digest(json)));
    }
    let at = |directory: &str, sha: &str| CheckpointPointer {
        stage: None,
        prefix: format!("{}/{directory}", run.prefix()),
        manifest_sha256: sha.to_string(),
        ..good.clone()
    };
    let garbage = hex::encode(<sha2::Sha256 as sha2::Digest>::digest("{}"));
    let foreign = |prefix: &str| CheckpointPointer { prefix: prefix.into(), ..good.clone() };
    let cases = [
        (at("step-000005", &"0".repeat(64)), "hash"),
        (at("no-manifest", &sha), "there is no"),
        (at("nothing", &sha), "there is no"),
        (at("garbage", &garbage), "no manifest"),
        (at("missing", &hashes[0]), "not there"),
        (at("short", &hashes[1]), "bytes"),
        (at("climbs", &hashes[2]), "not there"),
        (at("step-000005/", &sha), "there is no"),
        (at("../x", &sha), "there is no"),
        (foreign(&format!("jobs/{id}/e2-{}/step-000005", run.lease().nonce)), "own prefix"),
        (
            foreign(&format!("jobs/{id}/e1-{}/step-000005", Nonce::generate().unwrap())),
            "own prefix",
        ),
        (foreign("files"), "own prefix"),
        (CheckpointPointer { step: 6, ..good.clone() }, "step"),
        (CheckpointPointer { epoch: 2, ..good.clone() }, "epoch"),
    ];
    let metrics = CheckpointMetrics::default();
    let before = world.record(&id).await;
    for (pointer, reason) in cases {
        let answer = scheduler.checkpoint(run.lease(), &pointer, &metrics).await;
        let text = refused(answer);
        assert!(text.contains(reason), "{text}, not {reason}");
    }
    assert_eq!(world.record(&id).await, before);
    scheduler.checkpoint(run.lease(), &good, &metrics).await.unwrap();
    scheduler.checkpoint(run.lease(), &good, &metrics).await.expect("repeated after a lost answer");
    assert_eq!(world.store.all_checkpoints(&id).await.unwrap().len(), 1);
    assert!(refused(run.checkpoint(4).await).contains("behind"));

    let good = run.finished().await;
    let mut wrong = good.clone();
    wrong.result_csv_key = format!("{}/other.csv", good.prefix);
    assert!(refused(scheduler.complete(run.lease(), &wrong).await).contains("not in the manifest"));
    let mut wrong = good.clone();
    wrong.result_csv_key = "files/other".into();
    assert!(refused(scheduler.complete(run.lease(), &wrong).await).contains("not in the manifest"));
    let mut wrong = good.clone();
    wrong.result_csv_bytes += 1;
    assert!(refused(scheduler.complete(run.lease(), &wrong).await).contains("not in the manifest"));
    scheduler.complete(run.lease(), &good).await.unwrap();
}

#[tokio::test]
async fn lost_attempts_have_a_budget() {
    let world = World::new(1).await;
    let id = world.submit().await;
    for lost in 1..=2 {
        world.started().await;
        world.pass(100).await;
        assert_eq!(
            (world.status(&id).await, world.record(&id).await.attempts.lost),
            (JobStatus::Queued, lost)
        );
    }
    // An attempt that brings the job forward costs nothing.
    for step in 1..=5 {
        world.started().await.checkpoint(step).await.unwrap();
        world.pass(100).await;
        assert_eq!(world.status(&id).await, JobStatus::Queued);
    }
    world.started().await;
    world.pass(100).await;
    let job = world.job(&id).await;
    assert_eq!(job.status, JobStatus::Failed);
    assert_eq!(job.error.unwrap().code, "executor_lost");
    assert_eq!(world.ticket().await, None);
}

#[tokio::test]
async fn failed_attempts_have_a_budget() {
    let world = World::new(1).await;
    let id = world.submit().await;
    let error =
        JobError { code: JobErrorCode::EngineError, message: "too large".into(), param: None };
    let run = world.started().await;
    world.scheduler.fail(run.lease(), &error, true).await.unwrap();
    assert_eq!(world.status(&id).await, JobStatus::Queued);
    assert!(world.messages(&id).await.last().unwrap().contains("tried again (1 left): too large"));
    let run = world.started().await;
    world.scheduler.fail(run.lease(), &error, true).await.unwrap();
    assert_eq!(world.job(&id).await.error, Some(error.clone()));

    let other = world.submit().await;
    let run = world.started().await;
    world.scheduler.fail(run.lease(), &error, false).await.unwrap();
    assert_eq!(world.job(&other).await.error, Some(error), "the owner's fault is not tried again");
    assert_eq!(world.record(&other).await.attempts.failed, 0);
}

#[tokio::test]
async fn memory_that_ran_out_halves_the_micro_batch_and_costs_no_attempt() {
    let world = World::new(1).await;
    let batching = json!({
        "method": {"type": "supervised", "supervised": {"hyperparameters": {"batch_size": 8}}},
        "trainyard": {"batching": {"micro_batch_size": 4}},
    });
    let id = world.submit_for(&world.ctx, batching).await;
    let error =
        JobError { code: JobErrorCode::OutOfMemory, message: "too large".into(), param: None };
    for rows in [4, 2] {
        let run = world.started().await;
        assert_eq!(run.claim.micro_batch_size, rows);
        world.scheduler.fail(run.lease(), &error, true).await.unwrap();
        let told = world.messages(&id).await.pop().unwrap();
        assert!(told.contains(&format!("micro-batches of {}: too large", rows / 2)), "{told}");
    }
    assert_eq!(world.record(&id).await.attempts.failed, 0);
    assert_eq!(world.record(&id).await.plan.batching.micro_batch_size, 4, "the plan stays");
    // Nothing is left to halve: now it counts.
    for _ in 0..2 {
        let run = world.started().await;
        assert_eq!(run.claim.micro_batch_size, 1);
        world.scheduler.fail(run.lease(), &error, true).await.unwrap();
    }
    assert_eq!(world.job(&id).await.error, Some(error));
}

#[tokio::test]
async fn giving_back_costs_what_it_should() {
    let world = World::new(1).await;
    let id = world.submit().await;
    for _ in 0..5 {
        let run = world.started().await;
        world.scheduler.release(run.lease(), ReleaseReason::Shutdown).await.unwrap();
        assert_eq!(world.status(&id).await, JobStatus::Queued);
    }
    assert_eq!(world.record(&id).await.attempts, Default::default(), "shutdowns cost nothing");
    let run = world.started().await;
    world.scheduler.release(run.lease(), ReleaseReason::Preempted).await.unwrap();
    assert_eq!(world.status(&id).await, JobStatus::Queued);
    let run = world.started().await;
    world.scheduler.release(run.lease(), ReleaseReason::Preempted).await.unwrap();
    assert_eq!(world.job(&id).await.error.unwrap().code, "preempted");
}

#[tokio::test]
async fn time_runs_out() {
    let world = World::new(1).await;
    let limit = json!({"trainyard": {"resources": {"max_runtime_seconds": 100}}});
    let id = world.submit_for(&world.ctx, limit).await;
    let run = world.started().await;
    assert_eq!(run.claim.runtime_seconds_left, 100);
    world.clock.advance_seconds(50);
    assert_eq!(run.beat(1).await.unwrap(), Directive::Continue);
    world.scheduler.release(run.lease(), ReleaseReason::Shutdown).await.unwrap();
    world.clock.advance_seconds(1000);
    let run = world.started().await;
    assert_eq!(run.claim.runtime_seconds_left, 50, "waiting costs nothing, earlier attempts count");
    world.clock.advance_seconds(51);
    assert_eq!(run.beat(2).await.unwrap(), Directive::TimeUp);
    assert_eq!(
        world.scheduler.directive(run.lease(), Duration::ZERO).await.unwrap(),
        Directive::TimeUp
    );
    assert_eq!(world.record(&id).await.running_seconds, 101.0);
}

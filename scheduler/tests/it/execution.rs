//! Tickets, leases, fences, budgets: the protocol, call by call.

use std::time::Duration;

use trainyard_openapi::checkpoint::CheckpointMetrics;
use trainyard_openapi::extension::Progress;
use trainyard_openapi::id::Nonce;
use trainyard_openapi::job::{JobError, JobStatus};
use trainyard_scheduler::SchedulerConfig;
use trainyard_scheduler::port::control_plane::{
    ControlPlane, Directive, LeaseError, LeaseId, ReleaseReason,
};
use trainyard_scheduler::port::objects::Objects;

use crate::bench::Bench;

fn crash() -> JobError {
    JobError { code: "trainer_crashed".into(), message: "it crashed".into(), param: None }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_goes_its_way() {
    let bench = Bench::new().await;
    let (id, claim) = bench.running().await;
    assert_eq!(bench.job(&id).await.status, JobStatus::Running);
    let progress = Progress { step: 3, total_steps: Some(10), ..Progress::default() };
    assert_eq!(
        bench.scheduler.heartbeat(&claim.lease, &progress).await.unwrap(),
        Directive::Continue
    );
    assert_eq!(bench.job(&id).await.trainyard.progress.step, 3);
    let pointer = bench.pointer(&claim.lease, 5).await;
    bench
        .scheduler
        .checkpoint(&claim.lease, &pointer, &CheckpointMetrics::default())
        .await
        .unwrap();
    let completion = bench.completion(&claim.lease).await;
    bench.scheduler.complete(&claim.lease, &completion).await.unwrap();
    bench
        .scheduler
        .complete(&claim.lease, &completion)
        .await
        .expect("a repeat after a lost answer");
    let job = bench.job(&id).await;
    assert_eq!((job.status, job.trained_tokens), (JobStatus::Succeeded, Some(123)));
    let model = job.fine_tuned_model.unwrap();
    let files = bench.scheduler.artifacts(&bench.ctx, &model).await.unwrap();
    let names: Vec<&str> = files.data.iter().map(|file| file.name.as_str()).collect();
    assert_eq!(names, ["adapter_model.safetensors", "manifest.json", "metrics.csv"]);
    assert!(bench.scheduler.artifacts(&bench.ctx, &format!("{model}:ckpt-step-5")).await.is_ok());
    assert!(bench.scheduler.read_file(&bench.ctx, &job.result_files[0]).await.is_ok());
    assert!(bench.ticket().await.is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ticket_is_good_once() {
    let bench = Bench::new().await;
    let job = bench.submit().await;
    bench.scheduler.tick().await.unwrap();
    let ticket = bench.ticket().await.unwrap();
    let nonce = Nonce::generate().unwrap();
    let first = bench.scheduler.claim(&ticket, &bench.executor, &nonce).await.unwrap();
    assert_eq!(
        bench.scheduler.claim(&ticket, &bench.executor, &nonce).await.unwrap(),
        first,
        "the same nonce, the same answer"
    );
    let other = bench.scheduler.claim(&ticket, &bench.executor, &Nonce::generate().unwrap()).await;
    assert!(matches!(other, Err(LeaseError::Stale)));
    assert_eq!(first.lease.job, job.id);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_ticket_is_issued_again_and_the_old_one_is_stale() {
    let bench = Bench::new().await;
    bench.submit().await;
    bench.scheduler.tick().await.unwrap();
    let old = bench.ticket().await.unwrap();
    bench.scheduler.tick().await.unwrap();
    assert!(bench.ticket().await.is_none(), "not before its time");
    bench.clock.advance_seconds(61);
    bench.scheduler.tick().await.unwrap();
    let new = bench.ticket().await.unwrap();
    assert_eq!((&new.job, new.seq), (&old.job, old.seq + 1));
    let stale = bench.scheduler.claim(&old, &bench.executor, &Nonce::generate().unwrap()).await;
    assert!(matches!(stale, Err(LeaseError::Stale)));
    bench.claim(&new).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_was_given_up_is_fenced_everywhere() {
    let bench = Bench::new().await;
    let (id, old) = bench.running().await;
    let (pointer, completion) =
        (bench.pointer(&old.lease, 5).await, bench.completion(&old.lease).await);
    bench.clock.advance_seconds(74);
    bench.scheduler.tick().await.unwrap();
    assert_eq!(bench.job(&id).await.status, JobStatus::Running, "lease and grace have not passed");
    bench.clock.advance_seconds(2);
    bench.scheduler.tick().await.unwrap();
    let new = bench.claim(&bench.ticket().await.expect("queued again")).await;
    assert_eq!(new.lease.epoch, old.lease.epoch + 1);

    let zombie = &old.lease;
    let forged = LeaseId { epoch: new.lease.epoch, ..old.lease.clone() };
    for lease in [zombie, &forged] {
        let fenced = |answer: Result<(), LeaseError>| {
            assert!(matches!(answer, Err(LeaseError::Fenced)), "{answer:?}")
        };
        fenced(bench.scheduler.heartbeat(lease, &Progress::default()).await.map(drop));
        fenced(bench.scheduler.directive(lease, Duration::ZERO).await.map(drop));
        fenced(bench.scheduler.report(lease, &Progress::default(), vec![]).await);
        fenced(bench.scheduler.fail(lease, &crash(), true).await);
        fenced(bench.scheduler.release(lease, ReleaseReason::Shutdown).await);
    }
    assert!(
        bench.scheduler.checkpoint(zombie, &pointer, &CheckpointMetrics::default()).await.is_err()
    );
    assert!(bench.scheduler.complete(zombie, &completion).await.is_err());
    assert_eq!(bench.job(&id).await.status, JobStatus::Running, "the new run goes on");
    bench.scheduler.complete(&new.lease, &bench.completion(&new.lease).await).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_handed_over_is_looked_at() {
    let bench = Bench::new().await;
    let (id, claim) = bench.running().await;
    let lease = &claim.lease;
    let good = bench.pointer(lease, 5).await;
    let metrics = CheckpointMetrics::default();
    let try_it = async |pointer| bench.scheduler.checkpoint(lease, &pointer, &metrics).await;
    let refused = |answer: Result<(), LeaseError>| {
        assert!(matches!(answer, Err(LeaseError::Refused(_))), "{answer:?}")
    };

    let mut wrong = good.clone();
    wrong.manifest_sha256 = "0".repeat(64);
    refused(try_it(wrong).await);
    let mut wrong = good.clone();
    wrong.prefix = format!("jobs/{}/e9-{}/step-000005", lease.job, lease.nonce);
    refused(try_it(wrong).await);
    let mut wrong = good.clone();
    wrong.prefix = format!("{}/../../other", good.prefix);
    refused(try_it(wrong).await);
    let mut wrong = good.clone();
    wrong.step = 6;
    refused(try_it(wrong).await);
    try_it(good.clone()).await.unwrap();
    try_it(good.clone()).await.expect("a repeat");
    refused(try_it(bench.pointer(lease, 4).await).await);
    let damaged = bench.pointer(lease, 7).await;
    bench.objects.delete(&format!("{}/metrics.csv", damaged.prefix)).await.unwrap();
    refused(try_it(damaged).await);
    let page = trainyard_scheduler::contract::sample::page(None, 10);
    assert_eq!(bench.scheduler.checkpoints(&bench.ctx, &id, &page).await.unwrap().data.len(), 1);

    let mut completion = bench.completion(lease).await;
    completion.result_csv_key = format!("jobs/{}/other.csv", lease.job);
    refused(bench.scheduler.complete(lease, &completion).await);
    assert_eq!(bench.job(&id).await.status, JobStatus::Running);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_next_attempt_goes_on_from_the_checkpoint_and_old_ones_go() {
    let bench = Bench::new().await;
    let (id, claim) = bench.running().await;
    for step in 1..=5 {
        let pointer = bench.pointer(&claim.lease, step).await;
        bench
            .scheduler
            .checkpoint(&claim.lease, &pointer, &CheckpointMetrics::default())
            .await
            .unwrap();
    }
    let page = trainyard_scheduler::contract::sample::page(None, 10);
    let kept = bench.scheduler.checkpoints(&bench.ctx, &id, &page).await.unwrap();
    let steps: Vec<u64> = kept.data.iter().map(|checkpoint| checkpoint.step_number).collect();
    assert_eq!(steps, [5, 4, 3]);
    let prefix = format!("jobs/{id}/e1-{}", claim.lease.nonce);
    assert_eq!(
        bench.objects.list(&format!("{prefix}/step-000002")).await.unwrap(),
        Vec::<String>::new()
    );
    bench.scheduler.release(&claim.lease, ReleaseReason::Shutdown).await.unwrap();
    bench.scheduler.tick().await.unwrap();
    let next = bench.claim(&bench.ticket().await.unwrap()).await;
    assert_eq!(next.checkpoint.unwrap().step, 5);
}

#[tokio::test(flavor = "multi_thread")]
async fn each_reason_has_a_budget_of_its_own() {
    let config = SchedulerConfig {
        attempts_failed_max: 2,
        attempts_lost_max: 1,
        ..SchedulerConfig::default()
    };
    let bench = Bench::with(config).await;
    let (id, mut claim) = bench.running().await;
    let again = async || {
        bench.scheduler.tick().await.unwrap();
        bench.claim(&bench.ticket().await.expect("queued again")).await
    };
    for _ in 0..5 {
        bench.scheduler.release(&claim.lease, ReleaseReason::Shutdown).await.unwrap();
        claim = again().await;
        bench.scheduler.release(&claim.lease, ReleaseReason::Preempted).await.unwrap();
        claim = again().await;
    }
    bench.clock.advance_seconds(80);
    claim = again().await;
    for _ in 0..2 {
        bench.scheduler.fail(&claim.lease, &crash(), true).await.unwrap();
        claim = again().await;
    }
    bench.scheduler.fail(&claim.lease, &crash(), true).await.unwrap();
    let job = bench.job(&id).await;
    assert_eq!(
        (job.status, job.error.unwrap().code.as_str()),
        (JobStatus::Failed, "trainer_crashed")
    );

    let (id, claim) = bench.running().await;
    let user = JobError {
        code: "invalid_data".into(),
        message: "line 7".into(),
        param: Some("training_file".into()),
    };
    bench.scheduler.fail(&claim.lease, &user, false).await.unwrap();
    assert_eq!(bench.job(&id).await.error.unwrap(), user, "a user's error is not tried again");

    let (id, _) = bench.running().await;
    bench.clock.advance_seconds(80);
    let _ = again().await;
    bench.clock.advance_seconds(80);
    bench.scheduler.tick().await.unwrap();
    let job = bench.job(&id).await;
    assert_eq!(
        (job.status, job.error.unwrap().code.as_str()),
        (JobStatus::Failed, "executor_lost")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wish_arrives_at_once_and_time_runs_out() {
    let bench = Bench::new().await;
    let (id, claim) = bench.running().await;
    let (scheduler, lease) = (bench.scheduler.clone(), claim.lease.clone());
    let waiting =
        tokio::spawn(async move { scheduler.directive(&lease, Duration::from_secs(20)).await });
    tokio::time::sleep(Duration::from_millis(50)).await;
    bench.scheduler.pause(&bench.ctx, &id).await.unwrap();
    let heard = tokio::time::timeout(Duration::from_secs(2), waiting)
        .await
        .expect("at once")
        .unwrap()
        .unwrap();
    assert_eq!(heard, Directive::Pause);
    bench.scheduler.resume(&bench.ctx, &id).await.unwrap();
    assert_eq!(
        bench.scheduler.directive(&claim.lease, Duration::ZERO).await.unwrap(),
        Directive::Continue
    );
    for _ in 0..86_400 / 3600 {
        bench.clock.advance_seconds(3601);
        let _ = bench.scheduler.heartbeat(&claim.lease, &Progress::default()).await.unwrap();
    }
    let told = bench.scheduler.heartbeat(&claim.lease, &Progress::default()).await.unwrap();
    assert_eq!(told, Directive::TimeUp, "86,400 s are used up");
}

#[tokio::test(flavor = "multi_thread")]
async fn slots_bound_what_is_dispatched_and_the_rest_is_told_why() {
    let bench = Bench::with(SchedulerConfig { slots: 2, ..SchedulerConfig::default() }).await;
    let mut ids = Vec::new();
    for _ in 0..4 {
        ids.push(bench.submit().await.id);
    }
    bench.scheduler.tick().await.unwrap();
    assert!(
        bench.ticket().await.is_some()
            && bench.ticket().await.is_some()
            && bench.ticket().await.is_none()
    );
    let waiting = bench.job(&ids[3]).await.trainyard.progress;
    assert_eq!(waiting.queue_position, Some(2));
    assert_eq!(waiting.waiting_reason.as_deref(), Some("all 2 slots are taken"));
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_acknowledged_is_lost_by_a_restart() {
    let mut bench = Bench::new().await;
    let job = bench.submit().await;
    bench.restart();
    bench.scheduler.recover_embedded().await.unwrap();
    bench.scheduler.tick().await.unwrap();
    assert_eq!(bench.job(&job.id).await.status, JobStatus::Queued);
    // The ticket is lost with the queue.
    bench.restart();
    bench.scheduler.recover_embedded().await.unwrap();
    bench.scheduler.tick().await.unwrap();
    let claim = bench.claim(&bench.ticket().await.expect("a new ticket")).await;
    let pointer = bench.pointer(&claim.lease, 5).await;
    bench
        .scheduler
        .checkpoint(&claim.lease, &pointer, &CheckpointMetrics::default())
        .await
        .unwrap();
    bench.restart();
    bench.scheduler.recover_embedded().await.unwrap();
    bench.scheduler.tick().await.unwrap();
    let next = bench.claim(&bench.ticket().await.expect("queued again")).await;
    assert_eq!((next.lease.epoch, next.checkpoint.as_ref()), (2, Some(&pointer)));
    assert!(
        bench.scheduler.heartbeat(&claim.lease, &Progress::default()).await.is_err(),
        "the dead run is fenced"
    );
    bench.scheduler.complete(&next.lease, &bench.completion(&next.lease).await).await.unwrap();
    bench.restart();
    assert_eq!(bench.job(&job.id).await.status, JobStatus::Succeeded);
}

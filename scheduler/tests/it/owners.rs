//! What owners may do with their jobs, in every state; validation; idempotency.

use std::sync::Arc;

use trainyard_openapi::error::ErrorCode;
use trainyard_openapi::job::JobStatus;
use trainyard_scheduler::contract::sample;
use trainyard_scheduler::port::control_plane::{
    ControlPlane, Directive, LeaseError, ReleaseReason,
};
use trainyard_scheduler::{IdempotencyKey, SchedulerError};

use crate::bench::Bench;

fn code<T>(answer: Result<T, SchedulerError>) -> ErrorCode {
    answer.err().expect("a refusal").to_api().code
}

#[tokio::test(flavor = "multi_thread")]
async fn cancel_pause_resume_in_every_state() {
    let bench = Bench::new().await;
    let (scheduler, ctx) = (&bench.scheduler, &bench.ctx);
    // While its files are being read.
    let id = bench.submit().await.id;
    assert_eq!(scheduler.pause(ctx, &id).await.unwrap().status, JobStatus::Paused);
    scheduler.tick().await.unwrap();
    assert_eq!(bench.job(&id).await.status, JobStatus::Paused);
    assert_eq!(scheduler.resume(ctx, &id).await.unwrap().status, JobStatus::ValidatingFiles);
    scheduler.tick().await.unwrap();
    // While its ticket is out.
    assert_eq!(bench.job(&id).await.status, JobStatus::Queued);
    assert_eq!(scheduler.pause(ctx, &id).await.unwrap().status, JobStatus::Paused);
    let stale = scheduler
        .claim(
            &bench.ticket().await.unwrap(),
            &bench.executor,
            &trainyard_openapi::id::Nonce::generate().unwrap(),
        )
        .await;
    assert!(matches!(stale, Err(LeaseError::Stale)));
    assert_eq!(scheduler.resume(ctx, &id).await.unwrap().status, JobStatus::Queued);
    scheduler.tick().await.unwrap();
    // While it runs.
    let claim = bench.claim(&bench.ticket().await.unwrap()).await;
    scheduler.pause(ctx, &id).await.unwrap();
    scheduler.release(&claim.lease, ReleaseReason::Paused).await.unwrap();
    assert_eq!(bench.job(&id).await.status, JobStatus::Paused);
    scheduler.resume(ctx, &id).await.unwrap();
    scheduler.tick().await.unwrap();
    let claim = bench.claim(&bench.ticket().await.unwrap()).await;
    // Cancelled while it completes: who cancelled has been told so.
    let completion = bench.completion(&claim.lease).await;
    let cancelling = {
        let (s, c, i) = (scheduler.clone(), ctx.clone(), id.clone());
        tokio::spawn(async move { s.cancel(&c, &i).await })
    };
    while scheduler.directive(&claim.lease, std::time::Duration::from_secs(1)).await.unwrap()
        != Directive::Cancel
    {}
    assert!(matches!(scheduler.complete(&claim.lease, &completion).await, Err(LeaseError::Fenced)));
    assert_eq!(
        cancelling.await.unwrap().unwrap().status,
        JobStatus::Cancelled,
        "the answer waited for the end"
    );
    assert_eq!(bench.job(&id).await.fine_tuned_model, None);
    for again in [
        code(scheduler.cancel(ctx, &id).await),
        code(scheduler.pause(ctx, &id).await),
        code(scheduler.resume(ctx, &id).await),
    ] {
        assert_eq!(again, ErrorCode::InvalidState);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broken_line_fails_the_job_with_its_place() {
    let bench = Bench::new().await;
    let good = "{\"text\": \"fine\"}\n".repeat(6);
    for (text, expected) in [
        (
            good.clone() + "{\"text\": 3}\n" + &good,
            "train.jsonl: line 7: text: must be a string, not 3",
        ),
        (String::new(), "train.jsonl: line 1: the file is empty"),
        ("\u{0}\u{1}".to_string(), "train.jsonl: line 1: not valid JSON"),
        (good.clone() + "{\"prompt\": \"a\", \"completion\": \"b\"}\n", "must be of one kind"),
    ] {
        let file = bench.upload(&bench.ctx, &text).await;
        let job = bench.scheduler.submit(&bench.ctx, bench.request(&file), None).await.unwrap();
        assert_eq!(job.status, JobStatus::ValidatingFiles);
        bench.scheduler.tick().await.unwrap();
        let job = bench.job(&job.id).await;
        let error = job.error.expect("an error");
        assert_eq!((job.status, error.code.as_str()), (JobStatus::Failed, "invalid_training_file"));
        assert!(error.message.contains(expected), "{}", error.message);
        assert_eq!(error.param.as_deref(), Some("training_file"));
        let events =
            bench.scheduler.events(&bench.ctx, &job.id, &sample::page(None, 10)).await.unwrap();
        assert!(events.data.iter().any(|event| event.data.contains_key("errors")));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_key_makes_one_job() {
    let bench = Bench::new().await;
    let file = bench.upload(&bench.ctx, "{\"text\": \"a line\"}\n").await;
    let request = bench.request(&file);
    let key = |hash: &str| Some(IdempotencyKey { key: "k".into(), request_sha256: hash.into() });
    let bench = Arc::new(bench);
    let tries: Vec<_> = (0..20)
        .map(|_| {
            let (bench, request, key) = (Arc::clone(&bench), request.clone(), key("a"));
            tokio::spawn(async move {
                bench.scheduler.submit(&bench.ctx, request, key).await.unwrap().id
            })
        })
        .collect();
    let mut ids = Vec::new();
    for tried in tries {
        ids.push(tried.await.unwrap());
    }
    ids.dedup();
    assert_eq!(ids.len(), 1);
    assert_eq!(
        code(bench.scheduler.submit(&bench.ctx, request, key("b")).await),
        ErrorCode::IdempotencyMismatch
    );
    let all = bench
        .scheduler
        .jobs(&bench.ctx, &Default::default(), &sample::page(None, 50))
        .await
        .unwrap();
    assert_eq!(all.data.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn files_in_use_stay() {
    let bench = Bench::new().await;
    let job = bench.submit().await;
    assert_eq!(
        code(bench.scheduler.delete_file(&bench.ctx, &job.training_file).await),
        ErrorCode::InUse
    );
    bench.scheduler.cancel(&bench.ctx, &job.id).await.unwrap();
    bench.scheduler.delete_file(&bench.ctx, &job.training_file).await.unwrap();
    assert_eq!(
        code(bench.scheduler.file(&bench.ctx, &job.training_file).await),
        ErrorCode::FileNotFound
    );
    assert_eq!(
        code(bench.scheduler.delete_model(&bench.ctx, "tiny").await),
        ErrorCode::InsufficientScope
    );
}

//! What a tenant may use: running jobs, accelerator-seconds, bytes; and that what is charged is what was held.

use serde_json::{Value, json};
use trainyard_openapi::error::ErrorCode;
use trainyard_openapi::job::JobStatus;
use trainyard_openapi::tenant::UpdateTenant;
use trainyard_scheduler::TenantContext;
use trainyard_scheduler::port::control_plane::{ControlPlane, Directive, ReleaseReason};
use trainyard_scheduler::port::document::Change;
use trainyard_scheduler::tenant::KeyRecord;

use crate::world::{World, code, refusal};

/// Gives the first tenant a quota; its context shows it.
async fn limited(world: &mut World, quota: Value) {
    let operator = world.stranger().await;
    let update: UpdateTenant = serde_json::from_value(quota).unwrap();
    world.scheduler.update_tenant(&operator, world.ctx.tenant(), &update).await.unwrap();
    world.ctx = again(world).await;
}

/// A new key of the first tenant.
async fn again(world: &World) -> TenantContext {
    use trainyard_openapi::tenant::Scope;
    let tenant = world.ctx.tenant().clone();
    let key = trainyard_scheduler::key::ApiKey::generate().unwrap();
    let record = KeyRecord::new(&key, &tenant, "again", Scope::TENANT.to_vec(), 0);
    world.store.apply(&Change::none().put(&record, 1).unwrap()).await.unwrap();
    world.scheduler.authenticate(&key.reveal()).await.unwrap()
}

async fn charged_ms(world: &World) -> u64 {
    let days = world.store.usage(world.ctx.tenant(), 0, 100_000).await.unwrap();
    days.iter().map(|day| day.accelerator_ms).sum()
}

async fn reason(world: &World, id: &trainyard_openapi::id::JobId) -> String {
    world.job(id).await.trainyard.progress.waiting_reason.unwrap_or_default()
}

#[tokio::test]
async fn a_tenant_at_its_limit_of_running_jobs_is_passed_over() {
    let mut world = World::new(3).await;
    limited(&mut world, json!({"quota": {"running_jobs": 1}})).await;
    let first = world.submit().await;
    let second = world.submit().await;
    let run = world.started().await;
    assert_eq!(run.lease().job, first);
    let stranger = world.stranger().await;
    let other = world.submit_for(&stranger, json!({})).await;
    assert_eq!(world.started().await.lease().job, other, "others go first");
    assert!(world.ticket().await.is_none());
    assert!(reason(&world, &second).await.contains("'running_jobs' allows 1"));
    run.complete().await.unwrap();
    assert_eq!(world.started().await.lease().job, second);
}

#[tokio::test]
async fn a_suspended_tenants_jobs_are_not_started_and_running_ones_go_on() {
    let mut world = World::new(2).await;
    let running = world.submit().await;
    let run = world.started().await;
    let waiting = world.submit().await;
    world.tick().await;
    let ticket = world.ticket().await.expect("dispatched before the tenant was suspended");
    let operator = world.stranger().await;
    let update: UpdateTenant = serde_json::from_value(json!({"status": "suspended"})).unwrap();
    world.scheduler.update_tenant(&operator, world.ctx.tenant(), &update).await.unwrap();
    assert!(world.claim(&ticket).await.is_err(), "a ticket that is out starts nothing either");
    world.tick().await;
    assert!(world.ticket().await.is_none());
    assert_eq!(reason(&world, &waiting).await, "the tenant is suspended");
    assert_eq!(run.beat(1).await.unwrap(), Directive::Continue);
    run.complete().await.unwrap();
    assert_eq!(world.status(&running).await, JobStatus::Succeeded);
    let update: UpdateTenant = serde_json::from_value(json!({"status": "active"})).unwrap();
    world.scheduler.update_tenant(&operator, world.ctx.tenant(), &update).await.unwrap();
    world.ctx = again(&world).await;
    assert_eq!(world.started().await.lease().job, waiting);
}

#[tokio::test]
async fn a_job_whose_tenant_has_no_seconds_left_waits_for_the_next_day() {
    let mut world = World::new(1).await;
    limited(&mut world, json!({"quota": {"accelerator_seconds_per_day": 30}})).await;
    let id = world.submit().await;
    let run = world.started().await;
    world.clock.advance_seconds(15);
    assert_eq!(run.beat(1).await.unwrap(), Directive::Continue);
    world.clock.advance_seconds(15);
    assert_eq!(run.beat(2).await.unwrap(), Directive::Preempt, "saves a checkpoint and stops");
    run.checkpoint(2).await.unwrap();
    world.scheduler.release(run.lease(), ReleaseReason::Preempted).await.unwrap();
    assert_eq!(world.record(&id).await.attempts.preempted, 0, "it costs no attempt");
    world.tick().await;
    assert!(world.ticket().await.is_none());
    let why = reason(&world, &id).await;
    assert!(why.contains("'accelerator_seconds_per_day' of 30 s is used up (30.0 s"), "{why}");
    let request = world.request(&world.ctx, json!({})).await;
    let error = refusal(world.scheduler.submit(&world.ctx, request, None).await);
    assert_eq!(error.code, ErrorCode::QuotaExceeded);
    assert!(error.message.contains("accelerator_seconds_per_day"), "{}", error.message);
    world.clock.advance_seconds(86_400);
    let run = world.started().await;
    assert_eq!((run.lease().job.clone(), run.claim.checkpoint.as_ref().unwrap().step), (id, 2));
    assert_eq!(charged_ms(&world).await, 30_000);
}

#[tokio::test]
async fn what_is_charged_is_what_leases_held() {
    let world = World::new(1).await;
    world.submit().await;
    let mut held = 0;
    // Given back, failed and lost, with and without heartbeats; a lost one is charged up to its last word.
    for (round, beats) in [0, 3, 1, 2].into_iter().enumerate() {
        let run = world.started().await;
        for step in 1..=beats {
            world.clock.advance_seconds(7);
            held += 7_000;
            run.beat(step).await.unwrap();
        }
        run.checkpoint(10 + round as u64).await.unwrap();
        if round % 2 == 0 {
            world.clock.advance_seconds(5);
            held += 5_000;
            world.scheduler.release(run.lease(), ReleaseReason::Shutdown).await.unwrap();
            assert!(world.scheduler.release(run.lease(), ReleaseReason::Shutdown).await.is_err());
        } else {
            world.pass(1_000).await;
            assert!(run.beat(99).await.is_err(), "it was taken back");
        }
        assert_eq!(charged_ms(&world).await, held, "round {round}");
    }
    let run = world.started().await;
    world.clock.advance_seconds(11);
    run.complete().await.unwrap();
    assert_eq!(charged_ms(&world).await, held + 11_000);
}

#[tokio::test]
async fn bytes_beyond_the_quota_are_refused_and_leave_nothing() {
    let mut world = World::on_disk(1).await;
    limited(&mut world, json!({"quota": {"storage_bytes": 20}})).await;
    let begin = async || {
        let purpose = trainyard_openapi::file::Purpose::FineTune;
        world.scheduler.begin_upload(&world.ctx, "a.jsonl", purpose).await
    };
    let mut one = begin().await.unwrap();
    let mut two = begin().await.unwrap();
    one.write(vec![b'a'; 12].into()).await.unwrap();
    two.write(vec![b'a'; 12].into()).await.unwrap();
    one.finish().await.unwrap();
    let error = refusal(two.finish().await);
    assert_eq!(error.code, ErrorCode::QuotaExceeded, "each fitted, both do not");
    for figure in ["20 bytes", "12 are stored", "add 12"] {
        assert!(error.message.contains(figure), "{}", error.message);
    }
    let mut three = begin().await.unwrap();
    three.write(vec![b'a'; 8].into()).await.unwrap();
    assert_eq!(code(three.write(vec![b'a'; 1].into()).await), ErrorCode::QuotaExceeded);
    drop(three);
    assert_eq!(code(world.scheduler.check_storage(&world.ctx, 9).await), ErrorCode::QuotaExceeded);
    world.scheduler.check_storage(&world.ctx, 8).await.unwrap();
    assert_eq!(world.store.stored_bytes(world.ctx.tenant()).await.unwrap(), 12);
    let files = std::fs::read_dir(world.objects_dir().join("files")).unwrap().count();
    assert_eq!(files, 1, "what was refused lies nowhere");
}

#[tokio::test]
async fn parts_of_a_pending_upload_count_and_become_its_file() {
    let mut world = World::on_disk(1).await;
    limited(&mut world, json!({"quota": {"storage_bytes": 20}})).await;
    let (scheduler, ctx) = (&world.scheduler, &world.ctx);
    let begin = async || {
        let new = json!({"filename": "a.jsonl", "purpose": "fine-tune", "bytes": 12, "mime_type": "text/jsonl"});
        scheduler.create_upload(ctx, &serde_json::from_value(new).unwrap()).await.unwrap().id
    };
    let part = async |upload, bytes: usize| {
        let mut part = scheduler.begin_part(ctx, upload).await?;
        part.write(vec![b'a'; bytes].into()).await?;
        part.finish().await
    };
    let (first, second) = (begin().await, begin().await);
    let kept = part(&first, 12).await.unwrap();
    assert_eq!(scheduler.usage(ctx, None, None).await.unwrap().storage_bytes, 12);
    let error = refusal(part(&second, 9).await);
    assert_eq!(error.code, ErrorCode::QuotaExceeded);
    for figure in ["20 bytes", "12 are stored", "add 9"] {
        assert!(error.message.contains(figure), "{}", error.message);
    }
    let (mut one, mut two) = (
        scheduler.begin_part(ctx, &second).await.unwrap(),
        scheduler.begin_part(ctx, &second).await.unwrap(),
    );
    one.write(vec![b'a'; 5].into()).await.unwrap();
    two.write(vec![b'a'; 5].into()).await.unwrap();
    one.finish().await.unwrap();
    assert_eq!(code(two.finish().await), ErrorCode::QuotaExceeded, "each fitted, both do not");
    // The parts of the upload itself do not stand in the way of its file.
    let request = serde_json::from_value(json!({"part_ids": [kept.id]})).unwrap();
    scheduler.complete_upload(ctx, &first, &request).await.unwrap();
    assert_eq!(scheduler.usage(ctx, None, None).await.unwrap().storage_bytes, 17);
    scheduler.cancel_upload(ctx, &second).await.unwrap();
    assert_eq!(scheduler.usage(ctx, None, None).await.unwrap().storage_bytes, 12);
    let parts = world.objects.list("uploads").await.unwrap();
    assert_eq!(parts, Vec::<String>::new(), "what was refused lies nowhere");
}

//! A tenant goes with all that it has, also in the middle of its work, and nobody else loses anything.

use serde_json::json;
use trainyard_openapi::erasure::ErasureStatus;
use trainyard_openapi::error::ErrorCode;
use trainyard_openapi::id::TenantId;
use trainyard_openapi::page::{Order, PageRequest};
use trainyard_openapi::tenant::{
    CreateKey, CreateTenant, Quota, Scope, TenantStatus, UpdateTenant,
};
use trainyard_openapi::upload::CreateUpload;
use trainyard_openapi::webhook::CreateWebhook;
use trainyard_scheduler::TenantContext;
use trainyard_scheduler::key::ApiKey;
use trainyard_scheduler::port::control_plane::{ControlPlane, Directive, ReleaseReason};
use trainyard_scheduler::port::document::{Change, Kind};
use trainyard_scheduler::port::store::JobFilter;
use trainyard_scheduler::tenant::{KeyRecord, TenantRecord};

use crate::world::{World, code, fenced, refusal};

/// An operator: another tenant with a key that may do everything.
async fn operator(world: &World) -> TenantContext {
    let key = ApiKey::generate().unwrap();
    let tenant = TenantRecord::new(TenantId::generate().unwrap(), "operators", 0);
    let record = KeyRecord::new(&key, &tenant.id, "operator", vec![Scope::Admin], 0);
    let change = Change::none().put(&tenant, 1).unwrap().put(&record, 1).unwrap();
    world.store.apply(&change).await.unwrap();
    world.scheduler.authenticate(&key.reveal()).await.unwrap()
}

/// A tenant with a key that works; gives the context and the key.
async fn tenant(world: &World, operator: &TenantContext) -> (TenantContext, String) {
    let new = CreateTenant { name: "leaving".into(), quota: Quota::default(), weight: 1 };
    let tenant = world.scheduler.create_tenant(operator, &new).await.unwrap().id;
    let new = CreateKey { name: "k".into(), scopes: None, expires_in_seconds: None };
    let key = world.scheduler.create_key(operator, &tenant, &new).await.unwrap().key.unwrap();
    (world.scheduler.authenticate(&key).await.unwrap(), key)
}

fn first(limit: u32) -> PageRequest {
    PageRequest { after: None, limit, order: Order::Desc }
}

#[tokio::test]
async fn a_tenant_goes_with_all_that_it_has() {
    let world = World::on_disk(1).await;
    let scheduler = &world.scheduler;
    let operator = operator(&world).await;
    let (leaving, key) = tenant(&world, &operator).await;
    let id = leaving.tenant().clone();
    let stays = world.submit().await;
    world.started().await.complete().await.unwrap();

    let done = world.submit_for(&leaving, json!({})).await;
    world.started().await.complete().await.unwrap();
    let running = world.submit_for(&leaving, json!({})).await;
    let run = world.started().await;
    run.checkpoint(2).await.unwrap();
    let queued = world.submit_for(&leaving, json!({})).await;
    world.tick().await;
    let hook =
        CreateWebhook { url: "https://example.com/h".into(), events: None, description: None };
    scheduler.create_webhook(&leaving, &hook).await.unwrap();
    let new = CreateUpload {
        filename: "a.jsonl".into(),
        purpose: "fine-tune".into(),
        bytes: 3,
        mime_type: "text/jsonl".into(),
        expires_after: None,
    };
    let upload = scheduler.create_upload(&leaving, &new).await.unwrap();
    let mut part = scheduler.begin_part(&leaving, &upload.id).await.unwrap();
    part.write("abc".into()).await.unwrap();
    part.finish().await.unwrap();
    scheduler.reserve(&leaving, "under way", "a").await.unwrap();

    let refused = refusal(scheduler.delete_tenant(&operator, &id, false).await);
    assert_eq!(refused.code, ErrorCode::InUse);
    for figure in ["3 jobs", "2 of which", "4 files", "1 models"] {
        assert!(refused.message.contains(figure), "{figure}: {}", refused.message);
    }
    let own = scheduler.delete_tenant(&operator, operator.tenant(), true).await;
    assert_eq!(code(own), ErrorCode::InUse);
    let nobody = TenantId::generate().unwrap();
    let nobody = scheduler.delete_tenant(&operator, &nobody, true).await;
    assert_eq!(code(nobody), ErrorCode::NotFound);
    assert!(scheduler.authenticate(&key).await.is_ok(), "refusals change nothing");

    let deleted = scheduler.delete_tenant(&operator, &id, true).await.unwrap();
    assert_eq!(deleted.erasure.status, ErasureStatus::InProgress, "a run is being cancelled");
    assert_eq!(code(scheduler.authenticate(&key).await), ErrorCode::InvalidApiKey);
    assert_eq!(scheduler.tenant(&operator, &id).await.unwrap().status, TenantStatus::Erasing);
    let again = UpdateTenant { status: Some(TenantStatus::Active), ..UpdateTenant::default() };
    let again = scheduler.update_tenant(&operator, &id, &again).await;
    assert_eq!(code(again), ErrorCode::InvalidState, "nothing comes back");
    let by_hand = UpdateTenant { status: Some(TenantStatus::Erasing), ..UpdateTenant::default() };
    let by_hand = scheduler.update_tenant(&operator, operator.tenant(), &by_hand).await;
    assert_eq!(code(by_hand), ErrorCode::InvalidValue);
    assert_eq!(run.beat(3).await.unwrap(), Directive::Cancel);
    scheduler.release(run.lease(), ReleaseReason::Cancelled).await.unwrap();

    let world = world.reopened().await;
    let scheduler = &world.scheduler;
    world.tick().await;
    let erasure = scheduler.delete_tenant(&operator, &id, true).await.unwrap().erasure;
    assert_eq!(erasure.status, ErasureStatus::Completed);
    for (kind, count) in
        [("job", 3), ("file", 3), ("model", 1), ("key", 1), ("webhook", 1), ("upload", 1)]
    {
        assert_eq!(erasure.counts.get(kind), Some(&count), "{kind}: {:?}", erasure.counts);
    }
    assert_eq!(scheduler.erasure(&operator, &erasure.id).await.unwrap(), erasure);
    assert_eq!(code(scheduler.tenant(&operator, &id).await), ErrorCode::NotFound);
    for job in [&done, &running, &queued] {
        assert_eq!(world.store.job_of_any_tenant(job).await.unwrap(), None);
    }
    fenced(run.beat(4).await);
    let jobs = world.store.jobs(&id, &JobFilter::default(), &first(9)).await.unwrap();
    assert_eq!(jobs, (vec![], false));
    for kind in [Kind::Webhook, Kind::Upload, Kind::UploadPart, Kind::Request] {
        assert_eq!(world.store.document_count(kind).await.unwrap(), 0, "{kind:?}");
    }
    let log = world.store.audit(&id, 0, 99).await.unwrap();
    assert!(log.iter().any(|record| record.entry.action == "tenant.erased"), "its log stays");
    // The neighbour has everything that it had.
    let job = world.job(&stays).await;
    let artifacts = scheduler.artifacts(&world.ctx, &job.fine_tuned_model.unwrap()).await.unwrap();
    assert_eq!(artifacts.data.len(), 4);
    let below = world.objects.list("jobs").await.unwrap();
    assert!(below.iter().all(|key| key.starts_with(&format!("jobs/{stays}/"))), "{below:?}");
    assert_eq!(world.objects.list("files").await.unwrap().len(), 1);
    assert_eq!(world.objects.list("uploads").await.unwrap(), Vec::<String>::new());
}

#[tokio::test]
async fn an_empty_tenant_needs_no_cascade() {
    let world = World::new(1).await;
    let operator = operator(&world).await;
    let (leaving, key) = tenant(&world, &operator).await;
    let id = leaving.tenant().clone();
    let deleted = world.scheduler.delete_tenant(&operator, &id, false).await.unwrap();
    assert_eq!(deleted.erasure.status, ErasureStatus::Completed);
    assert_eq!(code(world.scheduler.authenticate(&key).await), ErrorCode::InvalidApiKey);
    let again = world.scheduler.delete_tenant(&operator, &id, false).await.unwrap();
    assert_eq!(again.erasure, deleted.erasure);
}

#[tokio::test]
async fn it_converges_after_a_crash_at_any_point() {
    let mut waits = 0;
    loop {
        let world = World::on_disk(1).await;
        let operator = operator(&world).await;
        let (leaving, key) = tenant(&world, &operator).await;
        let id = leaving.tenant().clone();
        world.submit_for(&leaving, json!({})).await;
        world.started().await.complete().await.unwrap();
        let deleting = world.scheduler.delete_tenant(&operator, &id, true);
        let ended = crate::erasure::dies_after(waits, deleting).await;
        let world = world.reopened().await;
        if waits % 2 == 0 {
            world.tick().await;
        }
        let erasure = world.scheduler.delete_tenant(&operator, &id, true).await.unwrap().erasure;
        let name = format!("died after {waits} waits: {:?}", erasure.counts);
        assert_eq!(erasure.status, ErasureStatus::Completed, "{name}");
        for (kind, count) in [("job", 1), ("file", 1), ("result_file", 1), ("model", 1), ("key", 1)]
        {
            assert_eq!(erasure.counts.get(kind), Some(&count), "{name}: {kind}");
        }
        assert_eq!(code(world.scheduler.authenticate(&key).await), ErrorCode::InvalidApiKey);
        assert_eq!(code(world.scheduler.tenant(&operator, &id).await), ErrorCode::NotFound);
        for below in ["jobs", "files"] {
            assert_eq!(world.objects.list(below).await.unwrap(), Vec::<String>::new(), "{name}");
        }
        if ended.is_some() {
            assert!(waits > 10, "{waits}");
            return;
        }
        waits += 3;
    }
}

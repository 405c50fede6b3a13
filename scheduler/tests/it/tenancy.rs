//! Keys, tenants that cannot see each other, and requests that come more than once.

use futures::future::join_all;
use serde_json::json;
use trainyard_openapi::error::ErrorCode;
use trainyard_openapi::id::{CheckpointId, EventId, FileId, JobId};
use trainyard_openapi::page::{Order, PageRequest};
use trainyard_scheduler::key::ApiKey;
use trainyard_scheduler::port::store::JobFilter;
use trainyard_scheduler::{IdempotencyKey, Scheduler, TenantContext};

use crate::world::{World, code, refusal, request};

fn page(after: Option<String>) -> PageRequest {
    PageRequest { after, limit: 100, order: Order::Desc }
}

/// All that one tenant can name.
struct Names {
    job: JobId,
    file: FileId,
    event: EventId,
    checkpoint: CheckpointId,
    checkpoint_model: String,
    model: String,
}

/// What a call with another's names answers, call by call.
async fn answers(
    scheduler: &Scheduler,
    ctx: &TenantContext,
    names: &Names,
) -> Vec<(&'static str, ErrorCode)> {
    let Names { job, file, event: _, checkpoint: _, checkpoint_model, model } = names;
    let list = page(None);
    vec![
        ("job", code(scheduler.job(ctx, job).await)),
        ("cancel", code(scheduler.cancel(ctx, job).await)),
        ("pause", code(scheduler.pause(ctx, job).await)),
        ("resume", code(scheduler.resume(ctx, job).await)),
        ("events", code(scheduler.events(ctx, job, &list).await)),
        ("checkpoints", code(scheduler.checkpoints(ctx, job, &list).await)),
        ("file", code(scheduler.file(ctx, file).await)),
        ("read file", code(scheduler.read_file(ctx, file).await.map(|_| ()))),
        ("delete file", code(scheduler.delete_file(ctx, file).await)),
        ("model", code(scheduler.model(ctx, model).await)),
        ("delete model", code(scheduler.delete_model(ctx, model).await)),
        ("artifacts", code(scheduler.artifacts(ctx, model).await)),
        ("artifact", code(scheduler.artifact(ctx, model, "manifest.json").await.map(|_| ()))),
        ("checkpoint artifacts", code(scheduler.artifacts(ctx, checkpoint_model).await)),
        ("delete checkpoint", code(scheduler.delete_model(ctx, checkpoint_model).await)),
    ]
}

#[tokio::test]
async fn a_stranger_sees_nothing() {
    let world = World::new(1).await;
    let (scheduler, owner) = (&world.scheduler, &world.ctx);
    let metadata = json!({"metadata": {"k": "v"}});
    let job = world.submit_for(owner, metadata).await;
    let run = world.started().await;
    run.checkpoint(2).await.unwrap();
    run.complete().await.unwrap();
    let done = world.job(&job).await;
    let events = scheduler.events(owner, &job, &page(None)).await.unwrap();
    let checkpoints = scheduler.checkpoints(owner, &job, &page(None)).await.unwrap();
    let names = Names {
        job: job.clone(),
        file: done.training_file.clone(),
        event: events.data[0].id.clone(),
        checkpoint: checkpoints.data[0].id.clone(),
        checkpoint_model: checkpoints.data[0].fine_tuned_model_checkpoint.clone(),
        model: done.fine_tuned_model.clone().unwrap(),
    };
    let nothing = Names {
        job: JobId::generate().unwrap(),
        file: FileId::generate().unwrap(),
        event: EventId::generate().unwrap(),
        checkpoint: CheckpointId::generate().unwrap(),
        checkpoint_model: names.checkpoint_model.replace("ft:", "ft:x"),
        model: "ft:no:such:model:1".to_string(),
    };
    let stranger = world.stranger().await;
    let before = world.record(&job).await;
    // What is another's answers as what never was.
    let foreign = answers(scheduler, &stranger, &names).await;
    assert_eq!(foreign, answers(scheduler, &stranger, &nothing).await);
    for (call, code) in &foreign {
        assert_eq!(code.status(), 404, "{call}: {code:?}");
    }
    let result = done.result_files[0].clone();
    assert_eq!(code(scheduler.file(&stranger, &result).await), ErrorCode::FileNotFound);

    // Names inside of requests.
    for field in ["training_file", "validation_file"] {
        let own = world.upload(&stranger, crate::world::LINES).await;
        for (file, kind) in [(&names.file, "foreign"), (&nothing.file, "unknown")] {
            let answer =
                scheduler.submit(&stranger, request(&own, json!({field: file})), None).await;
            let error = refusal(answer);
            assert_eq!(
                (error.code, error.param.as_deref()),
                (ErrorCode::InvalidFile, Some(field)),
                "{kind}"
            );
            assert_eq!(
                error.message.replace(file.as_str(), "ID"),
                format!("invalid {field}: ID: no such file")
            );
        }
        scheduler.delete_file(&stranger, &own).await.unwrap();
    }
    let own = world.upload(owner, crate::world::LINES).await;
    let results = request(&own, json!({"training_file": result}));
    assert_eq!(code(scheduler.submit(owner, results, None).await), ErrorCode::InvalidPurpose);
    let fine_tuned = request(&own, json!({"model": names.model}));
    assert_eq!(code(scheduler.submit(&stranger, fine_tuned, None).await), ErrorCode::ModelNotFound);

    // Lists, filters and cursors.
    let filter =
        JobFilter { metadata: [("k".to_string(), "v".to_string())].into(), ..JobFilter::default() };
    assert_eq!(scheduler.jobs(owner, &filter, &page(None)).await.unwrap().data.len(), 1);
    assert!(scheduler.jobs(&stranger, &filter, &page(None)).await.unwrap().data.is_empty());
    assert!(scheduler.files(&stranger, None, &page(None)).await.unwrap().data.is_empty());
    let models = scheduler.models(&stranger).await.unwrap().data;
    assert_eq!(models.iter().map(|model| model.id.as_str()).collect::<Vec<_>>(), ["tiny"]);
    assert_eq!(scheduler.models(owner).await.unwrap().data.len(), 2);
    let after = |cursor: String| page(Some(cursor));
    let cursor = after(names.job.to_string());
    assert_eq!(
        code(scheduler.jobs(&stranger, &JobFilter::default(), &cursor).await),
        ErrorCode::InvalidCursor
    );
    let cursor = after(names.file.to_string());
    assert_eq!(code(scheduler.files(&stranger, None, &cursor).await), ErrorCode::InvalidCursor);
    let mine = world.submit_for(&stranger, json!({})).await;
    let cursor = after(names.event.to_string());
    assert_eq!(code(scheduler.events(&stranger, &mine, &cursor).await), ErrorCode::InvalidCursor);
    let cursor = after(names.checkpoint.to_string());
    assert_eq!(
        code(scheduler.checkpoints(&stranger, &mine, &cursor).await),
        ErrorCode::InvalidCursor
    );
    assert_eq!(world.record(&job).await, before, "nothing of it has changed");
}

#[tokio::test]
async fn keys_open_their_own_tenant_only() {
    let world = World::new(1).await;
    let scheduler = &world.scheduler;
    assert_eq!(scheduler.bootstrap_key().await.unwrap(), None, "there are keys already");
    let wrong_secret = |key: &str| {
        // A key of the same id with a good checksum and another secret.
        let id = &key["tyk_live_".len()..][..12];
        let other = ApiKey::generate().unwrap().reveal();
        let secret = &other["tyk_live_".len() + 13..][..43];
        let mut rest = crc32fast::hash(format!("{id}_{secret}").as_bytes());
        let digits = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
        let mut sum = String::new();
        for _ in 0..6 {
            sum.insert(0, char::from(digits[(rest % 62) as usize]));
            rest /= 62;
        }
        format!("tyk_live_{id}_{secret}{sum}")
    };
    let fresh = World::with_no_key().await;
    let key = fresh.scheduler.bootstrap_key().await.unwrap().expect("the first key");
    assert_eq!(fresh.scheduler.bootstrap_key().await.unwrap(), None, "shown once");
    let ctx = fresh.scheduler.authenticate(&key).await.unwrap();
    assert_eq!(ctx.actor(), format!("key:{}", &key["tyk_live_".len()..][..12]));
    let forged = wrong_secret(&key);
    assert!(ApiKey::parse(&forged).is_some(), "its form is right");
    let unknown = ApiKey::generate().unwrap().reveal();
    let mut texts = Vec::new();
    for bearer in ["", "tyk_live_", "sk-proj-x", &key[..key.len() - 1], &forged, &unknown] {
        let error = refusal(fresh.scheduler.authenticate(bearer).await);
        assert_eq!(error.code, ErrorCode::InvalidApiKey, "{bearer}");
        texts.push(error.message);
    }
    texts.dedup();
    assert_eq!(texts.len(), 1, "the answer does not tell how close it was");
    assert_eq!(code(scheduler.authenticate(&key).await), ErrorCode::InvalidApiKey, "another store");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_comes_twenty_times_makes_one_job() {
    let world = World::on_disk(1).await;
    let body = world.request(&world.ctx, json!({})).await;
    for number in 0..10 {
        let key = IdempotencyKey { key: format!("key {number}"), request_sha256: "a".repeat(64) };
        let submits = (0..20).map(|_| {
            let (scheduler, ctx) = (world.scheduler.clone(), world.ctx.clone());
            let (body, key) = (body.clone(), key.clone());
            tokio::spawn(async move { scheduler.submit(&ctx, body, Some(key)).await })
        });
        let answers = join_all(submits).await;
        let mut ids: Vec<String> =
            answers.into_iter().map(|answer| answer.unwrap().unwrap().id.to_string()).collect();
        ids.dedup();
        assert_eq!(ids.len(), 1, "the same job each time");
        let events = world.events(&ids[0].parse().unwrap()).await;
        assert_eq!(events.iter().filter(|event| event.message.starts_with("Created")).count(), 1);
    }
    let jobs = world.scheduler.jobs(&world.ctx, &JobFilter::default(), &page(None)).await.unwrap();
    assert_eq!(jobs.data.len(), 10);
}

#[tokio::test]
async fn an_idempotency_key_belongs_to_one_request_of_one_tenant() {
    let world = World::on_disk(1).await;
    let key = |hash: &str| Some(IdempotencyKey { key: "k".into(), request_sha256: hash.into() });
    let body = world.request(&world.ctx, json!({})).await;
    let submit = async |world: &World, hash: &str| {
        world.scheduler.submit(&world.ctx, body.clone(), key(hash)).await
    };
    let first = submit(&world, "a").await.unwrap();
    let error = refusal(submit(&world, "b").await);
    assert_eq!((error.code, error.code.status()), (ErrorCode::IdempotencyMismatch, 422));
    // The answer is the job as it is now, after a restart too.
    world.scheduler.cancel(&world.ctx, &first.id).await.unwrap();
    let world = world.reopened().await;
    let again = submit(&world, "a").await.unwrap();
    assert_eq!((&again.id, again.status.as_str()), (&first.id, "cancelled"));
    // A request that was refused keeps nothing: mended, it may come under its key.
    let stranger = world.stranger().await;
    let foreign = world.scheduler.submit(&stranger, body.clone(), key("c")).await;
    assert_eq!(code(foreign), ErrorCode::InvalidFile);
    let own = world.request(&stranger, json!({})).await;
    let own = world.scheduler.submit(&stranger, own, key("d")).await.unwrap();
    assert_ne!(own.id, first.id);
    let without = world.scheduler.submit(&world.ctx, body.clone(), None).await.unwrap();
    let another = world.scheduler.submit(&world.ctx, body, None).await.unwrap();
    assert_ne!(without.id, another.id, "without a key each request is a job");
}

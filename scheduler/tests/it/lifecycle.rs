//! A job from request to result, and what its owner sees on the way.

use futures::TryStreamExt;
use serde_json::json;
use trainyard_openapi::error::ErrorCode;
use trainyard_openapi::event::EventLevel;
use trainyard_openapi::file::Purpose;
use trainyard_openapi::job::JobStatus;
use trainyard_openapi::page::{Order, PageRequest};
use trainyard_scheduler::port::control_plane::{ControlPlane, Directive, NewEvent};

use crate::world::{LINES, World, code, progress, refusal, request};

fn page() -> PageRequest {
    PageRequest { after: None, limit: 100, order: Order::Desc }
}

#[tokio::test]
async fn a_job_from_request_to_result() {
    let world = World::new(1).await;
    let (scheduler, ctx) = (&world.scheduler, &world.ctx);
    let request = world.request(ctx, json!({"suffix": "mine", "metadata": {"a": "b"}})).await;
    let job = scheduler.submit(ctx, request, None).await.unwrap();
    assert_eq!(job.status, JobStatus::ValidatingFiles);
    assert_eq!(job.organization_id, ctx.tenant().to_string());
    assert!(job.seed <= 2_147_483_647 && job.fine_tuned_model.is_none());

    world.tick().await;
    let queued = world.job(&job.id).await;
    assert_eq!(queued.status, JobStatus::Queued);
    assert_eq!(queued.trainyard.progress.queue_position, Some(1));
    assert!(queued.trainyard.progress.waiting_reason.is_some());

    let run = world.started().await;
    assert_eq!(run.claim.lease.job, job.id);
    assert_eq!((run.claim.lease.epoch, &run.claim.checkpoint), (1, &None));
    assert_eq!(run.claim.training_file.filename, "lines.jsonl");
    let input = world.objects.size(&run.claim.training_file.key).await.unwrap();
    assert_eq!(input, LINES.len() as u64);
    assert_eq!(run.beat(3).await.unwrap(), Directive::Continue);
    let step = NewEvent {
        level: EventLevel::Info,
        kind: trainyard_openapi::event::EventKind::Metrics,
        message: "Step 4/10: training loss=0.50".into(),
        data: json!({"step": 4}).as_object().unwrap().clone(),
    };
    scheduler.report(run.lease(), &progress(4), 0, vec![step]).await.unwrap();
    run.checkpoint(4).await.unwrap();
    let running = world.job(&job.id).await;
    assert_eq!(running.status, JobStatus::Running);
    assert_eq!(running.trainyard.progress.step, 4);
    assert_eq!(running.estimated_finish, Some(world.now_ms() / 1000 + 7));

    run.complete().await.unwrap();
    let done = world.job(&job.id).await;
    assert_eq!(done.status, JobStatus::Succeeded);
    let model = done.fine_tuned_model.clone().unwrap();
    assert!(model.starts_with("ft:tiny:") && model.contains(":mine:"), "{model}");
    assert_eq!((done.trained_tokens, done.finished_at), (Some(1234), Some(world.now_ms() / 1000)));
    assert_eq!(done.trainyard.result.unwrap().steps, 10);

    let csv = &done.result_files[0];
    assert_eq!(scheduler.file(ctx, csv).await.unwrap().purpose, Purpose::FineTuneResults);
    let (record, content) = scheduler.read_file(ctx, csv).await.unwrap();
    let content: Vec<bytes::Bytes> = content.try_collect().await.unwrap();
    assert_eq!(content.concat(), b"step,train_loss\n1,0.5\n");
    assert_eq!(record.bytes, 22);
    let artifacts = scheduler.artifacts(ctx, &model).await.unwrap();
    let names: Vec<&str> = artifacts.data.iter().map(|artifact| artifact.name.as_str()).collect();
    assert_eq!(
        names,
        ["adapter_config.json", "adapter_model.safetensors", "manifest.json", "metrics.csv"]
    );
    assert_eq!(
        world.messages(&job.id).await,
        [
            format!("Created fine-tuning job: {}", job.id),
            format!("Validating training file: {}", job.training_file),
            "Files validated, moving job to queued state".into(),
            "Fine-tuning job started".into(),
            "Step 4/10: training loss=0.50".into(),
            "Checkpoint created at step 4".into(),
            format!("New fine-tuned model created: {model}"),
            "The job has successfully completed".into(),
        ]
    );
    let checkpoints = scheduler.checkpoints(ctx, &job.id, &page()).await.unwrap();
    let name = &checkpoints.data[0].fine_tuned_model_checkpoint;
    assert_eq!(*name, format!("{model}:ckpt-step-4"));
    assert_eq!(scheduler.artifacts(ctx, name).await.unwrap().data.len(), 4);
    let (artifact, content) =
        scheduler.artifact(ctx, name, "adapter_model.safetensors").await.unwrap();
    let content: Vec<bytes::Bytes> = content.try_collect().await.unwrap();
    assert_eq!(content.concat().len() as u64, artifact.bytes);
    for path in ["../manifest.json", "nothing", "", "/etc/passwd"] {
        let answer = scheduler.artifact(ctx, &model, path).await.map(|_| ());
        assert_eq!(code(answer), ErrorCode::NotFound, "{path}");
    }
}

#[tokio::test]
async fn files_are_read_before_a_job_is_queued() {
    let world = World::new(1).await;
    let bad = "{\"prompt\": \"a\", \"completion\": \"b\"}\n{\"prompt\": 5}\nnot json\n";
    let (good, bad) = (world.upload(&world.ctx, LINES).await, world.upload(&world.ctx, bad).await);
    let empty = world.upload(&world.ctx, "").await;
    let cases = [
        (request(&bad, json!({})), "training_file", "line 2", 2),
        (request(&good, json!({"validation_file": bad})), "validation_file", "line 2", 2),
        (request(&empty, json!({})), "training_file", "the file is empty", 1),
    ];
    for (request, param, place, count) in cases {
        let id = world.scheduler.submit(&world.ctx, request, None).await.unwrap().id;
        world.tick().await;
        let job = world.job(&id).await;
        assert_eq!(job.status, JobStatus::Failed);
        let error = job.error.unwrap();
        assert_eq!(error.code.as_str(), format!("invalid_{param}"));
        assert_eq!(error.param.as_deref(), Some(param));
        assert!(error.message.contains("lines.jsonl"), "{}", error.message);
        assert!(error.message.contains(place), "{}", error.message);
        let events = world.events(&id).await;
        let listed = events.iter().find(|event| event.data.contains_key("errors")).unwrap();
        assert_eq!(listed.level, EventLevel::Error);
        assert_eq!(listed.data["errors"].as_array().unwrap().len(), count);
        assert_eq!(listed.data["error_count"], json!(count));
    }
    assert_eq!(world.ticket().await, None);
}

#[tokio::test]
async fn a_file_that_cannot_be_read_holds_up_no_other_job() {
    let world = World::new(2).await;
    let broken = world.submit().await;
    let fine = world.submit().await;
    let key = format!("files/{}", world.record(&broken).await.training_file);
    // As after a disk fault: the name is there, the content cannot be read.
    let path = world.objects_dir().join(key);
    std::fs::remove_file(&path).unwrap();
    std::os::unix::fs::symlink(&path, &path).unwrap();
    let pass = world.scheduler.tick().await;
    assert!(pass.is_err(), "the fault is told");
    assert_eq!(world.status(&broken).await, JobStatus::ValidatingFiles);
    assert_eq!(world.status(&fine).await, JobStatus::Queued);
    std::fs::remove_file(&path).unwrap();
    std::fs::write(&path, LINES).unwrap();
    world.tick().await;
    assert_eq!(world.status(&broken).await, JobStatus::Queued, "it is tried again");
}

#[tokio::test]
async fn requests_are_refused_by_field() {
    let world = World::new(1).await;
    let file = world.upload(&world.ctx, LINES).await;
    let cases = [
        (json!({"model": "no-such"}), ErrorCode::ModelNotFound, "model"),
        (json!({"model": "../tiny"}), ErrorCode::ModelNotFound, "model"),
        (json!({"training_file": "file-nothing"}), ErrorCode::InvalidFile, "training_file"),
        (json!({"validation_file": "../x"}), ErrorCode::InvalidFile, "validation_file"),
        (json!({"seed": 2_147_483_648_u64}), ErrorCode::InvalidValue, "seed"),
    ];
    for (extra, code, param) in cases {
        let answer = world.scheduler.submit(&world.ctx, request(&file, extra), None).await;
        let error = refusal(answer);
        assert_eq!((error.code, error.param.as_deref()), (code, Some(param)), "{error:?}");
    }
    let none = world.scheduler.jobs(&world.ctx, &Default::default(), &page()).await.unwrap();
    assert_eq!(none.data, vec![], "nothing was stored");
}

#[tokio::test]
async fn a_pool_may_have_another_name() {
    let config = trainyard_scheduler::SchedulerConfig {
        devices: trainyard_scheduler::Devices::of("gpu", 1),
        ..crate::world::config(1)
    };
    let world = World::with(config).await;
    let id = world.submit().await;
    world.tick().await;
    assert_eq!(world.record(&id).await.plan.resources.pool, "gpu");
    let mut consumer = world.queue.consume("gpu").await.unwrap();
    assert_eq!(consumer.next().await.unwrap().unwrap().job, id);
}

#[tokio::test]
async fn uploads_are_counted_and_leave_nothing_when_dropped() {
    let world = World::new(1).await;
    let (scheduler, ctx) = (&world.scheduler, &world.ctx);
    let id = world.upload(ctx, LINES).await;
    let record = world.store.file(ctx.tenant(), &id).await.unwrap().unwrap();
    assert_eq!((record.bytes, record.lines), (LINES.len() as u64, 3));
    assert_eq!(record.sha256, hex::encode(<sha2::Sha256 as sha2::Digest>::digest(LINES)));
    let mut dropped = scheduler.begin_upload(ctx, "a", Purpose::FineTune).await.unwrap();
    dropped.write(bytes::Bytes::from_static(b"half")).await.unwrap();
    drop(dropped);
    assert_eq!(world.objects.list("files").await.unwrap(), [format!("files/{id}")]);
    for (name, purpose) in [
        ("", Purpose::FineTune),
        ("a/b", Purpose::FineTune),
        ("..", Purpose::FineTune),
        ("a\u{202e}b", Purpose::FineTune),
        ("a.csv", Purpose::FineTuneResults),
    ] {
        assert!(scheduler.begin_upload(ctx, name, purpose).await.is_err(), "{name:?}");
    }
    assert!(scheduler.delete_file(ctx, &id).await.unwrap().deleted);
    assert_eq!(world.objects.list("files").await.unwrap(), Vec::<String>::new());
    assert_eq!(code(scheduler.file(ctx, &id).await), ErrorCode::FileNotFound);
}

#[tokio::test]
async fn files_in_use_stay() {
    let world = World::new(1).await;
    let id = world.submit().await;
    let file = world.record(&id).await.training_file;
    for _ in 0..3 {
        assert_eq!(code(world.scheduler.delete_file(&world.ctx, &file).await), ErrorCode::InUse);
        world.tick().await;
    }
    world.scheduler.cancel(&world.ctx, &id).await.unwrap();
    world.scheduler.delete_file(&world.ctx, &file).await.unwrap();
}

#[tokio::test]
async fn what_nothing_names_is_removed() {
    let world = World::new(1).await;
    let (scheduler, ctx) = (&world.scheduler, &world.ctx);
    let keep = json!({"trainyard": {"checkpoint": {"keep": 2}}});
    let id = world.submit_for(ctx, keep).await;
    let first = world.started().await;
    for step in [2, 4, 6] {
        first.checkpoint(step).await.unwrap();
    }
    let directories = async |world: &World| {
        let mut directories: Vec<String> = world.objects.list(&format!("jobs/{id}")).await.unwrap();
        directories.retain(|key| key.ends_with("/manifest.json"));
        directories
            .iter()
            .map(|key| key.rsplit('/').nth(1).unwrap().to_string())
            .collect::<Vec<_>>()
    };
    assert_eq!(directories(&world).await, ["step-000004", "step-000006"]);
    // Uploaded, but the run is lost before it could be handed over.
    first.upload("step-000008", 8).await;
    world.pass(100).await;
    let second = world.started().await;
    assert_eq!(second.claim.checkpoint.as_ref().unwrap().step, 6);
    assert_eq!(directories(&world).await, ["step-000004", "step-000006"], "the orphan is gone");
    second.upload("step-000007", 7).await;
    second.checkpoint(8).await.unwrap();
    let waiting = directories(&world).await;
    assert_eq!(waiting, ["step-000006", "step-000007", "step-000008"], "a run may still hand over");
    second.complete().await.unwrap();
    assert_eq!(directories(&world).await, ["step-000006", "adapter", "step-000008"]);

    let job = world.job(&id).await;
    let (model, csv) = (job.fine_tuned_model.unwrap(), job.result_files[0].clone());
    let checkpoints = scheduler.checkpoints(ctx, &id, &page()).await.unwrap().data;
    let name = &checkpoints[0].fine_tuned_model_checkpoint;
    scheduler.delete_model(ctx, name).await.unwrap();
    assert_eq!(code(scheduler.artifacts(ctx, name).await), ErrorCode::ModelNotFound);
    assert_eq!(directories(&world).await, ["step-000006", "adapter"]);
    scheduler.delete_model(ctx, &model).await.unwrap();
    assert_eq!(code(scheduler.model(ctx, &model).await), ErrorCode::ModelNotFound);
    assert_eq!(directories(&world).await, ["step-000006"]);
    scheduler.read_file(ctx, &csv).await.map(|_| ()).expect("the result file is a file of its own");
    scheduler.delete_file(ctx, &csv).await.unwrap();
    scheduler.delete_model(ctx, &checkpoints[1].fine_tuned_model_checkpoint).await.unwrap();
    assert_eq!(world.objects.list(&format!("jobs/{id}")).await.unwrap(), Vec::<String>::new());
    assert_eq!(code(scheduler.delete_model(ctx, "tiny").await), ErrorCode::InsufficientScope);
}

#[tokio::test]
async fn a_result_file_may_go_first() {
    let world = World::new(1).await;
    let id = world.submit().await;
    world.started().await.complete().await.unwrap();
    let job = world.job(&id).await;
    let model = job.fine_tuned_model.unwrap();
    world.scheduler.delete_file(&world.ctx, &job.result_files[0]).await.unwrap();
    let csv = world.scheduler.artifact(&world.ctx, &model, "metrics.csv").await;
    assert!(csv.is_ok(), "it is one of the model's files too");
    drop(csv);
    world.scheduler.delete_model(&world.ctx, &model).await.unwrap();
    assert_eq!(world.objects.list(&format!("jobs/{id}")).await.unwrap(), Vec::<String>::new());
}

#[tokio::test]
async fn a_checkpoint_of_a_live_job_stays() {
    let world = World::new(1).await;
    let id = world.submit().await;
    world.started().await.checkpoint(3).await.unwrap();
    let page = world.scheduler.checkpoints(&world.ctx, &id, &page()).await.unwrap();
    let name = &page.data[0].fine_tuned_model_checkpoint;
    assert_eq!(code(world.scheduler.delete_model(&world.ctx, name).await), ErrorCode::InUse);
}

//! A file goes with all that came of it, whatever happens meanwhile, and nothing of it is left on the disk.

use std::future::poll_fn;
use std::path::Path;
use std::pin::pin;
use std::task::Poll;

use serde_json::json;
use trainyard_openapi::erasure::{DeletedFile, ErasureReceipt, ErasureStatus, KeptKind};
use trainyard_openapi::error::ErrorCode;
use trainyard_openapi::file::Purpose;
use trainyard_openapi::id::{FileId, JobId};
use trainyard_openapi::job::JobStatus;
use trainyard_openapi::tenant::Scope;
use trainyard_openapi::upload::{CompleteUpload, CreateUpload};
use trainyard_scheduler::TenantContext;
use trainyard_scheduler::key::ApiKey;
use trainyard_scheduler::port::document::{Change, Kind};
use trainyard_scheduler::port::store::Commit;
use trainyard_scheduler::request::{Answer, Body};
use trainyard_scheduler::scheduler::Reserved;
use trainyard_scheduler::tenant::KeyRecord;

use crate::world::{LINES, World, code, request};

/// A word that stands in the data and nowhere else.
const CANARY: &str = "canary-7f3a91c2e5d80b46";

/// What a file was made of it: one job succeeded, one failed on a line of it.
struct Trained {
    file: FileId,
    done: JobId,
    failed: JobId,
    model: String,
}

/// A file that begins well and has a line that every error message quotes.
fn bad_lines() -> String {
    format!("{}\n{{\"messages\": [{{\"role\": \"{CANARY}\", \"content\": \"x\"}}]}}\n", LINES)
}

/// Trains on a file with the canary, measures with it, and fails on it.
async fn trained(world: &World) -> Trained {
    let line = format!("{{\"prompt\": \"a\", \"completion\": \"{CANARY}\"}}\n");
    let file = world.upload(&world.ctx, &line).await;
    let extra = json!({"validation_file": file});
    let created = world.scheduler.submit(&world.ctx, request(&file, extra), None).await.unwrap();
    let run = world.started().await;
    run.checkpoint(2).await.unwrap();
    run.complete().await.unwrap();
    // A file that no record names: an upload that came too late.
    run.put(&format!("{}/step-000009/half", run.prefix()), CANARY.as_bytes()).await;
    // Another file is trained on, and measured with the one that is bad: this very file cannot be both.
    let bad = world.upload(&world.ctx, &bad_lines()).await;
    let extra = json!({"validation_file": file});
    let failed = world.scheduler.submit(&world.ctx, request(&bad, extra), None).await.unwrap();
    world.tick().await;
    let job = world.job(&failed.id).await;
    assert_eq!(job.status, JobStatus::Failed);
    assert!(job.error.unwrap().message.contains(CANARY), "messages quote lines");
    let model = world.job(&created.id).await.fine_tuned_model.unwrap();
    let erased = world.scheduler.erase_file(&world.ctx, &bad).await.unwrap();
    assert_eq!(erased.trainyard.trained.jobs, vec![failed.id.clone()]);
    Trained { file, done: created.id, failed: failed.id, model }
}

fn receipt(deleted: DeletedFile) -> ErasureReceipt {
    deleted.trainyard.erasure.expect("a receipt")
}

/// Every file below `directory` that holds the canary.
fn holding(directory: &Path) -> Vec<String> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(holding(&path));
        } else {
            let bytes = std::fs::read(&path).unwrap();
            if bytes.windows(CANARY.len()).any(|part| part == CANARY.as_bytes()) {
                found.push(path.display().to_string());
            }
        }
    }
    found
}

/// Nothing is left of it but what the receipt says.
async fn gone(world: &World, of: &Trained, name: &str) {
    let (scheduler, ctx) = (&world.scheduler, &world.ctx);
    assert_eq!(holding(world.dir()), Vec::<String>::new(), "{name}");
    assert_eq!(world.objects.list("jobs").await.unwrap(), Vec::<String>::new(), "{name}");
    assert_eq!(code(scheduler.file(ctx, &of.file).await), ErrorCode::FileNotFound, "{name}");
    assert_eq!(code(scheduler.model(ctx, &of.model).await), ErrorCode::ModelNotFound, "{name}");
    let job = world.job(&of.done).await;
    assert_eq!(job.status, JobStatus::Succeeded, "{name}: it stays listed");
    assert_eq!(job.fine_tuned_model.as_ref(), Some(&of.model));
    assert!(job.trainyard.erased.is_some(), "{name}");
    assert_eq!(
        code(scheduler.file(ctx, &job.result_files[0]).await),
        ErrorCode::FileNotFound,
        "{name}"
    );
    assert!(world.store.all_checkpoints(&of.done).await.unwrap().is_empty(), "{name}");
    let events = world.messages(&of.done).await;
    assert!(events.len() == 1 && events[0].contains("erased"), "{name}: {events:?}");
    let lineage = scheduler.lineage(ctx, &of.file).await.unwrap();
    assert!(lineage.models.is_empty() && lineage.checkpoints.is_empty(), "{name}");
    assert!(lineage.jobs.iter().all(|job| job.erasure_id.is_some()), "{name}: {lineage:?}");
}

#[tokio::test]
async fn a_file_goes_with_all_that_came_of_it() {
    let world = World::on_disk(1).await;
    let of = trained(&world).await;
    assert!(!holding(world.dir()).is_empty(), "the scan finds what is there");
    let lineage = world.scheduler.lineage(&world.ctx, &of.file).await.unwrap();
    let jobs: Vec<_> =
        lineage.jobs.iter().map(|job| (&job.id, job.trained, job.validated)).collect();
    assert_eq!(jobs, [(&of.failed, false, true), (&of.done, true, true)]);
    assert_eq!(lineage.models[0].id, of.model);
    assert_eq!((lineage.checkpoints.len(), lineage.result_files.len()), (1, 1));

    let deleted = world.scheduler.erase_file(&world.ctx, &of.file).await.unwrap();
    assert!(deleted.deleted && deleted.id == of.file && deleted.object == "file");
    assert_eq!(deleted.trainyard.trained.models, vec![of.model.clone()]);
    assert_eq!(deleted.trainyard.trained.checkpoints, [lineage.checkpoints[0].model.clone()]);
    let receipt = receipt(deleted);
    assert_eq!(receipt.status, ErasureStatus::Completed);
    for (kind, count) in
        [("file", 1), ("model", 1), ("checkpoint", 1), ("result_file", 1), ("object", 1)]
    {
        assert_eq!(receipt.counts.get(kind), Some(&count), "{kind}: {:?}", receipt.counts);
    }
    assert!(receipt.counts["events"] > 3);
    assert!(receipt.removed.iter().all(|one| one.sha256.as_ref().is_some_and(|h| h.len() == 64)));
    let kept = |kind| receipt.kept.iter().filter(move |kept| kept.kind == kind).count();
    assert_eq!((kept(KeptKind::JobRecord), kept(KeptKind::Backups)), (1, 1));
    gone(&world, &of, "erased").await;
    let job = world.job(&of.failed).await;
    assert!(!job.error.unwrap().message.contains(CANARY));

    let again = self::receipt(world.scheduler.erase_file(&world.ctx, &of.file).await.unwrap());
    assert_eq!(again, receipt, "a repeat answers the same");
    assert_eq!(world.scheduler.erasure(&world.ctx, &receipt.id).await.unwrap(), receipt);
    let log = world.store.audit(world.ctx.tenant(), 0, 99).await.unwrap();
    let told = |action: &str| log.iter().filter(|r| r.entry.action == action).count();
    assert_eq!((told("file.erased"), told("erasure.completed")), (2, 2));

    // A run that knew of nothing brings a file: the sweep takes it as long as one may come.
    let late = format!("jobs/{}/e9-late/half", of.done);
    world.objects.create(&late).await.unwrap().finish().await.unwrap();
    world.pass(1).await;
    gone(&world, &of, "swept").await;
    world.pass(3_601).await;
    world.objects.create(&late).await.unwrap().finish().await.unwrap();
    world.pass(1).await;
    assert_eq!(world.objects.list("jobs").await.unwrap(), [late], "the look has an end");
    let world = world.reopened().await;
    assert_eq!(holding(world.dir()), Vec::<String>::new(), "after a restart");
}

/// Runs `work` until it has waited so often, then drops it, as a process that dies does. `None` where it was dropped.
pub(crate) async fn dies_after<F: Future>(waits: usize, work: F) -> Option<F::Output> {
    let (mut work, mut left) = (pin!(work), waits);
    poll_fn(|context| match work.as_mut().poll(context) {
        Poll::Ready(output) => Poll::Ready(Some(output)),
        Poll::Pending if left == 0 => Poll::Ready(None),
        Poll::Pending => {
            left -= 1;
            Poll::Pending
        }
    })
    .await
}

#[tokio::test]
async fn it_converges_after_a_crash_at_any_point() {
    let (mut waits, mut half_way) = (0, 0);
    loop {
        let world = World::on_disk(1).await;
        let of = trained(&world).await;
        let ended = dies_after(waits, world.scheduler.erase_file(&world.ctx, &of.file)).await;
        let world = world.reopened().await;
        let name = format!("died after {waits} waits");
        let begun = world.scheduler.file(&world.ctx, &of.file).await.is_err();
        if !begun {
            let model = world.scheduler.model(&world.ctx, &of.model).await;
            assert!(model.is_ok(), "{name}: nothing is taken before it is written down");
        }
        half_way += usize::from(begun && ended.is_none());
        // Every other time nobody asks again: the sweep goes on with it.
        if begun && waits % 2 == 0 {
            world.tick().await;
            gone(&world, &of, &name).await;
        }
        let receipt = receipt(world.scheduler.erase_file(&world.ctx, &of.file).await.unwrap());
        assert_eq!(receipt.status, ErasureStatus::Completed, "{name}");
        for (kind, count) in
            [("file", 1), ("model", 1), ("checkpoint", 1), ("result_file", 1), ("object", 1)]
        {
            assert_eq!(
                receipt.counts.get(kind),
                Some(&count),
                "{name}: {kind}: {:?}",
                receipt.counts
            );
        }
        gone(&world, &of, &name).await;
        let log = world.store.audit(world.ctx.tenant(), 0, 99).await.unwrap();
        let told = |action: &str| log.iter().filter(|r| r.entry.action == action).count();
        assert_eq!((told("file.erased"), told("erasure.completed")), (2, 2), "{name}");
        if ended.is_some() {
            assert!(half_way > 10, "only {half_way} of {waits} fell inside");
            return;
        }
        waits += 1;
    }
}

#[tokio::test]
async fn what_is_under_way_is_waited_for_and_taken_too() {
    let world = World::on_disk(1).await;
    let (scheduler, ctx) = (&world.scheduler, &world.ctx);
    let new = CreateUpload {
        filename: "a.jsonl".into(),
        purpose: "fine-tune".into(),
        bytes: LINES.len() as u64,
        mime_type: "text/jsonl".into(),
        expires_after: None,
    };
    let upload = scheduler.create_upload(ctx, &new).await.unwrap();
    let mut part = scheduler.begin_part(ctx, &upload.id).await.unwrap();
    part.write(LINES.into()).await.unwrap();
    let part = part.finish().await.unwrap();
    let complete = CompleteUpload { part_ids: vec![part.id.to_string()], md5: None };
    let file =
        scheduler.complete_upload(ctx, &upload.id, &complete).await.unwrap().file.unwrap().id;
    let reserve = async |key: &str| match scheduler.reserve(ctx, key, "a").await.unwrap() {
        Reserved::Run(reservation) => reservation,
        Reserved::Answered(_) => panic!("answered before"),
    };
    let answer = |text: String| Answer {
        status: 200,
        body: Body::Json(text),
        scope: Scope::JobsRead,
        streamed_sha256: None,
    };
    let (before, slow, other) =
        (reserve("before").await, reserve("slow").await, reserve("c").await);
    scheduler.keep_answer(before, answer(format!("{{\"id\": \"{file}\"}}"))).await.unwrap();
    scheduler
        .keep_answer(other, answer("{\"id\": \"file-of-another\"}".to_string()))
        .await
        .unwrap();

    let deleted = scheduler.erase_file(ctx, &file).await.unwrap();
    assert_eq!(receipt(deleted).status, ErasureStatus::InProgress, "an answer may still come");
    assert_eq!(code(scheduler.file(ctx, &file).await), ErrorCode::FileNotFound);
    // A request that had seen the file before makes its job now.
    let sample = world.upload(ctx, LINES).await;
    let id = scheduler.submit(ctx, request(&sample, json!({})), None).await.unwrap().id;
    scheduler.cancel(ctx, &id).await.unwrap();
    let mut late = Commit::of(world.record(&id).await);
    (late.job.id, late.job.training_file) = (JobId::generate().unwrap(), file.clone());
    (late.job.rev, late.expected_rev) = (1, 0);
    late.job.state = trainyard_scheduler::job::JobState::new();
    let late_id = late.job.id.clone();
    world.store.commit(late).await.unwrap();
    scheduler
        .keep_answer(slow, answer(format!("{{\"training_file\": \"{file}\"}}")))
        .await
        .unwrap();
    world.tick().await;

    let receipt = receipt(scheduler.erase_file(ctx, &file).await.unwrap());
    assert_eq!(receipt.status, ErasureStatus::Completed);
    assert_eq!((receipt.counts["answer"], receipt.counts["upload"]), (2, 1));
    let job = world.job(&late_id).await;
    assert_eq!(job.status, JobStatus::Failed, "nothing can be read any more");
    assert_eq!(job.trainyard.erased.unwrap().id, receipt.id);
    assert_eq!(world.store.document_count(Kind::Upload).await.unwrap(), 0);
    for key in ["before", "slow"] {
        match scheduler.reserve(ctx, key, "a").await.unwrap() {
            Reserved::Answered(answer) => assert_eq!(answer.body, Body::Erased, "{key}"),
            Reserved::Run(_) => panic!("{key}: it would be carried out again"),
        }
    }
    let Reserved::Answered(kept) = scheduler.reserve(ctx, "c", "a").await.unwrap() else {
        panic!("forgotten")
    };
    assert!(matches!(kept.body, Body::Json(_)));
}

/// A caller of the same tenant whose key may do this alone.
async fn with_scopes(world: &World, scopes: &[Scope]) -> TenantContext {
    let key = ApiKey::generate().unwrap();
    let record = KeyRecord::new(&key, world.ctx.tenant(), "few", scopes.to_vec(), 0);
    world.store.apply(&Change::none().put(&record, 1).unwrap()).await.unwrap();
    world.scheduler.authenticate(&key.reveal()).await.unwrap()
}

#[tokio::test]
async fn refusals_leave_everything() {
    let world = World::new(1).await;
    let (scheduler, ctx) = (&world.scheduler, &world.ctx);
    let id = world.submit().await;
    let file = world.record(&id).await.training_file;
    assert_eq!(code(scheduler.erase_file(ctx, &file).await), ErrorCode::InUse);
    world.started().await.complete().await.unwrap();
    let stranger = world.stranger().await;
    assert_eq!(code(scheduler.erase_file(&stranger, &file).await), ErrorCode::FileNotFound);
    assert_eq!(code(scheduler.lineage(&stranger, &file).await), ErrorCode::FileNotFound);
    let few = with_scopes(&world, &[Scope::FilesWrite]).await;
    assert_eq!(code(scheduler.erase_file(&few, &file).await), ErrorCode::InsufficientScope);
    let nobody = FileId::generate().unwrap();
    assert_eq!(code(scheduler.erase_file(ctx, &nobody).await), ErrorCode::FileNotFound);
    let job = world.job(&id).await;
    let result = scheduler.erase_file(ctx, &job.result_files[0]).await;
    assert_eq!(code(result), ErrorCode::InvalidPurpose);
    assert!(scheduler.model(ctx, job.fine_tuned_model.as_ref().unwrap()).await.is_ok());

    let twin = world.upload(ctx, LINES).await;
    assert!(scheduler.lineage(ctx, &file).await.unwrap().same_content.contains(&twin));
    assert_eq!(scheduler.lineage(ctx, &twin).await.unwrap().jobs, []);
    // Deleted first, erased later: what came of it is still known.
    let deleted = scheduler.delete_file(ctx, &file).await.unwrap();
    assert_eq!(deleted.trainyard.trained.models, vec![job.fine_tuned_model.clone().unwrap()]);
    assert_eq!(deleted.trainyard.erasure, None);
    assert!(scheduler.model(ctx, job.fine_tuned_model.as_ref().unwrap()).await.is_ok());
    let erased = receipt(scheduler.erase_file(ctx, &file).await.unwrap());
    assert_eq!((erased.counts.get("file"), erased.counts.get("model")), (None, Some(&1)));
    assert_eq!(code(scheduler.erasure(&stranger, &erased.id).await), ErrorCode::NotFound);
    let twin = receipt(scheduler.erase_file(ctx, &twin).await.unwrap());
    assert_eq!(twin.counts.get("file"), Some(&1));
    let purpose = Purpose::FineTune;
    assert!(scheduler.begin_upload(ctx, "a.jsonl", purpose).await.is_ok(), "life goes on");
}

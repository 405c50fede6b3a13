//! What time alone removes.

use serde_json::json;
use trainyard_openapi::error::ErrorCode;
use trainyard_openapi::file::Purpose;
use trainyard_openapi::upload::{CreateUpload, UploadStatus};
use trainyard_scheduler::port::document::Kind;

use crate::world::{LINES, World, code};

/// Seconds.
const HOUR: i64 = 3_600;

#[tokio::test]
async fn a_file_expires_when_no_job_reads_it() {
    let world = World::on_disk(1).await;
    let mut ids = Vec::new();
    for _ in 0..2 {
        let mut upload =
            world.scheduler.begin_upload(&world.ctx, "a.jsonl", Purpose::FineTune).await.unwrap();
        upload.write(LINES.into()).await.unwrap();
        upload.expire_after(HOUR * 1000);
        let file = upload.finish().await.unwrap();
        assert_eq!(file.expires_at, Some(file.created_at + 3600));
        ids.push(file.id);
    }
    let body = json!({"model": "tiny", "training_file": ids[0]});
    let body = trainyard_openapi::body::parse(body.to_string().as_bytes()).unwrap();
    let request: trainyard_openapi::job::CreateJob = body;
    let job = world.scheduler.submit(&world.ctx, request.clone(), None).await.unwrap();
    world.scheduler.pause(&world.ctx, &job.id).await.unwrap();
    world.clock.advance_seconds(HOUR - 1);
    world.scheduler.tick().await.unwrap();
    assert!(world.scheduler.file(&world.ctx, &ids[1]).await.is_ok(), "not yet");
    world.clock.advance_seconds(1);
    let late = world.scheduler.submit(&world.ctx, request, None).await;
    assert_eq!(code(late), ErrorCode::InvalidFile, "its time has come");
    world.scheduler.tick().await.unwrap();
    assert!(world.scheduler.file(&world.ctx, &ids[0]).await.is_ok(), "the job reads it");
    assert_eq!(code(world.scheduler.file(&world.ctx, &ids[1]).await), ErrorCode::FileNotFound);
    world.scheduler.cancel(&world.ctx, &job.id).await.unwrap();
    world.scheduler.tick().await.unwrap();
    assert_eq!(code(world.scheduler.file(&world.ctx, &ids[0]).await), ErrorCode::FileNotFound);
    assert_eq!(world.objects.list("files").await.unwrap(), Vec::<String>::new());
    let log = world.store.audit(world.ctx.tenant(), 0, 99).await.unwrap();
    let expired: Vec<_> = log.iter().filter(|r| r.entry.action == "file.expired").collect();
    assert_eq!(expired.len(), 2);
    assert!(expired.iter().all(|record| record.entry.actor == "system"));
}

#[tokio::test]
async fn an_upload_that_nobody_completes_goes_with_its_parts() {
    let world = World::on_disk(1).await;
    let new = CreateUpload {
        filename: "a.jsonl".into(),
        purpose: "fine-tune".into(),
        bytes: 3,
        mime_type: "text/jsonl".into(),
        expires_after: None,
    };
    let upload = world.scheduler.create_upload(&world.ctx, &new).await.unwrap();
    let mut part = world.scheduler.begin_part(&world.ctx, &upload.id).await.unwrap();
    part.write("abc".into()).await.unwrap();
    part.finish().await.unwrap();
    let late = world.scheduler.begin_part(&world.ctx, &upload.id).await.unwrap();
    assert_eq!(world.objects.list("uploads").await.unwrap().len(), 1);
    world.clock.advance_seconds(HOUR);
    let seen = world.scheduler.upload(&world.ctx, &upload.id).await.unwrap();
    assert_eq!(seen.status, UploadStatus::Expired, "before anybody swept");
    let mut late = late;
    late.write("abc".into()).await.unwrap();
    assert_eq!(code(late.finish().await), ErrorCode::InvalidState);
    world.scheduler.tick().await.unwrap();
    assert_eq!(world.objects.list("uploads").await.unwrap(), Vec::<String>::new());
    assert_eq!(world.store.document_count(Kind::UploadPart).await.unwrap(), 0);
    assert_eq!(world.store.document_count(Kind::Upload).await.unwrap(), 1, "it can be asked for");
    world.clock.advance_seconds(24 * HOUR);
    world.scheduler.tick().await.unwrap();
    assert_eq!(world.store.document_count(Kind::Upload).await.unwrap(), 0);
}

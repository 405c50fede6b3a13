//! Jobs of several stages, and jobs that go on from earlier results.

mod erasure;
mod lineage;
mod parent;
mod stages;

use serde_json::{Value, json};
use trainyard_openapi::error::{ApiError, ErrorCode};
use trainyard_openapi::id::{FileId, JobId};
use trainyard_scheduler::error::SchedulerError;

use crate::world::{World, refusal, request};

/// Ten lines that stand in no other file.
pub(super) async fn file(world: &World, word: &str) -> FileId {
    let line = |n: u32| format!("{{\"prompt\": \"{word} {n}\", \"completion\": \"b\"}}\n");
    world.upload(&world.ctx, &(1..=10).map(line).collect::<String>()).await
}

/// A stream of two stages with a held-out file.
pub(super) struct Stream {
    pub(super) training: [FileId; 2],
    pub(super) validation: [FileId; 2],
    pub(super) held_out: FileId,
}

impl Stream {
    pub(super) async fn of(world: &World, word: &str) -> Self {
        let named = |what: &str| format!("{word} {what}");
        Self {
            training: [file(world, &named("t1")).await, file(world, &named("t2")).await],
            validation: [file(world, &named("v1")).await, file(world, &named("v2")).await],
            held_out: file(world, &named("h")).await,
        }
    }

    /// What a request says of it.
    pub(super) fn extra(&self, more: Value) -> Value {
        let stage = |n: usize| {
            let (training, validation) = (&self.training[n], &self.validation[n]);
            let name = if n == 0 { "law" } else { "code" };
            json!({"name": name, "training_file": training, "validation_file": validation})
        };
        let mut continual = json!({"stages": [stage(0), stage(1)], "held_out_file": self.held_out});
        continual.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        json!({"trainyard": {"continual": continual}})
    }

    pub(super) async fn submit(&self, world: &World) -> JobId {
        submit(world, &self.training[0], self.extra(json!({}))).await.unwrap()
    }
}

pub(super) async fn submit(
    world: &World,
    file: &FileId,
    extra: Value,
) -> Result<JobId, SchedulerError> {
    Ok(world.scheduler.submit(&world.ctx, request(file, extra), None).await?.id)
}

/// A job that has succeeded, and its model.
pub(super) async fn made(world: &World, file: &FileId, extra: Value) -> (JobId, String) {
    let id = submit(world, file, extra).await.unwrap();
    world.started().await.complete().await.unwrap();
    let model = world.job(&id).await.fine_tuned_model.unwrap();
    (id, model)
}

/// A refusal that names this field; its text.
#[track_caller]
pub(super) fn refused<T: std::fmt::Debug>(
    answer: Result<T, SchedulerError>,
    code: ErrorCode,
    param: &str,
) -> String {
    let ApiError { code: seen, param: named, message, .. } = refusal(answer);
    assert_eq!((seen, named.as_deref()), (code, Some(param)), "{message}");
    message
}

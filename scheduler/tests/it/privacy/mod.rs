//! Private jobs: what their files' ledgers hold, and what is refused for it.

mod budget;
mod charge;
mod create;
mod ends;

use serde_json::{Value, json};
use trainyard_openapi::file_privacy::{FilePrivacy, SetPrivacyBudget};
use trainyard_openapi::id::{FileId, JobId};
use trainyard_scheduler::SchedulerError;
use trainyard_scheduler::port::control_plane::{ControlPlane, LeaseError, ReservedSteps};

use crate::world::{Run, World, request};

/// Twenty lines: at batches of four, five steps a pass.
fn lines(word: &str) -> String {
    (0..20).map(|number| format!("{{\"text\": \"{word} {number}\"}}\n")).collect()
}

/// A request for ten steps on `file`, private as `privacy` says.
fn private(file: &FileId, privacy: Value) -> Value {
    json!({
        "training_file": file,
        "method": {"type": "supervised", "supervised": {"hyperparameters": {"batch_size": 4, "n_epochs": 2}}},
        "trainyard": {"privacy": privacy},
    })
}

/// What most tests ask for: counted the cheap way.
fn eight() -> Value {
    json!({"target_epsilon": 8.0, "accountant": "rdp"})
}

async fn submit(world: &World, file: &FileId, privacy: Value) -> Result<JobId, SchedulerError> {
    let request = request(file, private(file, privacy));
    Ok(world.scheduler.submit(&world.ctx, request, None).await?.id)
}

async fn reserve(
    run: &Run,
    world: &World,
    from: u64,
    until: u64,
) -> Result<ReservedSteps, LeaseError> {
    world.scheduler.reserve_steps(run.lease(), from, until).await
}

async fn look(world: &World, file: &FileId) -> FilePrivacy {
    world.scheduler.file_privacy(&world.ctx, file).await.unwrap()
}

async fn set_budget(
    world: &World,
    file: &FileId,
    budget: Value,
) -> Result<FilePrivacy, SchedulerError> {
    let new: SetPrivacyBudget = serde_json::from_value(budget).unwrap();
    world.scheduler.set_privacy_budget(&world.ctx, file, &new).await
}

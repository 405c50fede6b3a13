//! What an operator can set of an agent.

use std::path::PathBuf;
use std::time::Duration;

use trainyard_openapi::id::ExecutorId;

/// Settings of an agent.
#[derive(Debug, Clone)]
pub struct AgentConfig {
    /// Its name; a new one each start.
    pub executor: ExecutorId,
    /// The pool whose tickets it takes.
    pub pool: String,
    /// Jobs at once.
    pub slots: u32,
    /// Where work directories are made; what is in them is not kept.
    pub work_dir: PathBuf,
    /// The directory of base models.
    pub models_dir: PathBuf,
    /// The `trainyard-trainer` program.
    pub trainer: PathBuf,
    /// Threads of each trainer; all processors where absent.
    pub threads: Option<u32>,
    /// Time between heartbeats.
    pub heartbeat: Duration,
    /// Time without an answer after which the trainer is held until there is one: well before the lease's end.
    pub self_fence: Duration,
    /// Time that a trainer has to obey before it is killed.
    pub stop_grace: Duration,
    /// The least time without progress after which a trainer that has taken steps is taken to be stuck and is killed; twenty times its
    /// usual step where that is more.
    pub stall: Duration,
    /// The same before the first step of an attempt and while the adapter is written.
    pub stall_start: Duration,
    /// Time between reports: many events share a write.
    pub report_every: Duration,
}

impl AgentConfig {
    /// The same with absolute paths: trainers run in directories of their own, where a relative path would mean another place.
    pub(crate) fn absolute(mut self) -> Self {
        for path in [&mut self.work_dir, &mut self.models_dir, &mut self.trainer] {
            if let Ok(absolute) = std::path::absolute(&*path) {
                *path = absolute;
            }
        }
        self
    }
}

//! Settings of the agent that runs trainers in this process.

use std::path::PathBuf;

use super::ConfigError;
use super::layer::settings;
use super::machine;

settings! {
    /// The agent: how many trainers run at once and what each may use.
    Training from TrainingLayer, "Training";
    fixed {
        /// Jobs that train at the same time; 0 takes jobs and starts none.
        slots: u32 = "1", "TRAINYARD_SLOTS";
        /// Pool whose jobs this machine takes.
        pool: String = "default", "TRAINYARD_POOL";
        /// Seconds between two heartbeats of a run.
        heartbeat_seconds: u64 = "15", "TRAINYARD_HEARTBEAT_SECONDS";
        /// Seconds without an answered heartbeat after which a run stops itself.
        self_fence_seconds: u64 = "45", "TRAINYARD_SELF_FENCE_SECONDS";
        /// Seconds that a trainer has to save a checkpoint and end before it is killed.
        stop_grace_seconds: u64 = "20", "TRAINYARD_STOP_GRACE_SECONDS";
        /// Seconds without progress after which a trainer that has taken steps is ended and tried again; 20 times its median step where that is more.
        stall_seconds: u64 = "60", "TRAINYARD_STALL_SECONDS";
        /// The same before the first step of an attempt and while the adapter is written.
        stall_start_seconds: u64 = "1800", "TRAINYARD_STALL_START_SECONDS";
        /// Milliseconds between two reports of a run's progress.
        report_milliseconds: u64 = "500", "TRAINYARD_REPORT_MILLISECONDS";
    }
    derived {
        /// Threads of each trainer.
        threads: u32 = "cores / slots", "TRAINYARD_THREADS";
        /// Memory that a job is planned for, in MiB.
        memory_per_job_mib: u64 = "the machine's memory / slots", "TRAINYARD_MEMORY_PER_JOB_MIB";
        /// The trainer's executable.
        trainer: PathBuf = "trainyard-trainer beside this executable, then on PATH", "TRAINYARD_TRAINER";
        /// Directory in which trainers work; what is in it may be lost.
        work_dir: PathBuf = "{data-dir}/work", "TRAINYARD_WORK_DIR";
    }
}

impl Training {
    /// Threads of each trainer.
    pub(crate) fn threads(&self) -> u32 {
        let share = machine::cores() / self.slots.max(1);
        self.threads.unwrap_or(share.max(1))
    }

    /// Bytes of memory that a job is planned for.
    pub(crate) fn memory_per_job_bytes(&self) -> Result<u64, ConfigError> {
        match self.memory_per_job_mib {
            Some(mib) => Ok(mib.saturating_mul(1 << 20)),
            None => Ok(machine::memory_bytes()? / u64::from(self.slots.max(1))),
        }
    }

    /// The trainer's executable.
    pub(crate) fn trainer(&self) -> Result<PathBuf, ConfigError> {
        match &self.trainer {
            Some(path) if path.is_file() => Ok(path.clone()),
            Some(path) => Err(ConfigError::TrainerMissing(path.clone())),
            None => machine::executable("trainyard-trainer").ok_or(ConfigError::TrainerNotFound),
        }
    }
}

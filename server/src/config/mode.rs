//! Which of the long-running commands is configured, and what only some of them can use.

use trainyard_scheduler::adapter::without_password;

use super::{Config, ConfigError};

/// Seconds that an executor has to end; what is left then is cut off.
pub(crate) const EXECUTOR_END_SECONDS: u64 = 25;

/// A command that runs until a signal ends it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    /// Everything in one process.
    Serve,
    /// The API, beside other processes on the same record.
    Api,
    /// The loops.
    Scheduler,
    /// The agent.
    Executor,
}

impl Mode {
    /// The command.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Serve => "serve",
            Self::Api => "api",
            Self::Scheduler => "scheduler",
            Self::Executor => "executor",
        }
    }

    /// Whether trainers run in this process.
    pub(super) const fn trains(self) -> bool {
        matches!(self, Self::Serve | Self::Executor)
    }

    /// Whether it works on the record.
    pub(super) const fn has_record(self) -> bool {
        !matches!(self, Self::Executor)
    }

    /// Refuses what one process alone can use where there are several.
    pub(super) fn check(self, config: &Config) -> Result<(), ConfigError> {
        if self == Self::Serve {
            return Ok(());
        }
        let refuse = |reason: String| Err(ConfigError::Conflict(reason));
        let command = self.as_str();
        let store = config.storage.store_url();
        if self.has_record() && !(store.starts_with("redis://") || store.starts_with("rediss://")) {
            return refuse(format!(
                "'store' is '{}': `trainyard {command}` shares its record with other processes; set it to redis://HOST (--store, TRAINYARD_STORE)",
                without_password(&store)
            ));
        }
        let queue = &config.storage.queue;
        if !(queue.starts_with("amqp://") || queue.starts_with("amqps://")) {
            return refuse(format!(
                "'queue' is '{}': `trainyard {command}` shares its queue with other processes; set it to amqp://USER@HOST/VHOST (--queue, TRAINYARD_QUEUE)",
                without_password(queue)
            ));
        }
        if self == Self::Executor {
            let (slots, grace) = (config.training.slots, config.training.stop_grace_seconds);
            if slots == 0 {
                return refuse("'slots' must be at least 1, not 0".to_string());
            }
            if grace >= EXECUTOR_END_SECONDS {
                return refuse(format!(
                    "'stop_grace_seconds' ({grace}) must be below {EXECUTOR_END_SECONDS}: an executor has that long to end"
                ));
            }
        }
        Ok(())
    }
}

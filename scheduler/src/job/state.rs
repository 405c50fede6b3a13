//! The state machine of a job.
//!
//! ```text
//! validating -> queued -> dispatched -> running -> succeeded | failed | cancelled
//!                 ^  ^-------'  (redispatch)  |
//!                 |-------- release, expiry --'        paused <-> queued; paused from validating, queued, running
//! ```
//! Pure: no clock, no store. Nothing else in the project makes a `JobState`.

use serde::{Deserialize, Serialize};
use trainyard_openapi::extension::JobResult;
use trainyard_openapi::id::{ExecutorId, FileId, Nonce};
use trainyard_openapi::job::{JobError, JobStatus};

/// Where a job stands, with what belongs to that.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum JobState {
    /// The files are being read.
    Validating,
    /// Waits for a slot.
    Queued {
        /// Since when, in Unix milliseconds.
        since_ms: i64,
    },
    /// A ticket is out.
    Dispatched {
        /// Since when, in Unix milliseconds.
        since_ms: i64,
    },
    /// An executor has it.
    Running {
        /// The lease.
        lease: Lease,
        /// What the owner or the scheduler wants of the run.
        stop: Option<Stop>,
    },
    /// Held back by its owner.
    Paused {
        /// Whether its files had been found good.
        validated: bool,
    },
    /// Done.
    Succeeded {
        /// When, in Unix milliseconds.
        at_ms: i64,
        /// The model's name.
        model: String,
        /// The result CSV.
        result_file: FileId,
        /// Tokens trained on.
        trained_tokens: u64,
        /// The figures.
        result: Box<JobResult>,
    },
    /// Ended without a model.
    Failed {
        /// When, in Unix milliseconds.
        at_ms: i64,
        /// Why.
        error: JobError,
    },
    /// Ended by its owner.
    Cancelled {
        /// When, in Unix milliseconds.
        at_ms: i64,
    },
}

/// A claim that holds until it expires.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lease {
    /// The claim's number.
    pub epoch: u64,
    /// The claim's random part.
    pub nonce: Nonce,
    /// Who claimed.
    pub executor: ExecutorId,
    /// When the run began, in Unix milliseconds.
    pub since_ms: i64,
    /// When the last heartbeat came, in Unix milliseconds.
    pub seen_ms: i64,
    /// When it expires, in Unix milliseconds.
    pub until_ms: i64,
    /// Events that the run has reported, and that are in the job's history.
    #[serde(default)]
    pub reported: u64,
}

/// What a running job shall do at its next boundary. A later, stronger wish replaces a weaker one: cancel over pause over
/// preempt over budget.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stop {
    /// Its tenant has no accelerator-seconds left.
    Budget,
    /// Make room.
    Preempt,
    /// Be held back.
    Pause,
    /// End.
    Cancel,
}

/// The states that are not the last one, by the words that they are counted under.
pub const LIVE_STATES: [&str; 5] =
    ["validating_files", "queued", "dispatched", "running", "paused"];

/// What is left of an error's message.
const ERASED_MESSAGE: &str = "the message was erased with the data of the job";

impl JobState {
    /// The word on the wire.
    pub const fn status(&self) -> JobStatus {
        match self {
            Self::Validating => JobStatus::ValidatingFiles,
            Self::Queued { .. } | Self::Dispatched { .. } => JobStatus::Queued,
            Self::Running { .. } => JobStatus::Running,
            Self::Paused { .. } => JobStatus::Paused,
            Self::Succeeded { .. } => JobStatus::Succeeded,
            Self::Failed { .. } => JobStatus::Failed,
            Self::Cancelled { .. } => JobStatus::Cancelled,
        }
    }

    /// Its word where it is not the last one, of [`LIVE_STATES`]: what the wire calls queued is two of them.
    pub const fn live_word(&self) -> Option<&'static str> {
        match self {
            Self::Validating => Some("validating_files"),
            Self::Queued { .. } => Some("queued"),
            Self::Dispatched { .. } => Some("dispatched"),
            Self::Running { .. } => Some("running"),
            Self::Paused { .. } => Some("paused"),
            Self::Succeeded { .. } | Self::Failed { .. } | Self::Cancelled { .. } => None,
        }
    }

    /// Whether it takes a slot: an executor has it or is about to take it.
    pub const fn is_busy(&self) -> bool {
        matches!(self, Self::Running { .. } | Self::Dispatched { .. })
    }
}

/// Something that happens to a job.
#[derive(Debug, Clone, PartialEq)]
pub enum Transition {
    /// The files were found good.
    Validated {
        /// Now, in Unix milliseconds.
        now_ms: i64,
    },
    /// A ticket goes out; also once more for one that nobody took.
    Dispatch {
        /// Now, in Unix milliseconds.
        now_ms: i64,
    },
    /// An executor takes the ticket.
    Claim(Lease),
    /// The executor is alive.
    Renew {
        /// Now, in Unix milliseconds.
        now_ms: i64,
        /// The lease's new end, in Unix milliseconds.
        until_ms: i64,
    },
    /// The scheduler wants the slot.
    Preempt,
    /// Its tenant has no accelerator-seconds left: it saves a checkpoint and waits.
    Budget,
    /// The owner holds the job back.
    Pause,
    /// The owner lets the job go on.
    Resume {
        /// Now, in Unix milliseconds.
        now_ms: i64,
    },
    /// The owner ends the job.
    Cancel {
        /// Now, in Unix milliseconds.
        now_ms: i64,
    },
    /// The run, or the ticket, is given back or lost. What the owner asked for meanwhile is done.
    Return {
        /// Now, in Unix milliseconds.
        now_ms: i64,
    },
    /// The run is done. One that its owner has already cancelled is cancelled.
    Succeed {
        /// Now, in Unix milliseconds.
        now_ms: i64,
        /// The model's name.
        model: String,
        /// The result CSV.
        result_file: FileId,
        /// Tokens trained on.
        trained_tokens: u64,
        /// The figures.
        result: Box<JobResult>,
    },
    /// The job cannot succeed any more. One that its owner has already cancelled is cancelled.
    Fail {
        /// Now, in Unix milliseconds.
        now_ms: i64,
        /// Why.
        error: JobError,
    },
    /// What the job made and read is erased. How it ended stays known, in no words that may quote what it read.
    Erase,
}

/// A transition that the state does not allow.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a job that is {state} cannot be {wish}")]
pub struct IllegalTransition {
    /// The state on the wire.
    pub state: &'static str,
    /// What was wanted of it.
    pub wish: &'static str,
}

impl JobState {
    /// The state of a new job.
    pub const fn new() -> Self {
        Self::Validating
    }

    /// The state after `transition`.
    ///
    /// # Errors
    /// Where this state does not allow it; terminal states allow nothing.
    pub fn apply(self, transition: Transition) -> Result<Self, IllegalTransition> {
        use Transition as T;
        let illegal = |wish| Err(IllegalTransition { state: self.status().as_str(), wish });
        match (transition, &self) {
            (T::Validated { now_ms }, Self::Validating) => Ok(Self::Queued { since_ms: now_ms }),
            (T::Validated { .. }, _) => illegal("validated"),

            (T::Dispatch { now_ms }, Self::Queued { .. } | Self::Dispatched { .. }) => {
                Ok(Self::Dispatched { since_ms: now_ms })
            }
            (T::Dispatch { .. }, _) => illegal("dispatched"),

            (T::Claim(lease), Self::Dispatched { .. }) => Ok(Self::Running { lease, stop: None }),
            (T::Claim(_), _) => illegal("claimed"),

            (T::Renew { now_ms, until_ms }, Self::Running { lease, stop }) => {
                let lease = Lease { seen_ms: now_ms, until_ms, ..lease.clone() };
                Ok(Self::Running { lease, stop: *stop })
            }
            (T::Renew { .. }, _) => illegal("renewed"),

            (T::Preempt, Self::Running { lease, stop }) => {
                Ok(Self::asked(lease, *stop, Stop::Preempt))
            }
            (T::Preempt, _) => illegal("preempted"),

            (T::Budget, Self::Running { lease, stop }) => {
                Ok(Self::asked(lease, *stop, Stop::Budget))
            }
            (T::Budget, _) => illegal("held back"),

            (T::Pause, Self::Validating) => Ok(Self::Paused { validated: false }),
            (T::Pause, Self::Queued { .. } | Self::Dispatched { .. }) => {
                Ok(Self::Paused { validated: true })
            }
            (T::Pause, Self::Running { lease, stop }) if *stop != Some(Stop::Cancel) => {
                Ok(Self::asked(lease, *stop, Stop::Pause))
            }
            (T::Pause, Self::Paused { validated }) => Ok(Self::Paused { validated: *validated }),
            (T::Pause, _) => illegal("paused"),

            (T::Resume { .. }, Self::Paused { validated: false }) => Ok(Self::Validating),
            (T::Resume { now_ms }, Self::Paused { validated: true }) => {
                Ok(Self::Queued { since_ms: now_ms })
            }
            // The owner changed their mind before the run noticed.
            (T::Resume { .. }, Self::Running { lease, stop: Some(Stop::Pause) }) => {
                Ok(Self::Running { lease: lease.clone(), stop: None })
            }
            (T::Resume { .. }, _) => illegal("resumed"),

            (
                T::Cancel { now_ms },
                Self::Validating
                | Self::Queued { .. }
                | Self::Dispatched { .. }
                | Self::Paused { .. },
            ) => Ok(Self::Cancelled { at_ms: now_ms }),
            (T::Cancel { .. }, Self::Running { lease, stop }) => {
                Ok(Self::asked(lease, *stop, Stop::Cancel))
            }
            (T::Cancel { .. }, _) => illegal("cancelled"),

            (T::Return { now_ms }, Self::Running { stop: Some(Stop::Cancel), .. }) => {
                Ok(Self::Cancelled { at_ms: now_ms })
            }
            (T::Return { .. }, Self::Running { stop: Some(Stop::Pause), .. }) => {
                Ok(Self::Paused { validated: true })
            }
            (T::Return { now_ms }, Self::Running { .. } | Self::Dispatched { .. }) => {
                Ok(Self::Queued { since_ms: now_ms })
            }
            (T::Return { .. }, _) => illegal("given back"),

            // Who cancelled first has been told so; a result that comes after that is not kept.
            (T::Succeed { now_ms, .. }, Self::Running { stop: Some(Stop::Cancel), .. }) => {
                Ok(Self::Cancelled { at_ms: now_ms })
            }
            (
                T::Succeed { now_ms, model, result_file, trained_tokens, result },
                Self::Running { .. },
            ) => Ok(Self::Succeeded { at_ms: now_ms, model, result_file, trained_tokens, result }),
            (T::Succeed { .. }, _) => illegal("completed"),

            // The same holds for an error: nobody is told of a failure of what they have ended.
            (T::Fail { now_ms, .. }, Self::Running { stop: Some(Stop::Cancel), .. }) => {
                Ok(Self::Cancelled { at_ms: now_ms })
            }
            (T::Fail { now_ms, error }, state) if !state.status().is_terminal() => {
                Ok(Self::Failed { at_ms: now_ms, error })
            }
            (T::Fail { .. }, _) => illegal("failed"),

            (T::Erase, Self::Failed { at_ms, error }) => {
                let message = ERASED_MESSAGE.to_string();
                let error = JobError { code: error.code, message, param: None };
                Ok(Self::Failed { at_ms: *at_ms, error })
            }
            (T::Erase, state) if state.status().is_terminal() => Ok(state.clone()),
            (T::Erase, _) => illegal("erased"),
        }
    }

    /// What the owner asked of a running job and has not got yet.
    pub const fn owners_wish(&self) -> Option<Stop> {
        match self {
            Self::Running { stop: Some(stop @ (Stop::Cancel | Stop::Pause)), .. } => Some(*stop),
            _ => None,
        }
    }

    /// The lease of a running job.
    pub const fn lease(&self) -> Option<&Lease> {
        match self {
            Self::Running { lease, .. } => Some(lease),
            _ => None,
        }
    }

    /// Counts what the run has reported, where it runs.
    pub const fn set_reported(&mut self, reported: u64) {
        if let Self::Running { lease, .. } = self {
            lease.reported = reported;
        }
    }

    fn asked(lease: &Lease, before: Option<Stop>, stop: Stop) -> Self {
        Self::Running {
            lease: lease.clone(),
            stop: Some(before.map_or(stop, |before| before.max(stop))),
        }
    }
}

impl Default for JobState {
    fn default() -> Self {
        Self::new()
    }
}

//! The job in the store, and the scripts that change it.

use std::fmt::Debug;
use std::str::FromStr;

use trainyard_openapi::extension::JobResult;
use trainyard_openapi::job::JobError;
use trainyard_openapi::job_error::JobErrorCode;
use trainyard_scheduler::job::JobState;
use trainyard_scheduler::job::state::{Lease, Stop, Transition};

use crate::Variant;
use crate::world::Run;

/// Claims of one job; who loses the last one loses the job.
pub const EPOCHS: u8 = 3;
/// Steps of a run. Before the last, each ends with a checkpoint.
pub const STEPS: u8 = 2;

/// [`JobState`] without what no script of the protocol looks at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[allow(missing_docs)]
pub enum Phase {
    Validating,
    Queued,
    Dispatched,
    Running { cancel: bool },
    Succeeded,
    Failed,
    Cancelled,
}

/// The record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Record {
    /// Where the job stands.
    pub phase: Phase,
    /// Tickets issued.
    pub seq: u8,
    /// Claims answered.
    pub epoch: u8,
    /// The random part of the last claim.
    pub nonce: u8,
    /// The step that the pointer's checkpoint holds; 0 without one.
    pub checkpoint: u8,
}

/// What an executor is told when it claims.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Claimed {
    /// The job is its own, from this step on.
    Yes {
        /// The claim's number.
        epoch: u8,
        /// The step of the checkpoint.
        step: u8,
    },
    /// The ticket is good for nothing.
    Stale,
}

impl Record {
    /// A new job. Its files were found good: reading them is no part of the protocol.
    pub fn new() -> Self {
        let mut record =
            Self { phase: Phase::Validating, seq: 0, epoch: 0, nonce: 0, checkpoint: 0 };
        record.apply(Transition::Validated { now_ms: 0 });
        record
    }

    /// The product's own state machine decides; whether it allowed the change.
    fn apply(&mut self, transition: Transition) -> bool {
        match self.state().apply(transition) {
            Ok(state) => {
                self.phase = phase(&state);
                true
            }
            Err(_) => false,
        }
    }

    fn state(&self) -> JobState {
        match self.phase {
            Phase::Validating => JobState::new(),
            Phase::Queued => JobState::Queued { since_ms: 0 },
            Phase::Dispatched => JobState::Dispatched { since_ms: 0 },
            Phase::Running { cancel } => {
                JobState::Running { lease: lease(self.epoch), stop: cancel.then_some(Stop::Cancel) }
            }
            // What a terminal state allows does not depend on which it is.
            Phase::Succeeded | Phase::Failed | Phase::Cancelled => JobState::Cancelled { at_ms: 0 },
        }
    }

    /// Whether the job has ended.
    pub fn is_over(&self) -> bool {
        matches!(self.phase, Phase::Succeeded | Phase::Failed | Phase::Cancelled)
    }

    /// Issues a ticket, the first or one more; its number.
    pub fn dispatch(&mut self) -> Option<u8> {
        self.apply(Transition::Dispatch { now_ms: 0 }).then(|| {
            self.seq += 1;
            self.seq
        })
    }

    /// Takes the job by ticket `seq`, or hears once more what `nonce` was told.
    pub fn claim(&mut self, variant: Variant, seq: u8, nonce: u8) -> Claimed {
        let running = matches!(self.phase, Phase::Running { .. });
        if running && self.nonce == nonce {
            return Claimed::Yes { epoch: self.epoch, step: self.checkpoint };
        }
        if running && variant == Variant::ClaimWhileRunning && self.seq == seq {
            self.phase = Phase::Dispatched;
        }
        if self.seq != seq
            || self.epoch == EPOCHS
            || !self.apply(Transition::Claim(lease(self.epoch + 1)))
        {
            return Claimed::Stale;
        }
        self.epoch += 1;
        self.nonce = nonce;
        Claimed::Yes { epoch: self.epoch, step: self.checkpoint }
    }

    /// Whether the fence lets this run write.
    pub fn admits(&self, variant: Variant, run: &Run) -> bool {
        let running = matches!(self.phase, Phase::Running { .. });
        let nonce = variant == Variant::NoNonce || self.nonce == run.nonce;
        variant == Variant::NoFence && !self.is_over()
            || running && self.epoch == run.epoch && nonce
    }

    /// Whether the job is this run's, whatever the fence says.
    pub fn is_held_by(&self, run: &Run) -> bool {
        matches!(self.phase, Phase::Running { .. })
            && (self.epoch, self.nonce) == (run.epoch, run.nonce)
    }

    /// Moves the pointer, past the fence.
    pub fn checkpoint(&mut self, step: u8) {
        self.checkpoint = step;
    }

    /// Ends the job with a result, past the fence.
    pub fn complete(&mut self) {
        // Without a fence there may be no lease left: the broken store writes all the same.
        if !matches!(self.phase, Phase::Running { .. }) {
            self.phase = Phase::Running { cancel: false };
        }
        self.apply(Transition::Succeed {
            now_ms: 0,
            model: String::new(),
            result_file: any("file-"),
            trained_tokens: 0,
            result: Box::new(JobResult::default()),
        });
    }

    /// The run gives the job back, or is taken for dead; who loses the last claim loses the job.
    pub fn give_back(&mut self) {
        let cancel = matches!(self.phase, Phase::Running { cancel: true });
        let over = self.epoch == EPOCHS && !cancel;
        self.apply(if over {
            Transition::Fail { now_ms: 0, error: lost() }
        } else {
            Transition::Return { now_ms: 0 }
        });
    }

    /// The owner ends the job; a run is asked.
    pub fn cancel(&mut self) -> bool {
        self.apply(Transition::Cancel { now_ms: 0 })
    }

    /// A failover: the claim was answered, and is gone.
    pub fn forget_claim(&mut self) {
        self.phase = Phase::Dispatched;
        self.epoch -= 1;
        self.nonce = 0;
    }
}

impl Default for Record {
    fn default() -> Self {
        Self::new()
    }
}

fn phase(state: &JobState) -> Phase {
    match state {
        JobState::Validating | JobState::Paused { .. } => Phase::Validating,
        JobState::Queued { .. } => Phase::Queued,
        JobState::Dispatched { .. } => Phase::Dispatched,
        JobState::Running { stop, .. } => Phase::Running { cancel: *stop == Some(Stop::Cancel) },
        JobState::Succeeded { .. } => Phase::Succeeded,
        JobState::Failed { .. } => Phase::Failed,
        JobState::Cancelled { .. } => Phase::Cancelled,
    }
}

fn lease(epoch: u8) -> Lease {
    Lease {
        epoch: epoch.into(),
        nonce: any("nonce_"),
        executor: any("exec-"),
        since_ms: 0,
        seen_ms: 0,
        until_ms: 0,
        reported: 0,
    }
}

fn lost() -> JobError {
    JobError { code: JobErrorCode::ExecutorLost, message: String::new(), param: None }
}

/// An id that nothing looks at.
#[expect(clippy::expect_used, reason = "a constant of the right form")]
fn any<Id: FromStr<Err: Debug>>(prefix: &str) -> Id {
    format!("{prefix}000000000000000000000000").parse().expect("an id")
}

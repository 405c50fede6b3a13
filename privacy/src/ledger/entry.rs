//! One run's part of a ledger.

use std::fmt;

use serde::{Deserialize, Serialize};
use trainyard_openapi::id::JobId;

use super::LedgerError;
use crate::phase::Phase;

/// The SHA-256 of a data set's content, as 64 lower-case hexadecimal digits.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct DatasetHash(String);

impl TryFrom<String> for DatasetHash {
    type Error = LedgerError;

    fn try_from(text: String) -> Result<Self, LedgerError> {
        let digit = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
        if text.len() == 64 && text.bytes().all(digit) {
            return Ok(Self(text));
        }
        Err(LedgerError::InvalidHash { value: text.chars().take(80).collect() })
    }
}

impl From<DatasetHash> for String {
    fn from(hash: DatasetHash) -> Self {
        hash.0
    }
}

impl fmt::Display for DatasetHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Where a run stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case", deny_unknown_fields)]
pub enum State {
    /// It may be running: charged for all it reserved.
    Open,
    /// It ended in order and is charged for the steps that it ran.
    Settled {
        /// At least what it committed, at most what it reserved.
        ran: u64,
    },
    /// It died, or a later run of its job took over: charged for all it reserved, since those steps may have run and been seen.
    Crashed,
}

/// What one phase of one run of a job reserved and committed. A run that goes on from a checkpoint is another run: the steps it repeats
/// have fresh noise and cost again.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Entry {
    pub(super) job: JobId,
    /// The epoch of the claim under which the run runs.
    pub(super) epoch: u64,
    /// Which of the run's phases, from 0.
    pub(super) number: u32,
    /// The mechanism; its steps are those reserved.
    pub(super) reserved: Phase,
    /// Steps that a checkpoint may carry.
    pub(super) committed: u64,
    pub(super) state: State,
}

impl Entry {
    /// The job.
    #[must_use]
    pub fn job(&self) -> &JobId {
        &self.job
    }

    /// The epoch of the claim under which the run runs.
    #[must_use]
    pub fn epoch(&self) -> u64 {
        self.epoch
    }

    /// Which of the run's phases, from 0.
    #[must_use]
    pub fn number(&self) -> u32 {
        self.number
    }

    /// The mechanism, with the steps that were reserved.
    #[must_use]
    pub fn reserved(&self) -> &Phase {
        &self.reserved
    }

    /// Steps that a checkpoint may carry.
    #[must_use]
    pub fn committed(&self) -> u64 {
        self.committed
    }

    /// Where the run stands.
    #[must_use]
    pub fn state(&self) -> State {
        self.state
    }

    /// What the run is charged for.
    #[must_use]
    pub fn charged(&self) -> Phase {
        match self.state {
            State::Open | State::Crashed => self.reserved,
            State::Settled { ran } => self.reserved.with_steps(ran),
        }
    }

    pub(super) fn key(&self) -> (&JobId, u64, u32) {
        (&self.job, self.epoch, self.number)
    }

    /// Refuses an entry that no sequence of changes makes.
    pub(super) fn check(&self) -> Result<(), LedgerError> {
        if self.committed > self.reserved.steps() {
            return Err(LedgerError::Corrupt("an entry committed more steps than it reserved"));
        }
        match self.state {
            State::Settled { ran } if ran < self.committed || ran > self.reserved.steps() => Err(
                LedgerError::Corrupt("an entry settled for steps outside committed to reserved"),
            ),
            _ => Ok(()),
        }
    }
}

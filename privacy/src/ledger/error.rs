//! Why a ledger refuses.

use crate::error::PrivacyError;

/// A change that was not made. The ledger is as it was.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum LedgerError {
    /// Somebody else changed the ledger first: read it again.
    #[error("the ledger is at version {found}, the change was made for version {expected}")]
    VersionConflict {
        /// The version that the change named.
        expected: u64,
        /// The version of the ledger.
        found: u64,
    },
    /// The steps do not fit.
    #[error(
        "privacy budget exceeded: {steps} steps would bring epsilon to {requested_epsilon:.6} of {budget_epsilon} at delta \
         {delta}; {remaining_epsilon:.6} remains, enough for {steps_left} more steps"
    )]
    BudgetExceeded {
        /// The total of the run's phase that was asked for.
        steps: u64,
        /// Epsilon of everything with them.
        requested_epsilon: f64,
        /// The budget.
        budget_epsilon: f64,
        /// The delta at which it holds.
        delta: f64,
        /// The budget less what is charged now.
        remaining_epsilon: f64,
        /// How many steps of this mechanism would still fit, close to the most.
        steps_left: u64,
    },
    /// A later run of the job has taken over.
    #[error("epoch {epoch} of job {job} is over: epoch {latest} has taken over")]
    StaleEpoch {
        /// The job.
        job: String,
        /// The epoch of the change.
        epoch: u64,
        /// The latest epoch.
        latest: u64,
    },
    /// Nothing was reserved under this job, epoch and phase.
    #[error("job {job} reserved nothing in epoch {epoch}, phase {number}")]
    Unknown {
        /// The job.
        job: String,
        /// The epoch.
        epoch: u64,
        /// The phase.
        number: u32,
    },
    /// The run has ended.
    #[error("phase {number} of epoch {epoch} of job {job} has ended")]
    Ended {
        /// The job.
        job: String,
        /// The epoch.
        epoch: u64,
        /// The phase.
        number: u32,
    },
    /// Guarantees for different units do not add up.
    #[error("unit must be {kept}, as of the runs before on this data set, got {value}")]
    AnotherUnit {
        /// The ledger's unit.
        kept: &'static str,
        /// The unit of the run.
        value: &'static str,
    },
    /// A phase keeps its mechanism; another is a phase of its own.
    #[error("the phase was reserved with {field} {reserved}, not {value}")]
    AnotherMechanism {
        /// What differs.
        field: &'static str,
        /// What was reserved.
        reserved: f64,
        /// What came.
        value: f64,
    },
    /// Totals only rise, and what is committed or ran was reserved before.
    #[error("{field} must be between {least} and {most} steps, got {value}")]
    Steps {
        /// Which total.
        field: &'static str,
        /// The smallest allowed.
        least: u64,
        /// The largest allowed.
        most: u64,
        /// The value seen.
        value: u64,
    },
    /// The ledger is full.
    #[error("the ledger has {0} entries, the most there may be")]
    Full(usize),
    /// Not a SHA-256.
    #[error("dataset must be a SHA-256 in 64 lower-case hexadecimal digits, got '{value}'")]
    InvalidHash {
        /// The text seen, cut to 80 characters.
        value: String,
    },
    /// A stored ledger that no sequence of changes makes.
    #[error("the stored ledger is corrupt: {0}")]
    Corrupt(&'static str),
    /// A value out of range.
    #[error(transparent)]
    Privacy(#[from] PrivacyError),
}

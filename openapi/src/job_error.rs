//! Every reason that a job can fail for: one table of code, class and meaning.
//!
//! The class tells who can mend it. To add a code, add a line to `job_error_codes!`; a [`JobError`](crate::job::JobError) can
//! carry no other.

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Who can mend a failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum JobErrorClass {
    /// The owner of the job: the same request with the same files ends the same way again.
    User,
    /// The operator, or time: the request is good, and was tried as often as the settings allow.
    Infrastructure,
}

impl JobErrorClass {
    /// The word in the documentation.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::User => "user",
            Self::Infrastructure => "infrastructure",
        }
    }
}

macro_rules! job_error_codes {
    ($($name:ident = $code:literal, $class:ident, $meaning:literal;)*) => {
        /// Why a job failed, in a form that programs can use.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum JobErrorCode {
            $(#[doc = $meaning] $name,)*
        }

        impl JobErrorCode {
            /// Every code, for documentation and for tests.
            pub const ALL: &'static [Self] = &[$(Self::$name),*];

            /// The value of `error.code`.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$name => $code),* }
            }

            /// Who can mend it.
            pub const fn class(self) -> JobErrorClass {
                match self { $(Self::$name => JobErrorClass::$class),* }
            }

            /// What it means, as a sentence.
            pub const fn meaning(self) -> &'static str {
                match self { $(Self::$name => $meaning),* }
            }
        }
    };
}

job_error_codes! {
    InvalidTrainingFile = "invalid_training_file", User, "The training file has a line that cannot be trained on, or is gone.";
    InvalidValidationFile = "invalid_validation_file", User, "The same of the validation file.";
    InvalidData = "invalid_data", User, "A line cannot be written as tokens of this model.";
    NoExamples = "no_examples", User, "No row is left to train on once the rule for long rows has been applied.";
    FileNotFound = "file_not_found", User, "A file that the request names does not exist.";
    InvalidTargetModules = "invalid_target_modules", User, "A name in the adapter's target modules fits no layer of the model.";
    ModelNotFound = "model_not_found", User, "The base model is not there.";
    InvalidModel = "invalid_model", User, "The base model's files do not fit each other.";
    UnsupportedModel = "unsupported_model", User, "The base model has an architecture or a setting that is not carried out.";
    InvalidGguf = "invalid_gguf", User, "The base model's GGUF file cannot be read.";
    Diverged = "diverged", User, "A loss or a gradient is no number any more.";
    PrivacyBudgetExceeded = "privacy_budget_exceeded", User, "The privacy budget of the job or of its training file holds no more steps.";
    OutOfMemory = "out_of_memory", User, "The job needs more memory than it may use, with a micro-batch of one row too.";
    MaxRuntimeExceeded = "max_runtime_exceeded", User, "The job ran longer than its `max_runtime_seconds`.";
    CheckpointMismatch = "checkpoint_mismatch", User, "The checkpoint to go on from belongs to another run.";
    OutputInUse = "output_in_use", User, "Another run is using the output directory.";
    OutputExists = "output_exists", User, "The output exists and is not written over.";
    DiskFull = "disk_full", Infrastructure, "No space was left on a disk.";
    FileUnreadable = "file_unreadable", Infrastructure, "A file is there and the system refused to read it.";
    IoError = "io_error", Infrastructure, "The system refused to read or write a file.";
    ObjectStoreError = "object_store_error", Infrastructure, "The object store did not bring or take a file.";
    CheckpointDamaged = "checkpoint_damaged", Infrastructure, "The checkpoint to go on from is not what its record says.";
    CheckpointError = "checkpoint_error", Infrastructure, "The checkpoint to go on from cannot be read.";
    EngineError = "engine_error", Infrastructure, "libtorch refused an operation.";
    IntegrityCheckFailed = "integrity_check_failed", Infrastructure, "The finished adapter did not pass its checks.";
    PrivacyRefused = "privacy_refused", Infrastructure, "Steps of a private job could not be charged to its training file's budget.";
    NoProgress = "no_progress", Infrastructure, "The trainer stood still for longer than the limit.";
    TrainerNotStarted = "trainer_not_started", Infrastructure, "The trainer's program did not start.";
    TrainerCrashed = "trainer_crashed", Infrastructure, "The trainer ended without a word.";
    ExecutorLost = "executor_lost", Infrastructure, "The executor vanished too often before a checkpoint was written.";
    Preempted = "preempted", Infrastructure, "The job gave way to others too often.";
    UnknownError = "unknown_error", Infrastructure, "A code that this version does not know, written by another.";
}

impl JobErrorCode {
    /// The code that is written so, if there is one.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|code| code.as_str() == text)
    }

    /// Whether the owner of the job can mend it, so that another attempt is pointless.
    pub const fn is_user(self) -> bool {
        matches!(self.class(), JobErrorClass::User)
    }
}

impl std::fmt::Display for JobErrorCode {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

impl PartialEq<&str> for JobErrorCode {
    fn eq(&self, other: &&str) -> bool {
        self.as_str() == *other
    }
}

impl Serialize for JobErrorCode {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for JobErrorCode {
    /// A record of another version stays readable: its code becomes `unknown_error`, its message remains.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Ok(Self::parse(&text).unwrap_or(Self::UnknownError))
    }
}

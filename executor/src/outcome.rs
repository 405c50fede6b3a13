//! How a run ended, and what the control plane is told of it.

use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;
use std::time::Duration;

use trainyard_openapi::job::JobError;
use trainyard_openapi::job_error::JobErrorCode;
use trainyard_plan::trainer::{TrainerEvent, exit};
use trainyard_scheduler::port::control_plane::{Directive, LeaseError, ReleaseReason};

/// Tries of a call that has no answer, about two minutes in all: beyond the lease nobody would take the answer.
const TRIES: u32 = 30;

/// Why the run was asked to end, the strongest reason so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ending {
    /// Not asked.
    Own,
    /// The agent stops.
    Shutdown,
    /// As the control plane said.
    Directed(Directive),
}

/// What to tell the control plane.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Verdict {
    /// The adapter is there.
    Complete(Box<trainyard_plan::trainer::Finished>),
    /// The job goes back.
    Release(ReleaseReason),
    /// The attempt failed.
    Fail {
        /// Why.
        error: JobError,
        /// Whether another attempt may do better.
        retryable: bool,
    },
}

/// Judges a trainer that has ended: by its last word where it had one, else by how it ended. `out_of_memory` says that the kernel
/// killed for want of memory meanwhile.
pub(crate) fn judge(
    ending: Ending,
    last: Option<TrainerEvent>,
    status: ExitStatus,
    last_words: &str,
    out_of_memory: bool,
) -> Verdict {
    match ending {
        // Whatever it managed to finish meanwhile: the owner's wish stands.
        Ending::Directed(Directive::Cancel) => return Verdict::Release(ReleaseReason::Cancelled),
        Ending::Directed(Directive::TimeUp) => {
            let message = "the job ran longer than trainyard.resources.max_runtime_seconds allows"
                .to_string();
            let param = Some("trainyard.resources.max_runtime_seconds".to_string());
            return Verdict::Fail {
                error: JobError { code: JobErrorCode::MaxRuntimeExceeded, message, param },
                retryable: false,
            };
        }
        Ending::Own | Ending::Shutdown | Ending::Directed(_) => {}
    }
    match last {
        Some(TrainerEvent::Finished(finished)) if status.code() == Some(exit::DONE) => {
            return Verdict::Complete(Box::new(finished));
        }
        Some(TrainerEvent::Failed { code, message, param, user }) => {
            let (code, message) = match JobErrorCode::parse(&code) {
                Some(code) => (code, message),
                None => (JobErrorCode::UnknownError, format!("{code}: {message}")),
            };
            return Verdict::Fail { error: JobError { code, message, param }, retryable: !user };
        }
        _ => {}
    }
    match ending {
        Ending::Shutdown => return Verdict::Release(ReleaseReason::Shutdown),
        Ending::Directed(Directive::Pause) => return Verdict::Release(ReleaseReason::Paused),
        Ending::Directed(Directive::Preempt) => return Verdict::Release(ReleaseReason::Preempted),
        Ending::Directed(_) | Ending::Own => {}
    }
    let how = match (status.signal(), status.code()) {
        (Some(9), _) if out_of_memory => {
            "was killed by the system, which ran out of memory (signal 9)".to_string()
        }
        (Some(9), _) => "was killed (signal 9)".to_string(),
        (Some(signal), _) => format!("was ended by signal {signal}"),
        (None, Some(code)) => format!("ended with code {code} and no result"),
        (None, None) => "ended".to_string(),
    };
    let words = if last_words.is_empty() { String::new() } else { format!(": {last_words}") };
    let message = format!("the trainer {how}{words}");
    // What Rust says when it cannot allocate; it ends the process then.
    let aborted = status.signal() == Some(6) && last_words.starts_with("memory allocation of ");
    let killed = status.signal() == Some(9) && out_of_memory;
    let code = match killed || aborted {
        true => JobErrorCode::OutOfMemory,
        false => JobErrorCode::TrainerCrashed,
    };
    Verdict::Fail { error: JobError { code, message, param: None }, retryable: true }
}

/// Makes a call until it has a definite answer, with growing pauses.
pub(crate) async fn persist<T, F>(mut call: impl FnMut() -> F) -> Result<T, LeaseError>
where
    F: Future<Output = Result<T, LeaseError>>,
{
    let mut pause = Duration::from_millis(200);
    for _ in 1..TRIES {
        match call().await {
            Err(LeaseError::Unavailable(reason)) => {
                tracing::warn!(reason, "the control plane has no answer; asking again");
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(Duration::from_secs(5));
            }
            answer => return answer,
        }
    }
    call().await
}

#[cfg(test)]
mod tests {
    use super::*;

    fn code(status: i32, words: &str, out_of_memory: bool) -> JobErrorCode {
        let status = ExitStatus::from_raw(status);
        match judge(Ending::Own, None, status, words, out_of_memory) {
            Verdict::Fail { error, retryable: true } => error.code,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn only_the_kernel_or_the_allocator_make_a_kill_a_want_of_memory() {
        assert_eq!(code(9, "", true), JobErrorCode::OutOfMemory);
        assert_eq!(code(9, "", false), JobErrorCode::TrainerCrashed);
        assert_eq!(code(11, "", true), JobErrorCode::TrainerCrashed);
        let words = "memory allocation of 4096 bytes failed";
        assert_eq!(code(6, words, false), JobErrorCode::OutOfMemory);
        assert_eq!(code(6, "terminate called", false), JobErrorCode::TrainerCrashed);
    }

    #[test]
    fn a_code_of_another_trainer_is_kept_in_the_message() {
        let failed = TrainerEvent::Failed {
            code: "tape_torn".into(),
            message: "the tape is torn".into(),
            param: None,
            user: false,
        };
        let verdict = judge(Ending::Own, Some(failed), ExitStatus::from_raw(1 << 8), "", false);
        let Verdict::Fail { error, retryable: true } = verdict else { panic!("{verdict:?}") };
        assert_eq!(error.code, JobErrorCode::UnknownError);
        assert_eq!(error.message, "tape_torn: the tape is torn");
    }
}

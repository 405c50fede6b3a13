//! How a run ended, and what the control plane is told of it.

use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;
use std::time::Duration;

use trainyard_openapi::job::JobError;
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

/// Judges a trainer that has ended: by its last word where it had one, else by how it ended.
pub(crate) fn judge(
    ending: Ending,
    last: Option<TrainerEvent>,
    status: ExitStatus,
    last_words: &str,
) -> Verdict {
    match ending {
        // Whatever it managed to finish meanwhile: the owner's wish stands.
        Ending::Directed(Directive::Cancel) => return Verdict::Release(ReleaseReason::Cancelled),
        Ending::Directed(Directive::TimeUp) => {
            let message = "the job ran longer than trainyard.resources.max_runtime_seconds allows"
                .to_string();
            let param = Some("trainyard.resources.max_runtime_seconds".to_string());
            return Verdict::Fail {
                error: JobError { code: "max_runtime_exceeded".into(), message, param },
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
        (Some(9), _) => {
            "was killed (signal 9); the system does that when it runs out of memory".to_string()
        }
        (Some(signal), _) => format!("was ended by signal {signal}"),
        (None, Some(code)) => format!("ended with code {code} and no result"),
        (None, None) => "ended".to_string(),
    };
    let words = if last_words.is_empty() { String::new() } else { format!(": {last_words}") };
    let message = format!("the trainer {how}{words}");
    Verdict::Fail {
        error: JobError { code: "trainer_crashed".into(), message, param: None },
        retryable: true,
    }
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

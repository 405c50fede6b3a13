//! What goes wrong between us and the broker, and how long an answer may take.

use std::time::Duration;

use lapin::ErrorKind;

use crate::port::queue::QueueError;

/// How long the broker may take for one answer. A quorum queue without a leader never gives one.
pub(super) const ANSWER_MAX: Duration = Duration::from_secs(10);

/// What went wrong.
#[derive(Debug, Clone, thiserror::Error)]
pub(super) enum Fault {
    /// Trying again alone does not help: somebody has to change the configuration here or there.
    #[error("{0}")]
    Refused(String),
    /// The message came back: there is no such queue.
    #[error("the broker returned the ticket: {0}")]
    Returned(String),
    /// The broker says no to the message itself: its queue has nobody who would store it.
    #[error("the broker could not store the ticket")]
    Unstored,
    /// The broker is short of memory or disk and takes no messages.
    #[error("the broker blocks publishing: {0}")]
    Blocked(String),
    /// No answer.
    #[error("no answer to {what} within {max} s", what = .0, max = ANSWER_MAX.as_secs())]
    Silent(&'static str),
    /// Anything else: connection or channel ended.
    #[error("{0}")]
    Failed(String),
}

impl From<lapin::Error> for Fault {
    fn from(error: lapin::Error) -> Self {
        let said = match error.kind() {
            ErrorKind::ProtocolError(said) => said,
            // TLS says so of a certificate that it does not trust.
            ErrorKind::IOError(io) if io.kind() == std::io::ErrorKind::InvalidData => {
                return Self::Refused(format!(
                    "{io}; its issuer must be trusted on this machine (SSL_CERT_FILE names more issuers)"
                ));
            }
            _ => return Self::Failed(error.to_string()),
        };
        // Reply codes of AMQP 0-9-1.
        let advice = match said.get_id() {
            403 => "check user, password and permissions",
            406 => {
                "a queue of this name was made with other arguments: delete it (rabbitmqctl delete_queue), and it is declared \
                 anew and its tickets are issued again"
            }
            530 => "check the virtual host and the user's permissions on it",
            // Seen with 3.10, after the leader of a young queue was lost.
            541 if said.get_message().as_str().contains("Cannot declare") => {
                let advice =
                    "the broker still holds what is left of the old queue: restart its node";
                return Self::Failed(format!("{}; {advice}", said.get_message()));
            }
            _ => return Self::Failed(error.to_string()),
        };
        Self::Refused(format!("{}; {advice}", said.get_message()))
    }
}

impl From<Fault> for QueueError {
    fn from(fault: Fault) -> Self {
        Self(fault.to_string())
    }
}

/// Waits for the broker's answer to `what`, but not for ever.
pub(super) async fn answer<T>(
    what: &'static str,
    asked: impl Future<Output = lapin::Result<T>>,
) -> Result<T, Fault> {
    match tokio::time::timeout(ANSWER_MAX, asked).await {
        Ok(answer) => Ok(answer?),
        Err(_) => Err(Fault::Silent(what)),
    }
}

//! Exit codes: part of the contract with scripts, listed in `--help`.

/// How a command ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Exit {
    /// As asked.
    Done = 0,
    /// The server failed, cannot be reached, or this machine got in the way.
    Failure = 1,
    /// The command line or the request is wrong.
    Usage = 2,
    /// `jobs watch`: the job failed.
    JobFailed = 3,
    /// `jobs watch`: the job was cancelled.
    JobCancelled = 4,
    /// No such thing.
    NotFound = 5,
    /// The key is missing, unknown, or may not do this.
    Authentication = 6,
    /// `audit verify`: a log is not as it was written. `restore`: the backup is not.
    Damaged = 7,
    /// The user pressed Ctrl-C while a file was uploaded in parts. As shells have it: 128 and the signal's number.
    Interrupted = 130,
}

/// The list for `--help`.
pub(crate) const HELP: &str = "Exit codes:
  0  done
  1  the server failed or cannot be reached, or this machine got in the way
  2  the command line or the request is wrong
  3  jobs watch: the job failed
  4  jobs watch: the job was cancelled
  5  no such job, file or model
  6  the API key is missing, unknown, or may not do this
  7  audit verify: a log was changed or cut; restore: the backup is damaged
  130  files upload: interrupted, and what was uploaded is given up";

impl From<Exit> for std::process::ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

//! One trainer process: started in a group and an environment of its own, heard by lines, told by commands, ended for certain.

use std::collections::VecDeque;
use std::path::Path;
use std::process::{ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError};

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::process::{Child, ChildStdin, Command};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use trainyard_plan::trainer::TrainerCommand;

use crate::lines::{Line, next_line};

/// Lines that may wait to be looked at; then the trainer waits with its next one.
const LINES_WAITING: usize = 1024;
/// Bytes kept of what the trainer said last on its standard error.
const TAIL_BYTES: usize = 64 * 1024;

/// A running trainer. Dropping it kills its whole group.
pub(crate) struct Trainer {
    child: Child,
    group: Pid,
    stdin: Option<ChildStdin>,
    tail: Arc<Mutex<VecDeque<u8>>>,
    stderr: Option<JoinHandle<()>>,
    exited: bool,
}

impl Trainer {
    /// Starts `program` with `args` in `work`; also gives what it writes on standard output.
    ///
    /// # Errors
    /// Where the system refuses.
    pub(crate) fn start(
        program: &Path,
        args: &[std::ffi::OsString],
        work: &Path,
    ) -> std::io::Result<(Self, mpsc::Receiver<Line>)> {
        let mut child = Command::new(program)
            .args(args)
            .current_dir(work)
            // Nothing of the agent's environment: it may hold credentials, and a run must not depend on it.
            .env_clear()
            .env("HOME", work)
            .env("TMPDIR", work)
            .env("LANG", "C.UTF-8")
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()?;
        let pid = child
            .id()
            .and_then(|id| i32::try_from(id).ok())
            .ok_or_else(|| std::io::Error::other("no pid"))?;
        let tail = Arc::new(Mutex::new(VecDeque::new()));
        let stderr =
            child.stderr.take().map(|pipe| tokio::spawn(keep_tail(pipe, Arc::clone(&tail))));
        let (sender, lines) = mpsc::channel(LINES_WAITING);
        if let Some(stdout) = child.stdout.take() {
            tokio::spawn(async move {
                let mut reader = BufReader::new(stdout);
                while let Ok(Some(line)) = next_line(&mut reader).await {
                    if sender.send(line).await.is_err() {
                        return;
                    }
                }
            });
        }
        let stdin = child.stdin.take();
        Ok((Self { child, group: Pid::from_raw(pid), stdin, tail, stderr, exited: false }, lines))
    }

    /// The id of its process, until it has ended.
    pub(crate) fn id(&self) -> Option<u32> {
        self.child.id()
    }

    /// Tells it something. A trainer that does not hear any more is about to be found ended.
    pub(crate) async fn tell(&mut self, command: TrainerCommand) {
        let Some(stdin) = &mut self.stdin else { return };
        let Ok(mut line) = serde_json::to_vec(&command) else { return };
        line.push(b'\n');
        if stdin.write_all(&line).await.is_err() || stdin.flush().await.is_err() {
            self.stdin = None;
        }
    }

    /// Waits for its end. May be dropped and called again.
    pub(crate) async fn wait(&mut self) -> std::io::Result<ExitStatus> {
        let status = self.child.wait().await?;
        self.exited = true;
        // Whatever it started goes with it.
        let _ = killpg(self.group, Signal::SIGKILL);
        if let Some(stderr) = self.stderr.take() {
            // The last words arrive with the end of the pipe; a grandchild that held it is gone too.
            let _ = tokio::time::timeout(std::time::Duration::from_secs(1), stderr).await;
        }
        Ok(status)
    }

    /// Ends it and everything that it started, at once.
    pub(crate) fn kill(&self) {
        self.signal(Signal::SIGKILL);
    }

    /// Holds it, or lets it go on.
    pub(crate) fn freeze(&self, freeze: bool) {
        self.signal(if freeze { Signal::SIGSTOP } else { Signal::SIGCONT });
    }

    /// The last line that it wrote on its standard error.
    pub(crate) fn last_words(&self) -> String {
        let tail = self.tail.lock().unwrap_or_else(PoisonError::into_inner);
        let bytes: Vec<u8> = tail.iter().copied().collect();
        let text = String::from_utf8_lossy(&bytes);
        let last = text.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or_default();
        last.chars().filter(|c| !c.is_control()).take(500).collect()
    }

    fn signal(&self, signal: Signal) {
        // Once it has been waited for, its number may belong to somebody else.
        if !self.exited {
            let _ = killpg(self.group, signal);
        }
    }
}

impl Drop for Trainer {
    fn drop(&mut self) {
        self.kill();
    }
}

async fn keep_tail(mut pipe: impl AsyncRead + Unpin, tail: Arc<Mutex<VecDeque<u8>>>) {
    let mut buffer = [0; 4096];
    while let Ok(count) = pipe.read(&mut buffer).await {
        if count == 0 {
            return;
        }
        let mut tail = tail.lock().unwrap_or_else(PoisonError::into_inner);
        tail.extend(&buffer[..count]);
        let surplus = tail.len().saturating_sub(TAIL_BYTES);
        tail.drain(..surplus);
    }
}

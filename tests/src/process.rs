//! Other processes: running one to its end, finding a server's trainers, ending them by their ids.

use std::fs;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::built;

/// What a finished process said.
#[derive(Debug)]
pub struct Said {
    /// The exit code, -1 where a signal ended it.
    pub code: i32,
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
}

impl From<Output> for Said {
    fn from(output: Output) -> Self {
        Self {
            code: output.status.code().unwrap_or(-1),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }
}

/// A command with nothing of this process' environment but what programs need to start.
pub fn clean(program: &Path) -> Command {
    let mut command = Command::new(program);
    command.env_clear().stdin(Stdio::null());
    for name in ["PATH", "HOME", "LANG"] {
        if let Some(value) = std::env::var_os(name) {
            command.env(name, value);
        }
    }
    command
}

/// Runs `trainyard` with `args` against no server in particular.
pub fn trainyard(directory: &Path, args: &[&str]) -> Said {
    let mut command = clean(&built::binary("trainyard"));
    command.current_dir(directory).args(args).output().expect("trainyard runs").into()
}

/// Ids of the processes that `parent` started, as they are now.
pub fn children(parent: u32) -> Vec<u32> {
    let entries = fs::read_dir("/proc").expect("/proc");
    let ids = entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    ids.filter(|id| parent_of(*id) == Some(parent)).collect()
}

/// The parent's id: the second field after the name, which is in brackets and may hold anything.
fn parent_of(id: u32) -> Option<u32> {
    let stat = fs::read_to_string(format!("/proc/{id}/stat")).ok()?;
    stat.rsplit_once(')')?.1.split_whitespace().nth(1)?.parse().ok()
}

/// Sends a signal to a process that a test started.
pub fn signal(id: u32, signal: Signal) {
    let id = Pid::from_raw(i32::try_from(id).expect("a process id"));
    kill(id, signal).expect("the process is there");
}

/// Asks a process that this one started for an orderly end.
pub fn terminate(id: u32) {
    signal(id, Signal::SIGTERM);
}

/// A line of `/proc/ID/status` in KiB, such as `VmRSS`, what is resident now, or `VmHWM`, the most that was.
///
/// # Panics
/// Where there is no such line.
pub fn memory_kib(id: u32, line: &str) -> u64 {
    let status = fs::read_to_string(format!("/proc/{id}/status")).expect("the process is there");
    let found = status.lines().find_map(|text| text.strip_prefix(line)?.strip_prefix(':'));
    let number = found.and_then(|rest| rest.split_whitespace().next()?.parse().ok());
    number.unwrap_or_else(|| panic!("no '{line}' in\n{status}"))
}

/// Lets the kernel count `VmHWM` anew from what is resident now (proc(5): `clear_refs`).
pub fn forget_peak(id: u32) {
    fs::write(format!("/proc/{id}/clear_refs"), "5").expect("a process of this user");
}

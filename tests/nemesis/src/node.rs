//! One process of the service: started, killed, held and started again on the same address with the same files.

use std::fs::{self, File};
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::Child;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill, killpg};
use nix::unistd::Pid;
use trainyard_tests::{built, process};

/// Only a hang guard: a start takes well under a second.
const START_MAX: Duration = Duration::from_secs(60);

/// What a process does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Answers clients and executors.
    Api,
    /// Dispatches, relays, reaps.
    Scheduler,
    /// Runs trainers.
    Executor,
}

impl Role {
    /// The command.
    pub const fn command(self) -> &'static str {
        match self {
            Self::Api => "api",
            Self::Scheduler => "scheduler",
            Self::Executor => "executor",
        }
    }
}

/// A process.
#[derive(Debug)]
pub struct Node {
    /// What it does.
    pub role: Role,
    directory: PathBuf,
    arguments: Vec<String>,
    /// A port on which it listens, where it does.
    listens: Option<u16>,
    child: Option<Child>,
}

impl Node {
    /// One that does not run yet. Its log lies in `directory`.
    pub fn new(role: Role, directory: PathBuf, arguments: Vec<String>, listens: Option<u16>) -> Self {
        fs::create_dir_all(&directory).expect("a directory");
        Self { role, directory, arguments, listens, child: None }
    }

    /// Starts it where it does not run. One that listens does so when this returns, unless it cannot start yet.
    pub fn start(&mut self) {
        if self.runs() {
            return;
        }
        let log = File::options().create(true).append(true).open(self.log_path()).expect("a log");
        let mut command = process::clean(&built::binary("trainyard"));
        command.current_dir(&self.directory).arg(self.role.command()).args(&self.arguments);
        command.stdout(log.try_clone().expect("a log")).stderr(log);
        self.child = Some(command.spawn().expect("trainyard starts"));
    }

    /// Waits until it answers on its port; one that ends meanwhile is started again, as an orchestrator would.
    ///
    /// # Panics
    /// Where that takes very long.
    pub fn wait_until_it_listens(&mut self) {
        let Some(port) = self.listens else { return };
        let begun = Instant::now();
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            assert!(begun.elapsed() < START_MAX, "{:?} does not answer: {}", self.role, self.log());
            std::thread::sleep(Duration::from_millis(20));
            self.start();
        }
    }

    /// Whether it runs, held or not.
    pub fn runs(&mut self) -> bool {
        self.child.as_mut().is_some_and(|child| matches!(child.try_wait(), Ok(None)))
    }

    /// `kill -9`.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    /// Holds the process and its trainers, as a machine that sleeps does; gives who is held.
    pub fn pause(&mut self) -> Held {
        let Some(child) = self.child.as_ref() else { return Held { agent: None, groups: Vec::new() } };
        let agent = pid(child.id());
        let _ = kill(agent, Signal::SIGSTOP);
        // Each trainer leads a group of its own.
        let groups: Vec<Pid> = process::children(child.id()).into_iter().map(pid).collect();
        for group in &groups {
            let _ = killpg(*group, Signal::SIGSTOP);
        }
        Held { agent: Some(agent), groups }
    }

    /// Kills a trainer of an executor; whether there was one.
    pub fn kill_trainer(&self) -> bool {
        let Some(child) = self.child.as_ref() else { return false };
        let trainers = process::children(child.id());
        trainers.first().is_some_and(|id| killpg(pid(*id), Signal::SIGKILL).is_ok())
    }

    /// Trainers that run now.
    pub fn trainers(&self) -> usize {
        self.child.as_ref().map_or(0, |child| process::children(child.id()).len())
    }

    /// All that it has said, in all its lives.
    pub fn log(&self) -> String {
        fs::read_to_string(self.log_path()).unwrap_or_default()
    }

    fn log_path(&self) -> PathBuf {
        self.directory.join("log")
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Processes that are held.
#[derive(Debug)]
pub struct Held {
    agent: Option<Pid>,
    groups: Vec<Pid>,
}

impl Held {
    /// How many trainers are among them.
    pub fn trainers(&self) -> usize {
        self.groups.len()
    }

    /// Lets them go on: the trainers first, so that they have got on when the agent asks.
    pub fn resume(self) {
        for group in self.groups {
            let _ = killpg(group, Signal::SIGCONT);
        }
        if let Some(agent) = self.agent {
            let _ = kill(agent, Signal::SIGCONT);
        }
    }
}

fn pid(id: u32) -> Pid {
    Pid::from_raw(i32::try_from(id).expect("a process id"))
}

/// A port that nobody listens on.
pub fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").and_then(|free| free.local_addr()).expect("a port").port()
}

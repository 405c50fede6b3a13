//! An agent and its trainers, held as a machine that sleeps holds them.

use nix::sys::signal::{Signal, kill, killpg};
use nix::unistd::Pid;
use trainyard_tests::process;

/// Processes that are held until they are let go.
#[derive(Debug)]
pub struct Held {
    agent: Pid,
    groups: Vec<Pid>,
}

impl Held {
    /// Holds the agent with this process id, where it has so many trainers.
    pub fn busy(agent: u32, trainers: usize) -> Option<Self> {
        if process::children(agent).len() < trainers {
            return None;
        }
        let id = pid(agent);
        kill(id, Signal::SIGSTOP).ok()?;
        // Each trainer leads a group of its own.
        let groups: Vec<Pid> = process::children(agent).into_iter().map(pid).collect();
        for group in &groups {
            // One that has just ended cannot be held, and is waited for by nobody until the agent goes on.
            let _ = killpg(*group, Signal::SIGSTOP);
        }
        Some(Self { agent: id, groups })
    }

    /// How many trainers are among them.
    pub fn trainers(&self) -> usize {
        self.groups.len()
    }

    /// Lets them go on: the trainers first, so that they have got on when the agent asks.
    pub fn resume(self) {
        for group in self.groups {
            let _ = killpg(group, Signal::SIGCONT);
        }
        let _ = kill(self.agent, Signal::SIGCONT);
    }
}

/// Kills a trainer of the agent with this process id; whether there was one.
pub fn kill_trainer(agent: u32) -> bool {
    let trainers = process::children(agent);
    trainers.first().is_some_and(|id| killpg(pid(*id), Signal::SIGKILL).is_ok())
}

fn pid(id: u32) -> Pid {
    Pid::from_raw(i32::try_from(id).expect("a process id"))
}

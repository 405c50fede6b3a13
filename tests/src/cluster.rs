//! A cluster: apis, schedulers and executors in processes of their own over one record, queue and objects. Each process is started, killed,
//! paused and ended by its role and number.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Child;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use serde_json::Value;

use crate::api::{Api, text};
use crate::{built, data, process};

/// A start takes about a second; busy cores may take their time.
const START_MAX: Duration = Duration::from_secs(60);
/// What the executors and the apis of a test share.
const EXECUTOR_TOKEN: &str = "0123456789abcdef0123456789abcdef0123456789abcdef";

/// What a process does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// `trainyard api`.
    Api,
    /// `trainyard scheduler`.
    Scheduler,
    /// `trainyard executor`.
    Executor,
}

impl Role {
    /// The command.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Api => "api",
            Self::Scheduler => "scheduler",
            Self::Executor => "executor",
        }
    }

    /// The message of its log that says that it works.
    const fn ready(self) -> &'static str {
        match self {
            Self::Api => "serving",
            Self::Scheduler => "scheduling",
            Self::Executor => "taking jobs",
        }
    }
}

/// What a cluster is made of.
#[derive(Debug, Clone)]
pub struct ClusterOptions {
    /// Processes of the API.
    pub api: usize,
    /// Processes of the loops.
    pub scheduler: usize,
    /// Processes of the agent, with one slot each.
    pub executors: usize,
    /// URL of the record, such as [`crate::Redis::url`]; the password is that of [`crate::redis::PASSWORD`].
    pub store: String,
    /// URL of the queue, with its password.
    pub queue: String,
    /// URL of the objects; a directory of the cluster's where there is none.
    pub objects: Option<String>,
    /// Another program than the built trainer.
    pub trainer: Option<PathBuf>,
    /// Seconds of a lease; heartbeats and the time without an answer go by it. None leaves every time as it is without a flag.
    pub lease_seconds: Option<u64>,
    /// More flags of the processes of a role.
    pub flags: Vec<(Role, String)>,
    /// Another program than the built server.
    pub server: Option<PathBuf>,
    /// Variables of all processes' environment.
    pub environment: Vec<(String, String)>,
}

impl ClusterOptions {
    /// Two of each over `store` and `queue`.
    pub fn new(store: impl Into<String>, queue: impl Into<String>) -> Self {
        Self {
            api: 2,
            scheduler: 2,
            executors: 2,
            store: store.into(),
            queue: queue.into(),
            objects: None,
            trainer: None,
            // Long enough for a busy machine, short enough for a test that waits for one.
            lease_seconds: Some(8),
            flags: Vec::new(),
            server: None,
            environment: Vec::new(),
        }
    }

    /// The same with flags for the processes of a role.
    #[must_use]
    pub fn with(mut self, role: Role, flags: &[&str]) -> Self {
        self.flags.extend(flags.iter().map(|flag| (role, (*flag).to_string())));
        self
    }
}

/// A running cluster. Dropping it kills its processes, by their ids, and nothing else.
#[derive(Debug)]
pub struct Cluster {
    directory: PathBuf,
    options: ClusterOptions,
    processes: Vec<Process>,
    key: String,
}

/// One process; `child` is none while it does not run.
#[derive(Debug)]
struct Process {
    role: Role,
    index: usize,
    child: Option<Child>,
    /// Of an API: where it serves clients and executors.
    addresses: Option<[String; 2]>,
    log: PathBuf,
}

impl Cluster {
    /// Starts all processes in `directory`, with the tiny model, and waits until each works.
    ///
    /// # Panics
    /// Where one does not start, with its log.
    pub fn start(directory: &Path, options: ClusterOptions) -> Self {
        data::install_model(&directory.join("models"));
        data::file(directory, "token", format!("{EXECUTOR_TOKEN}\n"));
        data::file(directory, "redis-password", crate::redis::PASSWORD);
        if options.trainer.is_none() {
            built::binary("trainyard-trainer");
        }
        let mut processes = Vec::new();
        let counts = [
            (Role::Api, options.api),
            (Role::Scheduler, options.scheduler),
            (Role::Executor, options.executors),
        ];
        for (role, count) in counts {
            processes.extend((0..count).map(|index| Process {
                role,
                index,
                child: None,
                addresses: None,
                log: directory.join(format!("{}-{index}.log", role.as_str())),
            }));
        }
        let directory = directory.to_path_buf();
        let mut cluster = Self { directory, options, processes, key: String::new() };
        for (role, count) in counts {
            // All of a role at once, as an orchestrator does.
            (0..count).for_each(|index| cluster.spawn(role, index));
            (0..count).for_each(|index| cluster.wait_until_ready(role, index));
        }
        let key = fs::read_to_string(cluster.directory.join("key")).expect("the first key");
        cluster.key = key.trim().to_string();
        cluster
    }

    /// Starts a process again that was killed or ended; an API on the ports that it had.
    ///
    /// # Panics
    /// Where it runs, or does not start.
    pub fn start_again(&mut self, role: Role, index: usize) {
        self.spawn(role, index);
        self.wait_until_ready(role, index);
    }

    /// Starts whatever does not run, killed or ended by itself, as an orchestrator does.
    ///
    /// # Panics
    /// Where one does not start.
    pub fn start_missing(&mut self) {
        let ended = |child: &mut Child| !matches!(child.try_wait(), Ok(None));
        let mut missing = Vec::new();
        for process in &mut self.processes {
            if process.child.as_mut().is_none_or(ended) {
                process.child = None;
                missing.push((process.role, process.index));
            }
        }
        missing.iter().for_each(|(role, index)| self.spawn(*role, *index));
        missing.iter().for_each(|(role, index)| self.wait_until_ready(*role, *index));
    }

    /// `kill -9`, of an executor with no word to its trainer.
    ///
    /// # Panics
    /// Where it does not run.
    pub fn kill(&mut self, role: Role, index: usize) {
        let mut child = self.at_mut(role, index).child.take().expect("it runs");
        process::signal(child.id(), Signal::SIGKILL);
        child.wait().expect("its end");
    }

    /// Asks for an orderly end; gives the exit code and how long it took.
    ///
    /// # Panics
    /// Where it does not run.
    pub fn stop(&mut self, role: Role, index: usize) -> (Option<i32>, Duration) {
        let begun = Instant::now();
        let mut child = self.at_mut(role, index).child.take().expect("it runs");
        process::signal(child.id(), Signal::SIGTERM);
        let status = child.wait().expect("its end");
        (status.code(), begun.elapsed())
    }

    /// Stops a process where it stands, as a machine does that swaps.
    pub fn pause(&self, role: Role, index: usize) {
        process::signal(self.pid(role, index), Signal::SIGSTOP);
    }

    /// Lets a paused process go on.
    pub fn go_on(&self, role: Role, index: usize) {
        process::signal(self.pid(role, index), Signal::SIGCONT);
    }

    /// Whether the process runs, paused or not.
    pub fn runs(&mut self, role: Role, index: usize) -> bool {
        let child = self.at_mut(role, index).child.as_mut();
        child.is_some_and(|child| matches!(child.try_wait(), Ok(None)))
    }

    /// The id of a running process.
    ///
    /// # Panics
    /// Where it does not run.
    pub fn pid(&self, role: Role, index: usize) -> u32 {
        self.at(role, index).child.as_ref().expect("it runs").id()
    }

    /// The number of an executor that has a trainer, and so runs a job.
    pub fn busy_executor(&self) -> Option<usize> {
        let executors = self.processes.iter().filter(|process| process.role == Role::Executor);
        let busy = |process: &&Process| {
            process.child.as_ref().is_some_and(|child| !process::children(child.id()).is_empty())
        };
        executors.filter(busy).map(|process| process.index).next()
    }

    /// Where an API serves clients.
    pub fn url(&self, index: usize) -> String {
        format!("http://{}", self.addresses(index)[0])
    }

    /// Where an API serves executors.
    pub fn internal_url(&self, index: usize) -> String {
        format!("http://{}", self.addresses(index)[1])
    }

    /// A client of an API with the first key.
    pub fn api(&self, index: usize) -> Api {
        Api::new(&self.url(index), &self.key)
    }

    /// The first API key, an operator's.
    pub fn key(&self) -> &str {
        &self.key
    }

    /// The cluster's directory. Objects lie in `data/objects` below it where no URL is named.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// What a process has logged since it started last.
    pub fn log(&self, role: Role, index: usize) -> String {
        fs::read_to_string(&self.at(role, index).log).unwrap_or_default()
    }

    fn at(&self, role: Role, index: usize) -> &Process {
        let mut all = self.processes.iter();
        all.find(|process| process.role == role && process.index == index).expect("such a process")
    }

    fn at_mut(&mut self, role: Role, index: usize) -> &mut Process {
        let mut all = self.processes.iter_mut();
        all.find(|process| process.role == role && process.index == index).expect("such a process")
    }

    fn addresses(&self, index: usize) -> &[String; 2] {
        self.at(Role::Api, index).addresses.as_ref().expect("it served")
    }

    fn spawn(&mut self, role: Role, index: usize) {
        assert!(self.at(role, index).child.is_none(), "{role:?} {index} runs");
        let server = self.options.server.clone();
        let mut command = process::clean(&server.unwrap_or_else(|| built::binary("trainyard")));
        command.envs(self.options.environment.iter().map(|(name, value)| (name, value)));
        command.current_dir(&self.directory).arg(role.as_str());
        command.args(self.flags(role, index));
        command.stdout(
            File::create(self.directory.join(format!("{}-{index}.out", role.as_str())))
                .expect("a file"),
        );
        command.stderr(File::create(&self.at(role, index).log).expect("a file"));
        self.at_mut(role, index).child = Some(command.spawn().expect("trainyard starts"));
    }

    fn flags(&self, role: Role, index: usize) -> Vec<String> {
        let options = &self.options;
        let mut flags: Vec<String> = Vec::new();
        let mut add = |name: &str, value: String| flags.extend([format!("--{name}"), value]);
        add("log-format", "json".to_string());
        add("queue", options.queue.clone());
        add("objects", options.objects.clone().unwrap_or_else(|| "file:data/objects".to_string()));
        add("models-dir", "models".to_string());
        if role != Role::Executor {
            add("store", options.store.clone());
            add("store-password-file", "redis-password".to_string());
            if let Some(seconds) = options.lease_seconds {
                add("lease-seconds", seconds.to_string());
                add("lease-grace-seconds", "1".to_string());
                add("redispatch-seconds", "5".to_string());
                add("tick-milliseconds", "200".to_string());
            }
        }
        if role != Role::Scheduler {
            add("executor-token-file", "token".to_string());
        }
        match role {
            Role::Scheduler => {}
            Role::Api => {
                let [public, internal] = match &self.at(role, index).addresses {
                    Some(addresses) => addresses.clone(),
                    None => ["127.0.0.1:0".to_string(), "127.0.0.1:0".to_string()],
                };
                add("listen", public);
                add("internal-listen", internal);
                add("bootstrap-key-file", "key".to_string());
                add("memory-per-job-mib", "4096".to_string());
            }
            Role::Executor => {
                let planes: Vec<String> =
                    (0..options.api).map(|api| self.internal_url(api)).collect();
                add("control-plane", planes.join(","));
                add("work-dir", format!("work-{index}"));
                add("threads", "1".to_string());
                if let Some(seconds) = options.lease_seconds {
                    add("heartbeat-seconds", (seconds / 8).max(1).to_string());
                    add("self-fence-seconds", (seconds * 3 / 4).max(2).to_string());
                }
                if let Some(trainer) = &options.trainer {
                    add("trainer", trainer.display().to_string());
                }
            }
        }
        let more = options.flags.iter().filter(|(of, _)| *of == role);
        flags.extend(more.map(|(_, flag)| flag.clone()));
        flags
    }

    fn wait_until_ready(&mut self, role: Role, index: usize) {
        let begun = Instant::now();
        loop {
            let log = self.log(role, index);
            let lines = log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
            let mut ready = lines.filter(|line| text(line, "/fields/message") == role.ready());
            let process = self.at_mut(role, index);
            if let Some(line) = ready.next() {
                if role == Role::Api {
                    let address = |name| text(&line, &format!("/fields/{name}"));
                    process.addresses = Some([address("address"), address("internal")]);
                }
                return;
            }
            let child = process.child.as_mut().expect("it was started");
            let ended = child.try_wait().expect("its state");
            assert!(ended.is_none(), "{role:?} {index} ended with {ended:?}:\n{log}");
            assert!(
                begun.elapsed() < START_MAX,
                "no {role:?} {index} within {START_MAX:?}:\n{log}"
            );
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        for process in self.processes.iter_mut().rev() {
            if let Some(mut child) = process.child.take() {
                // Trainers see their standard input close and end too.
                let _ = child.kill();
                let _ = child.wait();
            }
        }
        if std::thread::panicking() {
            self.processes.iter().for_each(tell);
        }
    }
}

/// What a process said last, for the output of a test that failed.
#[expect(clippy::print_stdout, reason = "a failed test shows what its processes said")]
fn tell(process: &Process) {
    let Process { role, index, log, .. } = process;
    let log = fs::read_to_string(log).unwrap_or_default();
    let lines: Vec<&str> = log.lines().collect();
    let last = lines[lines.len().saturating_sub(40)..].join("\n");
    println!("{role:?} {index} said last:\n{last}");
}

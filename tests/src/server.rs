//! A server in a process of its own, on a free loopback port, in a directory of its own.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Child;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use serde_json::Value;

use crate::api::{Api, text};
use crate::{built, data, process};

/// A start takes well under a second; two busy cores may take their time.
const START_MAX: Duration = Duration::from_secs(30);

/// A running server. Dropping it kills its process, by its id, and nothing else.
#[derive(Debug)]
pub struct Server {
    child: Child,
    directory: PathBuf,
    address: String,
    key: String,
    more: Vec<String>,
}

impl Server {
    /// Starts a server with the tiny model in a new directory below `directory`.
    pub fn start(directory: &Path) -> Self {
        Self::start_with(directory, &[])
    }

    /// The same with more flags, which a start again has too.
    pub fn start_with(directory: &Path, more: &[&str]) -> Self {
        data::install_model(&directory.join("data/models"));
        // Nothing can be read from it: what is not there yet is the server's to make.
        built::binary("trainyard-trainer");
        let more = more.iter().map(|flag| (*flag).to_string()).collect();
        Self::launch(directory, "127.0.0.1:0", more)
    }

    /// Starts the server again in the same directory on the same port, as an orchestrator would after a crash.
    #[must_use]
    pub fn start_again(self) -> Self {
        let (directory, address) = (self.directory.clone(), self.address.clone());
        let more = self.more.clone();
        drop(self);
        Self::launch(&directory, &address, more)
    }

    fn launch(directory: &Path, listen: &str, more: Vec<String>) -> Self {
        let (log, key) = (directory.join("server.log"), directory.join("key"));
        let mut command = process::clean(&built::binary("trainyard"));
        command.current_dir(directory).args(["serve", "--listen", listen, "--data-dir", "data"]);
        command.args(["--log-format", "json", "--threads", "1", "--bootstrap-key-file", "key"]);
        // Leases long enough for a busy machine, short enough for a test that waits for one.
        command.args([
            "--heartbeat-seconds",
            "1",
            "--self-fence-seconds",
            "6",
            "--lease-seconds",
            "8",
        ]);
        command.args(["--lease-grace-seconds", "1", "--tick-milliseconds", "200"]).args(&more);
        command.stdout(File::create(directory.join("server.out")).expect("a file"));
        command.stderr(File::create(&log).expect("a file"));
        let mut child = command.spawn().expect("trainyard starts");
        let start = Instant::now();
        let address = loop {
            let said = fs::read_to_string(&log).expect("the log");
            if let Some(address) = serving(&said) {
                break address;
            }
            let ended = child.try_wait().expect("the child's state");
            assert!(ended.is_none(), "the server ended with {ended:?}:\n{said}");
            if start.elapsed() > START_MAX {
                child.kill().expect("killed");
                panic!("no server within {START_MAX:?}:\n{said}");
            }
            std::thread::sleep(Duration::from_millis(20));
        };
        let key = fs::read_to_string(key).expect("the first key").trim().to_string();
        Self { child, directory: directory.to_path_buf(), address, key, more }
    }

    /// The root of its URLs.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Its API key.
    pub fn key(&self) -> &str {
        &self.key
    }

    /// A client with its key.
    pub fn api(&self) -> Api {
        Api::new(&self.url(), &self.key)
    }

    /// The id of its process.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Its directory; data lies in `data` below it.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// Its log so far, which starts anew with each start.
    pub fn log(&self) -> String {
        fs::read_to_string(self.directory.join("server.log")).expect("the log")
    }

    /// Kills the process and does not let it tidy up.
    pub fn kill(&mut self) {
        process::signal(self.child.id(), Signal::SIGKILL);
        self.child.wait().expect("its end");
    }

    /// Asks for an orderly end; gives the exit code and how long it took.
    pub fn terminate(&mut self) -> (Option<i32>, Duration) {
        let start = Instant::now();
        process::signal(self.child.id(), Signal::SIGTERM);
        let status = self.child.wait().expect("its end");
        (status.code(), start.elapsed())
    }

    /// Runs a client command against this server.
    pub fn cli(&self, args: &[&str]) -> process::Said {
        let mut command = process::clean(&built::binary("trainyard"));
        command.env("TRAINYARD_URL", self.url()).env("TRAINYARD_API_KEY", &self.key);
        command.current_dir(&self.directory).args(args);
        command.output().expect("trainyard runs").into()
    }

    /// Runs a file of `python/` under pytest against this server.
    ///
    /// # Panics
    /// Where a test of it fails, with what pytest said.
    pub fn pytest(&self, file: &str) {
        let mut command = process::clean(&built::python());
        command.args(["-m", "pytest", "-q", "--no-header", "-p", "no:cacheprovider"]);
        command.arg(built::tests_dir().join("python").join(file));
        command.env("OPENAI_BASE_URL", format!("{}/v1", self.url()));
        command.env("OPENAI_API_KEY", &self.key).env("TINY_MODEL", data::model());
        command.env("HF_HUB_OFFLINE", "1").env("OMP_NUM_THREADS", "1").env("NO_PROXY", "127.0.0.1");
        command.env("PYTHONDONTWRITEBYTECODE", "1");
        let said = process::Said::from(command.output().expect("python runs"));
        assert_eq!(said.code, 0, "{}\n{}\nserver:\n{}", said.stdout, said.stderr, self.log());
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(None)) {
            // Its trainers see their standard input close and end too.
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}

/// The address in the log line that says that the server answers.
fn serving(log: &str) -> Option<String> {
    let lines = log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let mut serving = lines.filter(|line| text(line, "/fields/message") == "serving");
    serving.next().map(|line| text(&line, "/fields/address"))
}

//! The server under measurement, in a process of its own.

use std::fs::{self, File};
use std::path::Path;
use std::process::Child;
use std::time::{Duration, Instant};

use trainyard_tests::api::text;
use trainyard_tests::{Api, data, process};

/// A start takes well under a second.
const START_MAX: Duration = Duration::from_secs(60);
/// More than anybody asks for: rate limits are not what is measured.
const NO_LIMIT: &str = "4000000000";

pub(crate) struct Server {
    child: Child,
    /// A client with the first key.
    pub(crate) api: Api,
    pub(crate) base: String,
    pub(crate) key: String,
}

impl Server {
    /// Starts `binary` on a free port with its data in `directory`, without slots: nothing is trained, so any executable does for
    /// a trainer.
    pub(crate) fn start(binary: &Path, directory: &Path) -> Self {
        data::install_model(&directory.join("data/models"));
        let binary = binary.canonicalize().expect("the built server");
        let trainer = std::env::current_exe().expect("this program");
        let (log, key) = (directory.join("server.log"), directory.join("key"));
        let mut command = process::clean(&binary);
        command.current_dir(directory).args(["serve", "--listen", "127.0.0.1:0"]);
        command.args(["--data-dir", "data", "--bootstrap-key-file", "key"]);
        command.args(["--log-format", "json", "--slots", "0"]).arg("--trainer").arg(trainer);
        command.args(["--requests-per-minute", NO_LIMIT]);
        command.args(["--requests-per-minute-per-key", NO_LIMIT]);
        command.stdout(File::create(directory.join("server.out")).expect("a file"));
        command.stderr(File::create(&log).expect("a file"));
        let mut child = command.spawn().expect("the server starts");
        let start = Instant::now();
        let address = loop {
            let said = fs::read_to_string(&log).expect("the log");
            let lines = said.lines().filter_map(|line| serde_json::from_str(line).ok());
            let mut serving = lines.filter(|line| text(line, "/fields/message") == "serving");
            if let Some(line) = serving.next() {
                break text(&line, "/fields/address");
            }
            assert!(child.try_wait().expect("its state").is_none(), "the server ended:\n{said}");
            assert!(start.elapsed() < START_MAX, "no server within {START_MAX:?}:\n{said}");
            std::thread::sleep(Duration::from_millis(20));
        };
        let key = fs::read_to_string(key).expect("the first key").trim().to_string();
        let base = format!("http://{address}");
        Self { child, api: Api::new(&base, &key), base, key }
    }

    /// A line of the process' memory in MiB: `VmRSS` now, `VmHWM` the most since the last [`Server::forget_peak`].
    pub(crate) fn resident_mib(&self, line: &str) -> u64 {
        process::memory_kib(self.child.id(), line) / 1024
    }

    /// Lets the kernel count the peak of resident memory anew.
    pub(crate) fn forget_peak(&self) {
        process::forget_peak(self.child.id());
    }

    /// Asks for an orderly end and waits for it.
    pub(crate) fn stop(mut self) {
        process::terminate(self.child.id());
        let ended = self.child.wait().expect("its end");
        println!("\nthe server ended: {ended}");
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(None)) {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}

//! A redis-server that can lose its power: what no fsync covered is gone then (`synced.c` keeps book). A kill alone would show
//! nothing, because the kernel keeps what a dead process has written.

use std::fs::{self, File};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use trainyard_tests::redis::PASSWORD;

/// Only a hang guard: a start takes some milliseconds, a long log a second.
const START_MAX: Duration = Duration::from_secs(60);

/// A server in a directory of its own. Dropping it kills its process, by its id, and nothing else.
#[derive(Debug)]
pub struct Redis {
    child: Child,
    directory: PathBuf,
    port: u16,
    appendfsync: &'static str,
}

impl Redis {
    /// Starts one below `directory` that syncs its log as `appendfsync` says: `always`, `everysec` or `no`.
    ///
    /// # Panics
    /// Where none starts.
    pub fn start(directory: &Path, appendfsync: &'static str) -> Self {
        let directory = directory.join("redis");
        fs::create_dir_all(directory.join("synced")).expect("a directory");
        let source = concat!(env!("CARGO_MANIFEST_DIR"), "/src/services/synced.c");
        let mut compile = Command::new("cc");
        compile.args(["-shared", "-fPIC", "-O1", "-o"]);
        compile.arg(directory.join("synced.so")).arg(source);
        assert!(compile.status().expect("a C compiler").success());
        // Somebody else may take the port before the server does.
        for _ in 0..20 {
            let free = TcpListener::bind("127.0.0.1:0").expect("a port");
            let port = free.local_addr().expect("its number").port();
            drop(free);
            if let Some(child) = launch(&directory, port, appendfsync) {
                return Self { child, directory, port, appendfsync };
            }
        }
        panic!("no redis-server starts: {}", log(&directory));
    }

    /// Its port.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// `kill -9`.
    pub fn kill(&mut self) {
        self.child.kill().expect("killed");
        self.child.wait().expect("its end");
    }

    /// Takes what no fsync covered from the log of a killed server; gives how many bytes that was.
    ///
    /// # Panics
    /// Where the log or its book cannot be read.
    pub fn forget_unsynced(&self) -> u64 {
        let mut lost = 0;
        for entry in fs::read_dir(self.directory.join("appendonlydir")).expect("the log") {
            let path = entry.expect("an entry").path();
            // The base and the manifest were made, and synced, at the first start.
            if !path.to_string_lossy().ends_with(".incr.aof") {
                continue;
            }
            let about = fs::metadata(&path).expect("the log");
            let book = self.directory.join("synced").join(about.ino().to_string());
            // A file that was never synced has no entry.
            let covered: u64 =
                fs::read_to_string(book).map_or(0, |text| text.trim().parse().expect("a size"));
            if covered < about.len() {
                lost += about.len() - covered;
                let file = File::options().write(true).open(&path).expect("the log");
                file.set_len(covered).expect("cut");
            }
        }
        lost
    }

    /// Starts a killed server again on what it has.
    ///
    /// # Panics
    /// Where it does not start.
    pub fn start_again(&mut self) {
        let begun = Instant::now();
        while begun.elapsed() < START_MAX {
            if let Some(child) = launch(&self.directory, self.port, self.appendfsync) {
                self.child = child;
                return;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        panic!("redis-server does not start again: {}", log(&self.directory));
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Starts a server; none where it ended at once, as it does where its port is taken.
fn launch(directory: &Path, port: u16, appendfsync: &str) -> Option<Child> {
    let out = File::create(directory.join("log")).expect("a file");
    let mut command = Command::new("redis-server");
    command.arg("--port").arg(port.to_string()).args(["--bind", "127.0.0.1", "--save", ""]);
    command.args(["--appendonly", "yes", "--appendfsync", appendfsync, "--requirepass", PASSWORD]);
    // One file that only grows: its synced part is its beginning.
    command.args(["--auto-aof-rewrite-percentage", "0"]).arg("--dir").arg(directory);
    command.env("LD_PRELOAD", directory.join("synced.so"));
    command.env("SYNCED", directory.join("synced"));
    command.stdin(Stdio::null()).stdout(out).stderr(Stdio::null());
    let mut child = command.spawn().expect("redis-server: run `make test`, which installs it");
    let begun = Instant::now();
    while begun.elapsed() < START_MAX {
        if child.try_wait().expect("its state").is_some() {
            return None;
        }
        if log(directory).contains("Ready to accept connections")
            && TcpStream::connect(("127.0.0.1", port)).is_ok()
        {
            return Some(child);
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    child.kill().expect("killed");
    child.wait().expect("its end");
    panic!("redis-server is not ready: {}", log(directory));
}

fn log(directory: &Path) -> String {
    fs::read_to_string(directory.join("log")).unwrap_or_default()
}

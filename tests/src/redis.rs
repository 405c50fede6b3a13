//! A redis-server in a process of its own, on a free loopback port, with a password, as durable as the record asks for.

use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Only a hang guard: a start takes some milliseconds.
const START_MAX: Duration = Duration::from_secs(60);
/// Its password, which no log may hold.
pub const PASSWORD: &str = "correct-horse-battery";

/// A running redis-server. Dropping it kills its process, by its id, and nothing else.
#[derive(Debug)]
pub struct Redis {
    child: Child,
    directory: PathBuf,
    port: u16,
}

impl Redis {
    /// Starts one with its data in a new directory below `directory`.
    ///
    /// # Panics
    /// Where none starts.
    pub fn start(directory: &Path) -> Self {
        let directory = directory.join("redis");
        fs::create_dir(&directory).expect("a directory");
        // Somebody else may take the port before the server does.
        for _ in 0..20 {
            let free = TcpListener::bind("127.0.0.1:0").expect("a port");
            let port = free.local_addr().expect("its number").port();
            drop(free);
            if let Some(child) = launch(&directory, port) {
                return Self { child, directory, port };
            }
        }
        panic!("no redis-server starts: {}", log(&directory));
    }

    /// Its URL, without the password.
    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// `kill -9`, and a start again on the same data.
    ///
    /// # Panics
    /// Where it does not start.
    pub fn kill_and_start_again(&mut self) {
        self.child.kill().expect("killed");
        self.child.wait().expect("its end");
        let begun = Instant::now();
        while begun.elapsed() < START_MAX {
            if let Some(child) = launch(&self.directory, self.port) {
                self.child = child;
                return;
            }
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
fn launch(directory: &Path, port: u16) -> Option<Child> {
    let out = fs::File::create(directory.join("log")).expect("a file");
    let mut command = Command::new("redis-server");
    command.arg("--port").arg(port.to_string()).args(["--bind", "127.0.0.1", "--save", ""]);
    command.args(["--appendonly", "yes", "--appendfsync", "always", "--requirepass", PASSWORD]);
    command.arg("--dir").arg(directory);
    command.stdin(Stdio::null()).stdout(out).stderr(Stdio::null());
    let mut child = command.spawn().expect("redis-server: run `make test`, which installs it");
    let begun = Instant::now();
    while begun.elapsed() < START_MAX {
        if child.try_wait().expect("its state").is_some() {
            return None;
        }
        if log(directory).contains("Ready to accept connections") {
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

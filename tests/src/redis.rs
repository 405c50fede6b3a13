//! A redis-server in a process of its own, on a free loopback port, with a password, as durable as the record asks for.

use std::fs;
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Only a hang guard: a start takes some milliseconds, a long log a second.
const START_MAX: Duration = Duration::from_secs(60);
/// Its password, which no log may hold.
pub const PASSWORD: &str = "correct-horse-battery";

/// How a server is started.
#[derive(Debug, Clone)]
pub struct Settings {
    /// When it syncs its log: `always`, `everysec` or `no`.
    pub appendfsync: &'static str,
    /// More arguments.
    pub args: Vec<String>,
    /// Variables of its environment.
    pub environment: Vec<(&'static str, PathBuf)>,
}

impl Default for Settings {
    fn default() -> Self {
        Self { appendfsync: "always", args: Vec::new(), environment: Vec::new() }
    }
}

/// A running redis-server. Dropping it kills its process, by its id, and nothing else.
#[derive(Debug)]
pub struct Redis {
    child: Child,
    directory: PathBuf,
    port: u16,
    settings: Settings,
}

impl Redis {
    /// Starts one with its data in a new directory below `directory`.
    ///
    /// # Panics
    /// Where none starts.
    pub fn start(directory: &Path) -> Self {
        Self::start_with(directory, Settings::default())
    }

    /// The same as `settings` say.
    ///
    /// # Panics
    /// Where none starts.
    pub fn start_with(directory: &Path, settings: Settings) -> Self {
        let directory = directory.join("redis");
        fs::create_dir(&directory).expect("a directory");
        // Somebody else may take the port before the server does.
        for _ in 0..20 {
            let free = TcpListener::bind("127.0.0.1:0").expect("a port");
            let port = free.local_addr().expect("its number").port();
            drop(free);
            if let Some(child) = launch(&directory, port, &settings) {
                return Self { child, directory, port, settings };
            }
        }
        panic!("no redis-server starts: {}", log(&directory));
    }

    /// Its URL, without the password.
    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// Its port.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Where its data lies.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// `kill -9`, and a start again on the same data.
    ///
    /// # Panics
    /// Where it does not start.
    pub fn kill_and_start_again(&mut self) {
        self.kill();
        self.start_again();
    }

    /// `kill -9`.
    ///
    /// # Panics
    /// Where it cannot be killed.
    pub fn kill(&mut self) {
        self.child.kill().expect("killed");
        self.child.wait().expect("its end");
    }

    /// Starts a killed server again on what it has.
    ///
    /// # Panics
    /// Where it does not start.
    pub fn start_again(&mut self) {
        let begun = Instant::now();
        while begun.elapsed() < START_MAX {
            if let Some(child) = launch(&self.directory, self.port, &self.settings) {
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
fn launch(directory: &Path, port: u16, settings: &Settings) -> Option<Child> {
    let Settings { appendfsync, args, environment } = settings;
    let out = fs::File::create(directory.join("log")).expect("a file");
    let mut command = Command::new("redis-server");
    command.arg("--port").arg(port.to_string()).args(["--bind", "127.0.0.1", "--save", ""]);
    command.args(["--appendonly", "yes", "--appendfsync", appendfsync, "--requirepass", PASSWORD]);
    command
        .args(args)
        .arg("--dir")
        .arg(directory)
        .envs(environment.iter().map(|(name, value)| (name, value)));
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

//! A redis-server of a test's own: on a free loopback port, in a directory of its own, ended by its process id.

use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;
use trainyard_scheduler::adapter::redis::{RedisOptions, RedisStore};

/// Only a hang guard: a start takes some milliseconds.
const START_MAX: Duration = Duration::from_secs(60);
/// What the record asks for.
pub(crate) const DURABLE: &[&str] = &["--appendonly", "yes", "--appendfsync", "always"];

/// The server. Dropping it kills its process, and nothing else.
pub(crate) struct Server {
    child: Child,
    port: u16,
    directory: TempDir,
    more: Vec<String>,
}

impl Server {
    /// As the record needs it.
    pub(crate) fn durable() -> Self {
        Self::with(DURABLE)
    }

    /// With these settings.
    pub(crate) fn with(more: &[&str]) -> Self {
        let directory = TempDir::new().unwrap();
        let more: Vec<String> = more.iter().map(ToString::to_string).collect();
        // Somebody else may take the port before the server does.
        for _ in 0..20 {
            let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
            if let Some(child) = start(directory.path(), port, &more) {
                return Self { child, port, directory, more };
            }
        }
        panic!("no redis-server starts: {}", log(directory.path()));
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    pub(crate) fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// `kill -9`.
    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Starts it again after [`Server::kill`], on the same port with what is in its directory.
    pub(crate) fn start_again(&mut self) {
        let more = self.more.clone();
        self.start_again_with(&more);
    }

    /// The same with other settings.
    pub(crate) fn start_again_with(&mut self, more: &[String]) {
        let begun = Instant::now();
        while begun.elapsed() < START_MAX {
            if let Some(child) = start(self.directory.path(), self.port, more) {
                self.child = child;
                return;
            }
        }
        panic!("redis-server does not start again: {}", log(self.directory.path()));
    }

    /// Forgets what it has stored.
    pub(crate) fn wipe(&self) {
        std::fs::remove_dir_all(self.directory.path().join("appendonlydir")).unwrap();
    }

    /// A store on it whose keys nobody else uses.
    pub(crate) async fn store(&self, namespace: &str) -> RedisStore {
        RedisStore::open(&self.url(), &named(namespace)).await.unwrap()
    }

    /// One command, said on a connection of its own; gives the answer as text.
    pub(crate) async fn say(&self, words: &[&str]) -> String {
        let client = redis::Client::open(self.url()).unwrap();
        let mut connection = client.get_multiplexed_async_connection().await.unwrap();
        let mut command = redis::cmd(words[0]);
        command.arg(&words[1..]);
        let answer: redis::Value = command.query_async(&mut connection).await.unwrap();
        match answer {
            redis::Value::BulkString(bytes) => String::from_utf8(bytes).unwrap(),
            other => format!("{other:?}"),
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The options of a store of this name.
pub(crate) fn named(namespace: &str) -> RedisOptions {
    RedisOptions { namespace: namespace.to_string(), ..RedisOptions::default() }
}

/// Starts a server; none where it ended at once, as it does where its port is taken.
fn start(directory: &Path, port: u16, more: &[String]) -> Option<Child> {
    let out = std::fs::File::create(directory.join("log")).unwrap();
    let mut command = Command::new("redis-server");
    command.arg("--port").arg(port.to_string()).args(["--bind", "127.0.0.1", "--save", ""]);
    command.arg("--dir").arg(directory).args(more);
    command.stdin(Stdio::null()).stdout(out).stderr(Stdio::null());
    let mut child = command.spawn().expect("redis-server is installed: `make prerequisites`");
    let begun = Instant::now();
    while begun.elapsed() < START_MAX {
        if child.try_wait().unwrap().is_some() {
            return None;
        }
        if log(directory).contains("Ready to accept connections")
            && TcpStream::connect(("127.0.0.1", port)).is_ok()
        {
            return Some(child);
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    panic!("redis-server is not ready: {}", log(directory));
}

fn log(directory: &Path) -> String {
    std::fs::read_to_string(directory.join("log")).unwrap_or_default()
}

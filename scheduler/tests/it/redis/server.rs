//! A redis-server of a test's own: on a free loopback port, in a directory of its own, ended by its process id.

use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
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
    home: Home,
    /// Where it is its own, it goes with it.
    place: Option<TempDir>,
}

/// Where and how a server runs.
pub(crate) struct Home {
    pub(crate) directory: PathBuf,
    pub(crate) settings: Vec<String>,
    pub(crate) environment: Vec<(&'static str, PathBuf)>,
}

impl Server {
    /// As the record needs it.
    pub(crate) fn durable() -> Self {
        Self::with(DURABLE)
    }

    /// With these settings.
    pub(crate) fn with(more: &[&str]) -> Self {
        let place = TempDir::new().unwrap();
        let settings = more.iter().map(ToString::to_string).collect();
        let home =
            Home { directory: place.path().to_path_buf(), settings, environment: Vec::new() };
        let mut server = Self::at(home);
        server.place = Some(place);
        server
    }

    /// At a place that outlives it.
    pub(crate) fn at(home: Home) -> Self {
        // Somebody else may take the port before the server does.
        for _ in 0..20 {
            let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
            if let Some(child) = home.start(port) {
                return Self { child, port, home, place: None };
            }
        }
        panic!("no redis-server starts: {}", home.log());
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
        let begun = Instant::now();
        while begun.elapsed() < START_MAX {
            if let Some(child) = self.home.start(self.port) {
                self.child = child;
                return;
            }
        }
        panic!("redis-server does not start again: {}", self.home.log());
    }

    /// The same with other settings from now on.
    pub(crate) fn start_again_with(&mut self, settings: &[&str]) {
        self.home.settings = settings.iter().map(ToString::to_string).collect();
        self.start_again();
    }

    /// Forgets what it has stored.
    pub(crate) fn wipe(&self) {
        std::fs::remove_dir_all(self.home.directory.join("appendonlydir")).unwrap();
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

impl Home {
    /// Starts a server; none where it ended at once, as it does where its port is taken.
    fn start(&self, port: u16) -> Option<Child> {
        let out = std::fs::File::create(self.directory.join("log")).unwrap();
        let mut command = Command::new("redis-server");
        command.arg("--port").arg(port.to_string()).args(["--bind", "127.0.0.1", "--save", ""]);
        command.arg("--dir").arg(&self.directory).args(&self.settings);
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        command.stdin(Stdio::null()).stdout(out).stderr(Stdio::null());
        let mut child = command.spawn().expect("redis-server: run `make test`, which installs it");
        let begun = Instant::now();
        while begun.elapsed() < START_MAX {
            if child.try_wait().unwrap().is_some() {
                return None;
            }
            if self.log().contains("Ready to accept connections")
                && TcpStream::connect(("127.0.0.1", port)).is_ok()
            {
                return Some(child);
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        child.kill().unwrap();
        child.wait().unwrap();
        panic!("redis-server is not ready: {}", self.log());
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.directory.join("log")).unwrap_or_default()
    }
}

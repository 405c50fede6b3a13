//! A RabbitMQ of this test alone: its own name, ports and directory, on loopback, ended by its process id. It shares nothing with
//! one that the machine may run.

use std::fs::{self, File};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

/// Debian and Ubuntu put the programs here. Those on PATH change user and lose the environment.
const PROGRAMS: &str = "/usr/lib/rabbitmq/bin";
/// Folders of another RabbitMQ, and of the Erlang that it needs, separated by ':'.
const OTHER: &str = "TRAINYARD_TEST_RABBITMQ";
/// A start takes six seconds; a slow machine may take its time.
const START_MAX: Duration = Duration::from_secs(180);
/// RabbitMQ 3.10 may lose a quorum queue that is younger when it is killed: it has then no leader, and at times not even its name can
/// be used again before the next restart.
const SETTLED: Duration = Duration::from_secs(30);
/// The user's password: characters that a URL has to escape.
const PASSWORD: &str = "p/w:@%é";
const PASSWORD_IN_URL: &str = "p%2Fw%3A%40%25%C3%A9";

/// A running broker.
pub(crate) struct Broker {
    dir: TempDir,
    pub(crate) port: u16,
    ports: [u16; 2],
    names: Child,
    node: Option<Child>,
    vhosts: u32,
}

impl Broker {
    /// Starts a broker that holds nothing.
    pub(crate) fn start() -> Self {
        let dir = TempDir::new().unwrap();
        let [port, distribution, epmd] = free_ports();
        fs::create_dir(dir.path().join("home")).unwrap();
        let definitions = dir.path().join("definitions.json");
        fs::write(
            dir.path().join("rabbitmq.conf"),
            format!(
                "listeners.tcp.1 = 127.0.0.1:{port}\nload_definitions = {}\n",
                definitions.display()
            ),
        )
        .unwrap();
        fs::write(
            &definitions,
            serde_json::json!({
                "users": [{"name": "trainyard", "password": PASSWORD, "tags": "administrator"}],
                "vhosts": [{"name": "/"}],
                "permissions": [
                    {"user": "trainyard", "vhost": "/", "configure": ".*", "write": ".*", "read": ".*"},
                ],
            })
            .to_string(),
        )
        .unwrap();
        fs::write(dir.path().join("enabled_plugins"), "[].").unwrap();
        // The registry of Erlang's nodes; without one of its own the node would start the machine's.
        let mut names = Command::new(program("epmd"));
        names.args(["-port", &epmd.to_string(), "-address", "127.0.0.1"]);
        let names = names.stdin(Stdio::null()).stdout(Stdio::null()).spawn().unwrap();
        let mut broker =
            Self { dir, port, ports: [distribution, epmd], names, node: None, vhosts: 0 };
        broker.start_again();
        broker
    }

    /// Starts the broker on what it has on its disk.
    pub(crate) fn start_again(&mut self) {
        assert!(self.node.is_none(), "it runs");
        let log = self.path("log.txt");
        let out = File::create(&log).unwrap();
        let mut server = self.command("rabbitmq-server");
        // Makes the script give its process to the node, so that the child's id is the node's.
        server.env("detached", "yes").stdin(Stdio::null());
        server.stdout(out.try_clone().unwrap()).stderr(out);
        let mut node = server.spawn().unwrap();
        let start = Instant::now();
        while !fs::read_to_string(&log).unwrap().contains("Server startup complete") {
            let ended = node.try_wait().unwrap();
            let said = || fs::read_to_string(&log).unwrap();
            assert!(ended.is_none(), "the broker ended with {ended:?}:\n{}", said());
            if start.elapsed() > START_MAX {
                node.kill().unwrap();
                panic!("no broker within {START_MAX:?}:\n{}", said());
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        self.node = Some(node);
    }

    /// Waits until queues that were declared just now survive a kill.
    pub(crate) async fn settle(&self) {
        tokio::time::sleep(SETTLED).await;
    }

    /// `kill -9`.
    pub(crate) fn kill(&mut self) {
        let mut node = self.node.take().expect("it runs");
        node.kill().unwrap();
        node.wait().unwrap();
    }

    /// Removes what a killed broker had on its disk.
    pub(crate) fn wipe(&mut self) {
        assert!(self.node.is_none(), "it runs");
        fs::remove_dir_all(self.path("data")).unwrap();
    }

    /// A URL of the virtual host `/`.
    pub(crate) fn url(&self) -> String {
        self.url_of(self.port, "%2f")
    }

    /// A URL of a virtual host, at a port that leads to the broker.
    pub(crate) fn url_of(&self, port: u16, vhost: &str) -> String {
        format!("amqp://trainyard:{PASSWORD_IN_URL}@127.0.0.1:{port}/{vhost}")
    }

    /// The password, which no message may show, in all its forms.
    pub(crate) fn passwords() -> [&'static str; 2] {
        [PASSWORD, PASSWORD_IN_URL]
    }

    /// A new virtual host with nothing in it.
    pub(crate) fn new_vhost(&mut self) -> String {
        self.vhosts += 1;
        let name = format!("v{}", self.vhosts);
        self.ctl(&["add_vhost", &name]);
        self.ctl(&["set_permissions", "-p", &name, "trainyard", ".*", ".*", ".*"]);
        name
    }

    /// Runs `rabbitmqctl` and gives what it says.
    pub(crate) fn ctl(&self, args: &[&str]) -> String {
        let mut command = self.command("rabbitmqctl");
        let output = command.arg("--quiet").args(args).stdin(Stdio::null()).output().unwrap();
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "rabbitmqctl {args:?}: {said}{errors}");
        said
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(self::program(program));
        let [distribution, epmd] = self.ports;
        command.env_clear();
        command.env("PATH", path()).env("LANG", "C.UTF-8");
        command.env("HOME", self.path("home")).env("RABBITMQ_PID_FILE", self.path("pid"));
        command.env("RABBITMQ_NODENAME", format!("trainyard-{}@localhost", self.port));
        command.env("RABBITMQ_DIST_PORT", distribution.to_string());
        command.env("ERL_EPMD_PORT", epmd.to_string()).env("ERL_EPMD_ADDRESS", "127.0.0.1");
        command.env("RABBITMQ_MNESIA_BASE", self.path("data"));
        command.env("RABBITMQ_LOG_BASE", self.path("log")).env("RABBITMQ_LOGS", "-");
        command.env("RABBITMQ_CONFIG_FILE", self.path("rabbitmq.conf"));
        command.env("RABBITMQ_CONF_ENV_FILE", self.path("none"));
        command.env("RABBITMQ_ENABLED_PLUGINS_FILE", self.path("enabled_plugins"));
        let loopback = "-kernel inet_dist_use_interface {127,0,0,1}";
        command.env("RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS", loopback);
        command
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let log = fs::read_to_string(self.path("log.txt")).unwrap_or_default();
            let lines: Vec<&str> = log.lines().collect();
            println!(
                "the broker said last:\n{}",
                lines[lines.len().saturating_sub(60)..].join("\n")
            );
        }
        for child in self.node.iter_mut().chain([&mut self.names]) {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// Where programs are looked for.
#[allow(clippy::disallowed_methods, reason = "tests are set by their environment")]
fn path() -> String {
    let first = std::env::var(OTHER).unwrap_or_else(|_| PROGRAMS.to_string());
    format!("{first}:/usr/bin:/bin")
}

fn program(name: &str) -> PathBuf {
    let path = path();
    let mut places = path.split(':').map(|folder| Path::new(folder).join(name));
    places.find(|place| place.exists()).unwrap_or_else(|| {
        panic!("no '{name}' in {path}: run `scripts/prerequisites.sh test`, or set {OTHER}")
    })
}

/// Ports that nobody listens on, held together so that they differ.
fn free_ports() -> [u16; 3] {
    let listeners = [(); 3].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
    listeners.map(|listener| listener.local_addr().unwrap().port())
}

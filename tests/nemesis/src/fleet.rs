//! The whole service as processes: two that answer, two that schedule, three that train, and what they stand on.

use std::path::Path;
use std::time::Duration;

use trainyard_tests::rgw::{ACCESS_KEY_ID, SECRET_ACCESS_KEY};
use trainyard_tests::{built, data};

use crate::node::{Node, Role, free_port};
use crate::services::{Services, objects_url};

/// A run may go without a heartbeat for so long.
pub const LEASE: Duration = Duration::from_secs(3);
/// After that its job is given to another.
pub const GRACE: Duration = Duration::from_secs(1);
/// A ticket that nobody took is issued anew after so long.
pub const REDISPATCH: Duration = Duration::from_secs(4);
/// Jobs that one executor runs at a time.
const SLOTS: u32 = 2;

/// How the service is set up.
#[derive(Debug, Clone)]
pub struct Options {
    /// How Redis syncs its log.
    pub appendfsync: &'static str,
    /// More settings for the processes that work on the record.
    pub of_record: Vec<String>,
}

impl Default for Options {
    fn default() -> Self {
        Self { appendfsync: "always", of_record: Vec::new() }
    }
}

/// The running service.
pub struct Fleet {
    /// What it stands on.
    pub services: Services,
    nodes: Vec<Node>,
    apis: Vec<String>,
    key: String,
}

impl Fleet {
    /// Starts everything in `directory`; none where Ceph is not installed, which is said.
    ///
    /// # Panics
    /// Where something does not start.
    pub async fn start(directory: &Path, options: &Options) -> Option<Self> {
        let services = Services::start(directory, options.appendfsync).await?;
        let models = directory.join("models");
        data::install_model(&models);
        let secret = data::file(directory, "s3-secret", SECRET_ACCESS_KEY);
        let token = data::file(directory, "executor-token", "nemesis-executors-share-this-secret-of-theirs");
        let key_file = directory.join("key");
        let flag = |name: &str, value: &dyn std::fmt::Display| [name.to_string(), value.to_string()];
        let mut shared = Vec::new();
        shared.extend(flag("--queue", &services.queue_url()));
        shared.extend(flag("--objects", &objects_url()));
        shared.extend(flag("--s3-endpoint", &services.s3_endpoint()));
        shared.extend(flag("--s3-access-key-id", &ACCESS_KEY_ID));
        shared.extend(flag("--s3-secret-access-key-file", &secret.display()));
        shared.extend(flag("--log-format", &"json"));
        let mut of_record = shared.clone();
        of_record.extend(flag("--store", &services.store_url()));
        of_record.extend(flag("--lease-seconds", &LEASE.as_secs()));
        of_record.extend(flag("--lease-grace-seconds", &GRACE.as_secs()));
        of_record.extend(flag("--redispatch-seconds", &REDISPATCH.as_secs()));
        of_record.extend(flag("--tick-milliseconds", &200));
        // Faults are the point here, and none of them is a job's: none may use its attempts up.
        of_record.extend(flag("--attempts-lost-max", &1000));
        of_record.extend(flag("--attempts-failed-max", &1000));
        of_record.extend(options.of_record.iter().cloned());
        if options.appendfsync != "always" {
            of_record.extend(flag("--store-allow-volatile", &true));
        }
        let (mut nodes, mut apis, mut control) = (Vec::new(), Vec::new(), Vec::new());
        for index in 0..2 {
            let (port, internal) = (free_port(), free_port());
            let mut arguments = of_record.clone();
            arguments.extend(flag("--listen", &format!("127.0.0.1:{port}")));
            arguments.extend(flag("--internal-listen", &format!("127.0.0.1:{internal}")));
            arguments.extend(flag("--executor-token-file", &token.display()));
            arguments.extend(flag("--bootstrap-key-file", &key_file.display()));
            arguments.extend(flag("--models-dir", &models.display()));
            for limit in ["--requests-per-minute", "--requests-per-minute-per-key"] {
                arguments.extend(flag(limit, &1_000_000));
            }
            apis.push(format!("http://127.0.0.1:{port}"));
            control.push(format!("http://127.0.0.1:{internal}"));
            let place = directory.join(format!("api-{index}"));
            nodes.push(Node::new(Role::Api, place, arguments, Some(port)));
        }
        for index in 0..2 {
            let mut arguments = of_record.clone();
            arguments.extend(flag("--models-dir", &models.display()));
            let place = directory.join(format!("scheduler-{index}"));
            nodes.push(Node::new(Role::Scheduler, place, arguments, None));
        }
        for index in 0..3 {
            let place = directory.join(format!("executor-{index}"));
            let mut arguments = shared.clone();
            arguments.extend(flag("--control-plane", &control.join(",")));
            arguments.extend(flag("--executor-token-file", &token.display()));
            arguments.extend(flag("--models-dir", &models.display()));
            arguments.extend(flag("--work-dir", &place.join("work").display()));
            arguments.extend(flag("--slots", &SLOTS));
            arguments.extend(flag("--heartbeat-seconds", &1));
            arguments.extend(flag("--self-fence-seconds", &2));
            arguments.extend(flag("--trainer", &built::binary("trainyard-chain-trainer").display()));
            nodes.push(Node::new(Role::Executor, place, arguments, None));
        }
        for node in &mut nodes {
            node.start();
            node.wait_until_it_listens();
        }
        let key = std::fs::read_to_string(&key_file).expect("the first key").trim().to_string();
        Some(Self { services, nodes, apis, key })
    }

    /// The roots of the URLs of those that answer.
    pub fn apis(&self) -> &[String] {
        &self.apis
    }

    /// The API key.
    pub fn key(&self) -> &str {
        &self.key
    }

    /// The processes of a role.
    pub fn nodes(&mut self, role: Role) -> Vec<&mut Node> {
        self.nodes.iter_mut().filter(|node| node.role == role).collect()
    }

    /// Starts what does not run.
    pub fn start_missing(&mut self) {
        for node in &mut self.nodes {
            node.start();
        }
        for node in &mut self.nodes {
            node.wait_until_it_listens();
        }
    }

    /// How often the processes of a role have said `words`.
    pub fn said(&self, role: Role, words: &str) -> usize {
        let nodes = self.nodes.iter().filter(|node| node.role == role);
        nodes.map(|node| node.log().matches(words).count()).sum()
    }
}

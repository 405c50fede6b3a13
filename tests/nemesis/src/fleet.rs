//! The whole service: two processes that answer, two that schedule, three that train, and what they stand on.

use std::path::{Path, PathBuf};
use std::time::Duration;

use trainyard_tests::cluster::{Cluster, ClusterOptions, Role};
use trainyard_tests::rgw::{ACCESS_KEY_ID, SECRET_ACCESS_KEY};
use trainyard_tests::{built, data};

use crate::services::{Services, objects_url};

/// A run may go without a heartbeat for so long.
const LEASE_SECONDS: u64 = 4;
/// After that, and a second, its job is given to another.
pub const UNTIL_ANOTHER: Duration = Duration::from_secs(LEASE_SECONDS + 1);
/// Processes of each role.
const APIS: usize = 2;
const SCHEDULERS: usize = 2;
/// The server that can leave a guard out; `scripts/nemesis_mutants.sh` builds it.
const SERVER_WITH_MUTANTS: &str = "trainyard-with-mutants";
/// Words of an agent that was told that its job is another's.
const FENCED: &str = "fenced: the run was given up";

/// How the service is set up.
#[derive(Debug, Clone)]
pub struct Options {
    /// How Redis syncs its log.
    pub appendfsync: &'static str,
    /// The guard of the protocol that is left out, by a server that was built so that it can be.
    pub without: Option<&'static str>,
    /// Agents.
    pub executors: usize,
    /// Jobs that an agent runs at a time.
    pub slots: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self { appendfsync: "always", without: None, executors: 3, slots: 2 }
    }
}

/// The running service.
pub struct Fleet {
    /// What it stands on.
    pub services: Services,
    cluster: Cluster,
    executors: usize,
    fenced: usize,
}

fn left_out(guard: &'static str) -> (String, String) {
    ("TRAINYARD_WITHOUT_GUARD".to_string(), guard.to_string())
}

impl Fleet {
    /// Starts everything in `directory`; none where Ceph is not installed, which is said.
    ///
    /// # Panics
    /// Where something does not start.
    pub async fn start(directory: &Path, options: &Options) -> Option<Self> {
        let services = Services::start(directory, options.appendfsync).await?;
        data::file(directory, "s3-secret", SECRET_ACCESS_KEY);
        let endpoint = services.s3_endpoint();
        let of_all = [
            "--s3-endpoint",
            &endpoint,
            "--s3-access-key-id",
            ACCESS_KEY_ID,
            "--s3-secret-access-key-file",
            "s3-secret",
        ];
        // Faults are the point here, and none of them is a job's: none may use its attempts up.
        let mut of_record = vec!["--attempts-lost-max", "1000", "--attempts-failed-max", "1000"];
        if options.appendfsync != "always" {
            of_record.extend(["--store-allow-volatile", "true"]);
        }
        let of_apis =
            ["--requests-per-minute", "1000000", "--requests-per-minute-per-key", "1000000"];
        let parts = ClusterOptions {
            api: APIS,
            scheduler: SCHEDULERS,
            executors: options.executors,
            objects: Some(objects_url()),
            trainer: Some(built::binary("trainyard-chain-trainer")),
            lease_seconds: Some(LEASE_SECONDS),
            server: options.without.map(|_| built::binary(SERVER_WITH_MUTANTS)),
            environment: options.without.map(left_out).into_iter().collect(),
            ..ClusterOptions::new(services.store_url(), services.queue_url())
        };
        let parts = parts
            .with(Role::Api, &of_all)
            .with(Role::Api, &of_record)
            .with(Role::Api, &of_apis)
            .with(Role::Scheduler, &of_all)
            .with(Role::Scheduler, &of_record)
            .with(Role::Executor, &of_all)
            .with(Role::Executor, &["--slots", &options.slots.to_string()]);
        let cluster = Cluster::start(directory, parts);
        Some(Self { services, cluster, executors: options.executors, fenced: 0 })
    }

    /// The roots of the URLs of those that answer.
    pub fn apis(&self) -> Vec<String> {
        (0..APIS).map(|index| self.cluster.url(index)).collect()
    }

    /// The API key.
    pub fn key(&self) -> &str {
        self.cluster.key()
    }

    /// The process id of an agent; `whom` is taken modulo their number.
    pub fn executor(&self, whom: usize) -> u32 {
        self.cluster.pid(Role::Executor, whom % self.executors)
    }

    /// How many agents there are.
    pub const fn executors(&self) -> usize {
        self.executors
    }

    /// Where an agent keeps the directories of its runs.
    pub fn work_dir(&self, executor: usize) -> PathBuf {
        self.cluster.directory().join(format!("work-{executor}"))
    }

    /// `kill -9` of a process; `whom` is taken modulo their number.
    pub fn kill(&mut self, role: Role, whom: usize) {
        let count = match role {
            Role::Api => APIS,
            Role::Scheduler => SCHEDULERS,
            Role::Executor => self.executors,
        };
        if self.cluster.runs(role, whom % count) {
            self.cluster.kill(role, whom % count);
        }
    }

    /// Starts what does not run.
    pub fn start_missing(&mut self) {
        for index in 0..self.executors {
            if !self.cluster.runs(Role::Executor, index) {
                // Its log begins anew.
                self.fenced += self.fenced_by(index);
            }
        }
        self.cluster.start_missing();
    }

    /// How often a run was told that its job is another's.
    pub fn fenced(&self) -> usize {
        self.fenced + (0..self.executors).map(|index| self.fenced_by(index)).sum::<usize>()
    }

    fn fenced_by(&self, executor: usize) -> usize {
        self.cluster.log(Role::Executor, executor).matches(FENCED).count()
    }
}

//! The server's configuration: defaults, then the file, then the environment, then flags; the later wins.
//!
//! One struct a concern, each declared once (see [`layer`]). This crate is the only one of the project that reads the
//! environment. Unknown keys of the file are refused; unknown `TRAINYARD_*` variables are told of, not refused, because
//! orchestrators put variables of that form there by themselves.

mod cluster;
mod dispatch;
mod http;
mod layer;
mod log;
pub(crate) mod machine;
mod metrics;
mod mode;
mod oidc;
mod s3;
mod storage;
mod traces;
mod training;
mod webhooks;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use trainyard_scheduler::config::LINK_SECONDS_MAX;

pub(crate) use cluster::{Cluster, ClusterLayer, Control, ControlLayer, Internal, InternalLayer};
pub(crate) use dispatch::{Dispatch, DispatchLayer};
pub(crate) use http::{Http, HttpLayer};
pub(crate) use log::{Log, LogFormat, LogLayer};
pub(crate) use metrics::{Metrics, MetricsLayer};
pub(crate) use mode::{EXECUTOR_END_SECONDS, Mode};
pub(crate) use oidc::{KeySet, Oidc, OidcLayer};
pub(crate) use s3::{S3, S3Layer};
pub(crate) use storage::{Storage, StorageLayer};
pub(crate) use traces::{Roots, TracePlan, Traces, TracesLayer};
pub(crate) use training::{Training, TrainingLayer};
pub(crate) use webhooks::{Webhooks, WebhooksLayer};

/// Half-lives of usage: at least a day, at most a year.
const HALF_LIFE_HOURS: std::ops::RangeInclusive<u64> = 24..=8_760;

/// The file that is read where it exists and none is named.
pub(crate) const DEFAULT_FILE: &str = "trainyard.toml";

/// Why there is no configuration.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ConfigError {
    /// The configuration file, or one that a setting names, cannot be read.
    #[error("cannot read '{path}'")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The file has a key or a value that does not fit.
    #[error("configuration file '{path}': {reason}")]
    Parse {
        /// The file.
        path: PathBuf,
        /// Which key, and what was expected.
        reason: String,
    },
    /// A default that its own type refuses.
    #[error("the default '{text}' of '{name}' is no value of its type")]
    Default {
        /// The setting.
        name: &'static str,
        /// Its default.
        text: &'static str,
    },
    /// Settings that do not go together.
    #[error("{0}")]
    Conflict(String),
    /// The machine's memory is unknown.
    #[error("cannot tell the machine's memory; set --memory-per-job-mib")]
    Memory(#[source] io::Error),
    /// The named trainer is not there.
    #[error("no trainer at '{0}': name the executable with --trainer")]
    TrainerMissing(PathBuf),
    /// No trainer was found.
    #[error(
        "no 'trainyard-trainer' beside this executable or on PATH: build it with `make build`, or name it with --trainer"
    )]
    TrainerNotFound,
}

/// What one source says: the tables of the file, or all flags and variables of a command.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Layers {
    pub(crate) http: HttpLayer,
    pub(crate) oidc: OidcLayer,
    pub(crate) storage: StorageLayer,
    pub(crate) s3: S3Layer,
    pub(crate) training: TrainingLayer,
    pub(crate) scheduling: DispatchLayer,
    pub(crate) webhooks: WebhooksLayer,
    pub(crate) cluster: ClusterLayer,
    pub(crate) internal: InternalLayer,
    pub(crate) control: ControlLayer,
    pub(crate) metrics: MetricsLayer,
    pub(crate) traces: TracesLayer,
    pub(crate) log: LogLayer,
}

/// The part of it that commands beside the server need: where things are kept and which trainer there is.
#[derive(Debug, Clone, Default, PartialEq, clap::Args)]
pub(crate) struct PlaceLayer {
    /// Directory of everything that the server keeps [default: trainyard-data].
    #[arg(long, env = "TRAINYARD_DATA_DIR")]
    data_dir: Option<PathBuf>,
    /// Directory of base models [default: {data-dir}/models].
    #[arg(long, env = "TRAINYARD_MODELS_DIR")]
    models_dir: Option<PathBuf>,
    /// The trainer's executable [default: trainyard-trainer beside this executable, then on PATH].
    #[arg(long, env = "TRAINYARD_TRAINER")]
    trainer: Option<PathBuf>,
}

#[allow(clippy::doc_markdown, reason = "the doc comments are the help text too")]
/// The part of [`StorageLayer`] that a process without the record needs.
#[derive(Debug, Clone, Default, PartialEq, clap::Args)]
#[command(next_help_heading = "Storage")]
pub(crate) struct SuppliesLayer {
    /// Directory below which models, work and objects lie where nothing else is said [default: trainyard-data].
    #[arg(long, env = "TRAINYARD_DATA_DIR", hide_env_values = true)]
    data_dir: Option<PathBuf>,
    /// Queue of tickets: RabbitMQ at amqp://USER@HOST/VHOST (with TLS amqps://). It has to be set.
    #[arg(long, env = "TRAINYARD_QUEUE", hide_env_values = true)]
    queue: Option<String>,
    /// File with the password of the queue's user, so that no command line shows it [default: the password in the URL].
    #[arg(long, env = "TRAINYARD_QUEUE_PASSWORD_FILE", hide_env_values = true)]
    queue_password_file: Option<PathBuf>,
    /// Contents of files, checkpoints and adapters: file:PATH or s3://BUCKET/PREFIX [default: file:{data-dir}/objects].
    #[arg(long, env = "TRAINYARD_OBJECTS", hide_env_values = true)]
    objects: Option<String>,
    /// Directory of base models [default: {data-dir}/models].
    #[arg(long, env = "TRAINYARD_MODELS_DIR", hide_env_values = true)]
    models_dir: Option<PathBuf>,
}

impl From<SuppliesLayer> for StorageLayer {
    fn from(supplies: SuppliesLayer) -> Self {
        let SuppliesLayer { data_dir, queue, queue_password_file, objects, models_dir } = supplies;
        Self { data_dir, queue, queue_password_file, objects, models_dir, ..Self::default() }
    }
}

impl Layers {
    /// A source that says no more than `place`.
    pub(crate) fn of_place(place: PlaceLayer) -> Self {
        let mut layers = Self::default();
        layers.storage.data_dir = place.data_dir;
        layers.storage.models_dir = place.models_dir;
        layers.training.trainer = place.trainer;
        layers
    }

    /// The same with the URL of the objects.
    pub(crate) fn with_objects(mut self, url: Option<String>) -> Self {
        self.storage.objects = url;
        self
    }
}

/// The configuration, with nothing left open.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Config {
    /// The HTTP listener.
    pub(crate) http: Http,
    /// Bearer tokens.
    pub(crate) oidc: Oidc,
    /// Where everything is kept.
    pub(crate) storage: Storage,
    /// How an S3 store is reached.
    pub(crate) s3: S3,
    /// The agent.
    pub(crate) training: Training,
    /// The scheduler.
    pub(crate) dispatch: Dispatch,
    /// Where webhooks may go.
    pub(crate) webhooks: Webhooks,
    /// What executors show to the api.
    pub(crate) cluster: Cluster,
    /// The listener for executors.
    pub(crate) internal: Internal,
    /// Where an executor asks for jobs.
    pub(crate) control: Control,
    /// The listener for Prometheus.
    pub(crate) metrics: Metrics,
    /// Where spans go.
    pub(crate) traces: Traces,
    /// The log.
    pub(crate) log: Log,
}

/// Puts `flags` (which hold the environment too) over the file, and that over the defaults.
/// The rules are those of `mode`.
pub(crate) fn load(mode: Mode, flags: Layers, file: Option<&Path>) -> Result<Config, ConfigError> {
    let file = match file {
        Some(path) => read(path)?,
        None if Path::new(DEFAULT_FILE).is_file() => read(Path::new(DEFAULT_FILE))?,
        None => Layers::default(),
    };
    let Layers {
        http,
        oidc,
        storage,
        s3,
        training,
        scheduling,
        webhooks,
        cluster,
        internal,
        control,
        metrics,
        traces,
        log,
    } = flags;
    let config = Config {
        http: http.over(file.http)?,
        oidc: oidc.over(file.oidc)?,
        storage: storage.over(file.storage)?,
        s3: s3.over(file.s3)?,
        training: training.over(file.training)?,
        dispatch: scheduling.over(file.scheduling)?,
        webhooks: webhooks.over(file.webhooks)?,
        cluster: cluster.over(file.cluster)?,
        internal: internal.over(file.internal)?,
        control: control.over(file.control)?,
        metrics: metrics.over(file.metrics)?,
        traces: traces.over(file.traces)?,
        log: log.over(file.log)?,
    };
    check(mode, &config)?;
    Ok(config)
}

fn read(path: &Path) -> Result<Layers, ConfigError> {
    let text = fs::read_to_string(path)
        .map_err(|source| ConfigError::Read { path: path.to_path_buf(), source })?;
    toml::from_str(&text).map_err(|error| ConfigError::Parse {
        path: path.to_path_buf(),
        reason: error.to_string().trim_end().to_string(),
    })
}

/// A file that a setting names: a password, certificates.
fn content(path: &Path) -> Result<Vec<u8>, ConfigError> {
    fs::read(path).map_err(|source| ConfigError::Read { path: path.to_path_buf(), source })
}

/// Rules across settings. A run that outlives its lease would train beside its successor.
fn check(mode: Mode, config: &Config) -> Result<(), ConfigError> {
    let Config { http, oidc, storage, s3, training, dispatch, .. } = config;
    s3.check()?;
    let refuse = |reason: String| Err(ConfigError::Conflict(reason));
    let positive = [
        ("http_workers", http.http_workers as u64),
        ("http_connections_max", http.http_connections_max as u64),
        ("requests_per_minute", u64::from(http.requests_per_minute)),
        ("requests_per_minute_per_key", u64::from(http.requests_per_minute_per_key)),
        ("bad_credentials_per_minute", u64::from(http.bad_credentials_per_minute)),
        ("http_body_idle_seconds", http.http_body_idle_seconds),
        ("threads", u64::from(training.threads.unwrap_or(1))),
        ("memory_per_job_mib", training.memory_per_job_mib.unwrap_or(1)),
        ("heartbeat_seconds", training.heartbeat_seconds),
        ("stall_seconds", training.stall_seconds),
        ("stall_start_seconds", training.stall_start_seconds),
        ("report_milliseconds", training.report_milliseconds),
        ("link_seconds", storage.link_seconds),
        ("lease_seconds", dispatch.lease_seconds),
        ("tick_milliseconds", dispatch.tick_milliseconds),
    ];
    if let Some((name, _)) = positive.iter().find(|(_, value)| *value == 0) {
        return refuse(format!("'{name}' must be at least 1, not 0"));
    }
    if storage.link_seconds > LINK_SECONDS_MAX {
        let seconds = storage.link_seconds;
        return refuse(format!(
            "'link_seconds' must be at most {LINK_SECONDS_MAX} (a week), not {seconds}"
        ));
    }
    let (beat, fence, lease) =
        (training.heartbeat_seconds, training.self_fence_seconds, dispatch.lease_seconds);
    if mode.trains() && beat * 2 > fence {
        return refuse(format!(
            "'self_fence_seconds' ({fence}) must be at least twice 'heartbeat_seconds' ({beat}): one lost heartbeat may not stop a run"
        ));
    }
    // Where the lease is another process' to give, the run looks at it when it has one.
    if mode.trains() && mode.has_record() && fence >= lease {
        return refuse(format!(
            "'self_fence_seconds' ({fence}) must be below 'lease_seconds' ({lease}): a run has to stop before its job is given to another"
        ));
    }
    let half_life = dispatch.fair_share_half_life_hours;
    if !HALF_LIFE_HOURS.contains(&half_life) {
        let (least, most) = (HALF_LIFE_HOURS.start(), HALF_LIFE_HOURS.end());
        return refuse(format!(
            "'fair_share_half_life_hours' must be between {least} and {most}, not {half_life}: usage is kept by days"
        ));
    }
    oidc.issuer()?;
    mode.check(config)
}

/// `TRAINYARD_*` variables that `known` does not name: most likely misspelt.
pub(crate) fn unknown_variables(known: &[String]) -> Vec<String> {
    let names = std::env::vars_os().filter_map(|(name, _)| name.into_string().ok());
    names.filter(|name| name.starts_with("TRAINYARD_") && !known.contains(name)).collect()
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn file(text: &str) -> tempfile::NamedTempFile {
        let mut file = tempfile::NamedTempFile::new().expect("a temporary file");
        file.write_all(text.as_bytes()).expect("written");
        file
    }

    #[test]
    fn flags_stand_over_the_file_and_the_file_over_defaults() {
        let file =
            file("[http]\nlisten = \"127.0.0.1:1\"\nhttp_workers = 3\n[training]\nslots = 2\n");
        let mut flags = Layers::default();
        flags.http.listen = Some("127.0.0.1:2".parse().expect("an address"));
        let config = load(Mode::Serve, flags, Some(file.path())).expect("a configuration");
        assert_eq!(config.http.listen.port(), 2);
        assert_eq!(config.http.http_workers, 3);
        assert_eq!(config.http.http_keep_alive_seconds, 75);
        assert_eq!(config.training.slots, 2);
        assert_eq!(config.storage.store_url(), "sqlite:trainyard-data/trainyard.db");
    }

    #[test]
    fn an_unknown_key_is_refused_with_its_name_and_the_file() {
        let file = file("[http]\nlisten = \"127.0.0.1:1\"\nlissten = 3\n");
        let error = load(Mode::Serve, Layers::default(), Some(file.path()))
            .expect_err("refused")
            .to_string();
        assert!(error.contains("unknown field `lissten`"), "{error}");
        assert!(error.contains("line 3"), "{error}");
        assert!(error.contains(&file.path().display().to_string()), "{error}");
    }

    #[test]
    fn what_one_process_alone_can_use_is_refused_where_there_are_several() {
        let shared = "[storage]\nstore = \"redis://h\"\nqueue = \"amqp://u:secret@h/\"\n";
        let slow = format!("{shared}[training]\nstop_grace_seconds = 25\n");
        for (mode, text, said) in [
            (Mode::Api, "", "'store' is 'sqlite:trainyard-data/trainyard.db'"),
            (Mode::Scheduler, "[storage]\nstore = \"memory:\"\n", "redis://HOST"),
            (Mode::Api, "[storage]\nstore = \"rediss://h\"\n", "'queue' is 'memory:'"),
            (Mode::Executor, "", "amqp://USER@HOST/VHOST"),
            (Mode::Executor, &slow, "'stop_grace_seconds' (25)"),
        ] {
            let file = file(text);
            let error = load(mode, Layers::default(), Some(file.path())).expect_err("refused");
            assert!(error.to_string().contains(said), "{error}");
        }
        // The settings of runs are no concern of those who run none.
        let file = file(&format!("{shared}[scheduling]\nlease_seconds = 8\n"));
        for mode in [Mode::Api, Mode::Scheduler, Mode::Executor] {
            load(mode, Layers::default(), Some(file.path())).expect("a configuration");
        }
    }

    #[test]
    fn settings_that_do_not_go_together_are_refused() {
        for (text, name) in [
            ("[training]\nheartbeat_seconds = 30\n", "self_fence_seconds"),
            ("[scheduling]\nlease_seconds = 45\n", "lease_seconds"),
            ("[training]\nthreads = 0\n", "threads"),
            ("[scheduling]\nfair_share_half_life_hours = 23\n", "fair_share_half_life_hours"),
            ("[s3]\ns3_access_key_id = \"a\"\n", "s3_secret_access_key_file"),
        ] {
            let file = file(text);
            let error =
                load(Mode::Serve, Layers::default(), Some(file.path())).expect_err("refused");
            assert!(error.to_string().contains(name), "{error}");
        }
    }
}

//! `trainyard api`: the HTTP API, and the listener for executors, over a record that other processes share. Any number may run.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use actix_web::dev::ServerHandle;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::signal::Signals;
use super::{ServeError, jwks, key, listen, metrics, parts, start};
use crate::config::{
    self, ClusterLayer, Config, DispatchLayer, HttpLayer, InternalLayer, Layers, LogLayer,
    MetricsLayer, Mode, OidcLayer, S3Layer, StorageLayer, TracesLayer, WebhooksLayer,
};
use crate::exit::Exit;
use crate::traces::Exporter;

/// The whole of an orderly end; what is left then is cut off.
const SHUTDOWN_MAX: Duration = Duration::from_secs(15);

/// The flags of `api`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "It needs the base models' directory (--models-dir) as the executors have it: jobs are planned with their config.json before
anybody trains. In the file the groups are the tables http, internal, cluster, oidc, storage, s3, scheduling, webhooks, metrics, traces and log, as
`trainyard serve --help` shows them.

Examples:
  openssl rand -hex 32 > /run/secrets/executor-token
  trainyard api --listen 0.0.0.0:8420 --internal-listen 0.0.0.0:8421 --executor-token-file /run/secrets/executor-token \\
    --store redis://redis:6379 --store-password-file /run/secrets/redis --queue amqp://trainyard@rabbitmq/%2f \\
    --queue-password-file /run/secrets/rabbitmq --objects s3://training/prod --models-dir /models
  TRAINYARD_STORE=redis://redis TRAINYARD_QUEUE=amqp://u:p@rabbitmq/%2f trainyard api --config /etc/trainyard.toml"
)]
pub(crate) struct ApiArgs {
    /// Configuration file [default: trainyard.toml where it exists].
    #[arg(long, value_name = "FILE", env = "TRAINYARD_CONFIG")]
    config: Option<PathBuf>,
    /// Write the first API key to this file, readable by its owner alone, instead of showing it.
    #[arg(long, value_name = "FILE", env = "TRAINYARD_BOOTSTRAP_KEY_FILE")]
    bootstrap_key_file: Option<PathBuf>,
    /// Memory that a job is planned for, in MiB: what an executor has for one device [default: this machine's memory].
    #[arg(long, env = "TRAINYARD_MEMORY_PER_JOB_MIB", hide_env_values = true)]
    memory_per_job_mib: Option<u64>,
    #[command(flatten)]
    http: HttpLayer,
    #[command(flatten)]
    internal: InternalLayer,
    #[command(flatten)]
    cluster: ClusterLayer,
    #[command(flatten)]
    oidc: OidcLayer,
    #[command(flatten)]
    storage: StorageLayer,
    #[command(flatten)]
    s3: S3Layer,
    #[command(flatten)]
    scheduling: DispatchLayer,
    #[command(flatten)]
    webhooks: WebhooksLayer,
    #[command(flatten)]
    metrics: MetricsLayer,
    #[command(flatten)]
    traces: TracesLayer,
    #[command(flatten)]
    log: LogLayer,
}

/// Runs the API until a signal ends it.
pub(crate) fn run(args: ApiArgs) -> Exit {
    let ApiArgs {
        config,
        bootstrap_key_file,
        memory_per_job_mib,
        http,
        internal,
        cluster,
        oidc,
        storage,
        s3,
        scheduling,
        webhooks,
        metrics,
        traces,
        log,
    } = args;
    let mut layers = Layers { http, internal, cluster, oidc, storage, s3, ..Layers::default() };
    layers = Layers { scheduling, webhooks, metrics, traces, log, ..layers };
    layers.training.memory_per_job_mib = memory_per_job_mib;
    let config = config::load(Mode::Api, layers, config.as_deref());
    start::run(Mode::Api, config, async move |config, exporter| {
        api(&config, exporter, bootstrap_key_file).await
    })
}

async fn api(
    config: &Config,
    exporter: &Exporter,
    key_file: Option<PathBuf>,
) -> Result<(), ServeError> {
    let mut signals = Signals::listen().map_err(ServeError::System)?;
    let (_, executor_token) = config.cluster.executor_token()?;
    let tokens = jwks::tokens(&config.oidc).await?;
    let scheduler = parts::scheduler(parts::shared(config).await?);
    let counted = trainyard_api::Metrics::default();
    let (http, address) = listen::listen(scheduler.clone(), &config.http, tokens, &counted)?;
    let at = config.internal.internal_listen;
    let (internal, internal_address) =
        listen::internal(scheduler.clone(), &config.http, at, executor_token, &counted)?;
    let fill = |registry: &_| {
        exporter.register(registry)?;
        counted.register(registry)?;
        scheduler.metrics().register_calls(registry)
    };
    let known = scheduler.clone();
    metrics::start(config.metrics.metrics_listen, fill, move || known.note_durability())?;
    key::bootstrap(&scheduler, key_file.as_deref(), address).await?;
    let stop = CancellationToken::new();
    let mut parts = Running {
        handles: [http.handle(), internal.handle()],
        http: tokio::spawn(http),
        internal: tokio::spawn(internal),
        news: tokio::spawn({
            let stop = stop.clone();
            async move { scheduler.follow(stop).await }
        }),
        stop,
    };
    tracing::info!(%address, internal = %internal_address, "serving");
    let signal = signals.first(parts.first_to_end()).await?;
    tracing::info!(signal, "stopping: requests under way are answered");
    signals.end_within(SHUTDOWN_MAX, parts.stop()).await
}

/// The parts at work.
struct Running {
    handles: [ServerHandle; 2],
    http: JoinHandle<io::Result<()>>,
    internal: JoinHandle<io::Result<()>>,
    news: JoinHandle<()>,
    stop: CancellationToken,
}

impl Running {
    /// Waits for a part that ends without being asked.
    async fn first_to_end(&mut self) -> ServeError {
        let (name, ended) = tokio::select! {
            ended = &mut self.http => ("the HTTP server", ended),
            ended = &mut self.internal => ("the listener for executors", ended),
            _ = &mut self.news => return ServeError::Ended("the news of the record"),
        };
        match ended {
            Ok(Err(error)) => ServeError::Http(error),
            _ => ServeError::Ended(name),
        }
    }

    /// Ends the parts: whoever waits for news lets go, then all requests are answered.
    async fn stop(self) {
        let Self { handles, http, internal, news, stop } = self;
        stop.cancel();
        let _ = news.await;
        let [clients, executors] = handles;
        tokio::join!(clients.stop(true), executors.stop(true));
        if http.await.is_err() || internal.await.is_err() {
            tracing::error!("a listener ended in panic");
        }
    }
}

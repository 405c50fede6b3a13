//! `trainyard serve`: API, scheduler and agent in one process over one data directory.
//!
//! It starts parts and ends them in order; what they do is theirs. `serve` reads as the table of contents.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use actix_web::dev::ServerHandle;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use trainyard_executor::Agent;

use super::signal::Signals;
use super::{DirectoryLock, ServeError, jwks, key, listen, metrics, parts, start};
use crate::config::{
    self, Config, DispatchLayer, HttpLayer, Layers, LogLayer, MetricsLayer, Mode, OidcLayer,
    S3Layer, StorageLayer, TracesLayer, TrainingLayer, WebhooksLayer,
};
use crate::exit::Exit;
use crate::traces::Exporter;

/// The whole of an orderly end; what is left then is cut off. Orchestrators kill after 30 s.
const SHUTDOWN_MAX: Duration = Duration::from_secs(28);

/// The flags of `serve`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Every setting can be given as a flag, as the variable named with it, or in the file; a flag stands over the
variable, the variable over the file. In the file each group is a table:

  [http]
  listen = \"0.0.0.0:8420\"
  [oidc]
  oidc_issuer = \"https://login.example.org\"
  oidc_audience = \"trainyard\"
  oidc_jwks_url = \"https://login.example.org/keys\"
  [storage]
  data_dir = \"/var/lib/trainyard\"
  objects = \"s3://training/prod\"
  [s3]
  s3_endpoint = \"https://s3.example.org\"
  [training]
  slots = 2
  [scheduling]
  attempts_failed_max = 3
  [webhooks]
  webhook_allow_networks = \"10.1.0.0/16\"
  [metrics]
  metrics_listen = \"127.0.0.1:9464\"
  [traces]
  traces_endpoint = \"http://127.0.0.1:4318/v1/traces\"
  [log]
  log_format = \"json\"

Examples:
  trainyard serve
  trainyard serve --listen 127.0.0.1:9000 --data-dir /srv/trainyard --slots 2
  trainyard serve --objects s3://training/prod --s3-region eu-central-1
  trainyard serve --objects s3://training/prod --s3-endpoint https://s3.example.org --s3-ca-file /etc/ssl/s3.pem \\
    --s3-access-key-id trainyard --s3-secret-access-key-file /run/secrets/s3
  TRAINYARD_LOG_LEVEL=debug trainyard serve --config /etc/trainyard.toml"
)]
pub(crate) struct ServeArgs {
    /// Configuration file [default: trainyard.toml where it exists].
    #[arg(long, value_name = "FILE", env = "TRAINYARD_CONFIG")]
    config: Option<PathBuf>,
    /// Write the first API key to this file, readable by its owner alone, instead of showing it.
    #[arg(long, value_name = "FILE", env = "TRAINYARD_BOOTSTRAP_KEY_FILE")]
    bootstrap_key_file: Option<PathBuf>,
    #[command(flatten)]
    http: HttpLayer,
    #[command(flatten)]
    oidc: OidcLayer,
    #[command(flatten)]
    storage: StorageLayer,
    #[command(flatten)]
    s3: S3Layer,
    #[command(flatten)]
    training: TrainingLayer,
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

/// Runs the server until a signal ends it.
pub(crate) fn run(args: ServeArgs) -> Exit {
    let ServeArgs {
        config,
        bootstrap_key_file,
        http,
        oidc,
        storage,
        s3,
        training,
        scheduling,
        webhooks,
        metrics,
        traces,
        log,
    } = args;
    let layers = Layers {
        http,
        oidc,
        storage,
        s3,
        training,
        scheduling,
        webhooks,
        metrics,
        traces,
        log,
        ..Layers::default()
    };
    let config = config::load(Mode::Serve, layers, config.as_deref());
    start::run(Mode::Serve, config, async move |config, exporter| {
        serve(&config, exporter, bootstrap_key_file).await
    })
}

async fn serve(
    config: &Config,
    exporter: &Exporter,
    key_file: Option<PathBuf>,
) -> Result<(), ServeError> {
    let mut signals = Signals::listen().map_err(ServeError::System)?;
    let _lock = DirectoryLock::take(&config.storage.data_dir)?;
    if crate::command::restore::is_unfinished(&config.storage.data_dir) {
        return Err(ServeError::Unrestored(config.storage.data_dir.clone()));
    }
    let agent_config = parts::agent(config)?;
    let tokens = jwks::tokens(&config.oidc).await?;
    let opened = parts::embedded(config).await?;
    let (queue, objects) = (opened.queue.clone(), opened.objects.clone());
    let scheduler = parts::scheduler(opened);
    scheduler.recover_embedded().await?;
    let counted = trainyard_api::Metrics::default();
    let (http, address) = listen::listen(scheduler.clone(), &config.http, tokens, &counted)?;
    key::bootstrap(&scheduler, key_file.as_deref(), address).await?;

    let agent = Agent::new(agent_config, std::sync::Arc::new(scheduler.clone()), queue, objects);
    let fill = |registry: &_| {
        exporter.register(registry)?;
        counted.register(registry)?;
        scheduler.metrics().register_calls(registry)?;
        scheduler.metrics().register_loops(registry)?;
        agent.metrics().register(registry)
    };
    let known = scheduler.clone();
    metrics::start(config.metrics.metrics_listen, fill, move || known.note_durability())?;
    let deliverer = parts::deliverer(config, scheduler.clone())?;
    let (stop_loops, stop_agent) = (CancellationToken::new(), CancellationToken::new());
    let mut parts = Running {
        handle: http.handle(),
        http: tokio::spawn(http),
        loops: tokio::spawn({
            let (scheduler, token) = (scheduler.clone(), stop_loops.clone());
            async move { scheduler.run(token).await }
        }),
        agent: tokio::spawn(agent.run(stop_agent.clone())),
        webhooks: tokio::spawn(deliverer.run(stop_loops.clone())),
        stop_loops,
        stop_agent,
    };
    tracing::info!(%address, data = %config.storage.data_dir.display(), slots = config.training.slots, "serving");

    let signal = signals.first(parts.first_to_end()).await?;
    tracing::info!(signal, "stopping: running jobs save a checkpoint and go on at the next start");
    signals.end_within(SHUTDOWN_MAX, parts.stop()).await
}

/// The four parts at work.
struct Running {
    handle: ServerHandle,
    http: JoinHandle<io::Result<()>>,
    loops: JoinHandle<()>,
    agent: JoinHandle<()>,
    webhooks: JoinHandle<()>,
    stop_loops: CancellationToken,
    stop_agent: CancellationToken,
}

impl Running {
    /// Waits for a part that ends without being asked.
    async fn first_to_end(&mut self) -> ServeError {
        tokio::select! {
            ended = &mut self.http => match ended {
                Ok(Err(error)) => ServeError::Http(error),
                _ => ServeError::Ended("the HTTP server"),
            },
            _ = &mut self.loops => ServeError::Ended("the scheduler"),
            _ = &mut self.webhooks => ServeError::Ended("the delivery of webhooks"),
            _ = &mut self.agent => ServeError::Ended("the agent"),
        }
    }

    /// Ends the parts: no new requests, no new runs, then the runs that are under way.
    async fn stop(self) {
        let Self { handle, http, loops, agent, webhooks, stop_loops, stop_agent } = self;
        let answers = handle.stop(true);
        stop_loops.cancel();
        if loops.await.is_err() {
            tracing::error!("the scheduler's loops ended in panic");
        }
        stop_agent.cancel();
        if agent.await.is_err() {
            tracing::error!("the agent ended in panic");
        }
        if webhooks.await.is_err() {
            tracing::error!("the delivery of webhooks ended in panic");
        }
        answers.await;
        if http.await.is_err() {
            tracing::error!("the HTTP server ended in panic");
        }
    }
}

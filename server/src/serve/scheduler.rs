//! `trainyard scheduler`: the loops over a record that other processes share, and the delivery of webhooks. Several may run: every step is a
//! compare-and-set, so that one of them does it.

use std::path::PathBuf;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::signal::Signals;
use super::{ServeError, metrics, parts, start};
use crate::config::{
    self, Config, DispatchLayer, Layers, LogLayer, MetricsLayer, Mode, S3Layer, StorageLayer,
    TracesLayer, WebhooksLayer,
};
use crate::exit::Exit;
use crate::traces::Exporter;

/// The whole of an orderly end; what is left then is cut off. A webhook under way may take its time.
const SHUTDOWN_MAX: Duration = Duration::from_secs(28);

/// The flags of `scheduler`.
#[derive(Debug, clap::Args)]
#[command(
    mut_arg("models_dir", |arg| arg.hide(true)),
    after_help = "It answers no requests. Leases and numbers of attempts have to be the api's. In the file the groups are the tables storage, s3,
scheduling, webhooks, metrics, traces and log, as `trainyard serve --help` shows them.

Examples:
  trainyard scheduler --store redis://redis:6379 --store-password-file /run/secrets/redis \\
    --queue amqp://trainyard@rabbitmq/%2f --queue-password-file /run/secrets/rabbitmq --objects s3://training/prod
  TRAINYARD_STORE=redis://redis TRAINYARD_QUEUE=amqp://u:p@rabbitmq/%2f trainyard scheduler --config /etc/trainyard.toml"
)]
pub(crate) struct SchedulerArgs {
    /// Configuration file [default: trainyard.toml where it exists].
    #[arg(long, value_name = "FILE", env = "TRAINYARD_CONFIG")]
    config: Option<PathBuf>,
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

/// Runs the loops until a signal ends them.
pub(crate) fn run(args: SchedulerArgs) -> Exit {
    let SchedulerArgs { config, storage, s3, scheduling, webhooks, metrics, traces, log } = args;
    let layers =
        Layers { storage, s3, scheduling, webhooks, metrics, traces, log, ..Layers::default() };
    let config = config::load(Mode::Scheduler, layers, config.as_deref());
    start::run(Mode::Scheduler, config, async move |config, exporter| {
        scheduler(&config, exporter).await
    })
}

async fn scheduler(config: &Config, exporter: &Exporter) -> Result<(), ServeError> {
    let mut signals = Signals::listen().map_err(ServeError::System)?;
    let scheduler = parts::scheduler(parts::shared(config).await?);
    let fill = |registry: &_| {
        exporter.register(registry)?;
        scheduler.metrics().register_calls(registry)?;
        scheduler.metrics().register_loops(registry)
    };
    let known = scheduler.clone();
    metrics::start(config.metrics.metrics_listen, fill, move || known.note_durability())?;
    let deliverer = parts::deliverer(config, scheduler.clone())?;
    let stop = CancellationToken::new();
    let mut loops = tokio::spawn({
        let stop = stop.clone();
        async move { scheduler.run(stop).await }
    });
    let mut webhooks = tokio::spawn(deliverer.run(stop.clone()));
    tracing::info!("scheduling");
    let first_to_end = async {
        tokio::select! {
            _ = &mut loops => ServeError::Ended("the scheduler"),
            _ = &mut webhooks => ServeError::Ended("the delivery of webhooks"),
        }
    };
    let signal = signals.first(first_to_end).await?;
    tracing::info!(signal, "stopping: webhooks under way are delivered");
    stop.cancel();
    let ended = async {
        if loops.await.is_err() || webhooks.await.is_err() {
            tracing::error!("a loop ended in panic");
        }
    };
    signals.end_within(SHUTDOWN_MAX, ended).await
}

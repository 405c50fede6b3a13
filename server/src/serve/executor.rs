//! `trainyard executor`: the agent on its own. It has no access to the record: it asks the api's listener for executors, takes tickets from
//! the queue and moves files.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use trainyard_executor::{Agent, RemoteControlPlane};
use trainyard_scheduler::adapter::{open_objects, open_queue};

use super::signal::Signals;
use super::{DirectoryLock, ServeError, metrics, parts, start};
use crate::config::{
    self, ClusterLayer, Config, ControlLayer, EXECUTOR_END_SECONDS, Layers, LogLayer, MetricsLayer,
    Mode, S3Layer, TracesLayer, TrainingLayer,
};
use crate::exit::Exit;
use crate::traces::Exporter;

/// The flags of `executor`.
#[derive(Debug, clap::Args)]
#[command(
    mut_arg("memory_per_job_mib", |arg| arg.hide(true)),
    after_help = "At SIGTERM it takes no more jobs, lets those that run save a checkpoint, gives them back, and ends within 25 seconds. Its work
directory is its own: two executors on a machine need two. In the file the groups are the tables control, cluster, storage, s3, training,
metrics, traces and log, as `trainyard serve --help` shows them.

Examples:
  trainyard executor --control-plane http://api-0:8421,http://api-1:8421 --executor-token-file /run/secrets/executor-token \\
    --queue amqp://trainyard@rabbitmq/%2f --queue-password-file /run/secrets/rabbitmq --objects s3://training/prod \\
    --models-dir /models --work-dir /scratch --slots 1
  trainyard executor --pool large --control-plane https://control.example.org --control-plane-ca-file /etc/ssl/control.pem \\
    --config /etc/trainyard.toml"
)]
pub(crate) struct ExecutorArgs {
    /// Configuration file [default: trainyard.toml where it exists].
    #[arg(long, value_name = "FILE", env = "TRAINYARD_CONFIG")]
    config: Option<PathBuf>,
    #[command(flatten)]
    control: ControlLayer,
    #[command(flatten)]
    cluster: ClusterLayer,
    #[command(flatten)]
    supplies: config::SuppliesLayer,
    #[command(flatten)]
    s3: S3Layer,
    #[command(flatten)]
    training: TrainingLayer,
    #[command(flatten)]
    metrics: MetricsLayer,
    #[command(flatten)]
    traces: TracesLayer,
    #[command(flatten)]
    log: LogLayer,
}

/// Runs the agent until a signal ends it.
pub(crate) fn run(args: ExecutorArgs) -> Exit {
    let ExecutorArgs { config, control, cluster, supplies, s3, training, metrics, traces, log } =
        args;
    let storage = supplies.into();
    let layers = Layers {
        control,
        cluster,
        storage,
        s3,
        training,
        metrics,
        traces,
        log,
        ..Layers::default()
    };
    let config = config::load(Mode::Executor, layers, config.as_deref());
    start::run(Mode::Executor, config, async move |config, exporter| {
        executor(&config, exporter).await
    })
}

async fn executor(config: &Config, exporter: &Exporter) -> Result<(), ServeError> {
    let Config { storage, s3, training, cluster, control, .. } = config;
    let mut signals = Signals::listen().map_err(ServeError::System)?;
    let agent = parts::agent(config)?;
    let _lock = DirectoryLock::take(&agent.work_dir)?;
    let (token, _) = cluster.executor_token()?;
    let control =
        RemoteControlPlane::new(control.addresses()?, token, control.ca_pem()?.as_deref())?;
    let queue = open_queue(&storage.queue_url()?, &[&training.pool]).await?;
    let url = storage.objects_url();
    parts::warn_of_directory(&url);
    let objects = open_objects(&url, &s3.options(&url).await?).await?;
    let (executor, work_dir) = (agent.executor.clone(), agent.work_dir.clone());
    let agent = Agent::new(agent, Arc::new(control), queue, objects);
    let listen = config.metrics.metrics_listen;
    let fill = |registry: &_| {
        exporter.register(registry)?;
        agent.metrics().register(registry)
    };
    metrics::start(listen, fill, || {})?;
    let stop = CancellationToken::new();
    let mut runs = tokio::spawn(agent.run(stop.clone()));
    let (pool, slots) = (&training.pool, training.slots);
    tracing::info!(%executor, pool, slots, work = %work_dir.display(), "taking jobs");
    let ended = async {
        let _ = (&mut runs).await;
        ServeError::Ended("the agent")
    };
    let signal = signals.first(ended).await?;
    tracing::info!(signal, "stopping: running jobs save a checkpoint and are given back");
    stop.cancel();
    let ended = async {
        if runs.await.is_err() {
            tracing::error!("the agent ended in panic");
        }
    };
    signals.end_within(Duration::from_secs(EXECUTOR_END_SECONDS), ended).await
}

//! `trainyard serve`: API, scheduler and agent in one process over one data directory.
//!
//! It starts parts and ends them in order; what they do is theirs. `serve` reads as the table of contents.

mod jwks;
mod key;
mod listen;
mod lock;
mod log;
mod parts;
mod signal;

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use actix_web::dev::ServerHandle;
use clap::CommandFactory;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use trainyard_executor::Agent;
use trainyard_scheduler::Scheduler;
use trainyard_scheduler::port::store::Durability;

use crate::config::{self, Config, ConfigError, Layers};
use crate::exit::Exit;
pub(crate) use lock::DataLock;
use signal::Signals;

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
    settings: Layers,
}

/// Why the server does not run.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ServeError {
    /// The configuration.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The data directory.
    #[error(transparent)]
    Lock(#[from] lock::LockError),
    /// A restore that was interrupted.
    #[error("'{0}' is not restored to the end: give the same `trainyard restore` again")]
    Unrestored(PathBuf),
    /// A backend.
    #[error("cannot open a backend")]
    Open(#[from] trainyard_scheduler::adapter::OpenError),
    /// The scheduler.
    #[error("the scheduler could not start")]
    Scheduler(#[from] trainyard_scheduler::SchedulerError),
    /// The address.
    #[error("cannot listen on {address}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The file for the first key.
    #[error("cannot write the API key file '{path}'")]
    KeyFile {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Standard output.
    #[error("cannot show the API key on standard output")]
    ShowKey(#[source] io::Error),
    /// The HTTP server stopped by itself.
    #[error("the HTTP server failed")]
    Http(#[source] io::Error),
    /// A part of the server ended that never should.
    #[error("{0} ended by itself")]
    Ended(&'static str),
    /// Signals or threads.
    #[error("the operating system refused")]
    System(#[source] io::Error),
    /// The client of webhooks.
    #[error("the client of webhooks could not start")]
    Webhooks(#[source] reqwest::Error),
    /// The client that fetches the keys of tokens.
    #[error("the client for the issuer's keys could not start")]
    Issuer(#[source] reqwest::Error),
    /// The file with the keys of tokens.
    #[error("the key set '{path}' ('oidc_jwks_file') cannot be used: {reason}")]
    KeySet {
        /// The file.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// No random bytes.
    #[error("the system gives no random bytes: {0}")]
    Random(String),
    /// Not everything ended in time.
    #[error("not all parts ended within {} s", SHUTDOWN_MAX.as_secs())]
    Slow,
}

/// Runs the server until a signal ends it.
pub(crate) fn run(args: ServeArgs) -> Exit {
    let ServeArgs { config, bootstrap_key_file, settings } = args;
    let config = match config::load(settings, config.as_deref()) {
        Ok(config) => config,
        Err(error) => {
            crate::complain(&crate::chain(&error));
            return Exit::Usage;
        }
    };
    if let Err(reason) = log::start(&config.log) {
        crate::complain(&reason);
        return Exit::Usage;
    }
    for name in config::unknown_variables(&variables()) {
        tracing::warn!(variable = name, "no setting has this environment variable: it is ignored");
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let result = runtime.map_err(ServeError::System).and_then(|runtime| {
        let result = runtime.block_on(serve(&config, bootstrap_key_file));
        runtime.shutdown_timeout(Duration::from_secs(1));
        result
    });
    match result {
        Ok(()) => Exit::Done,
        Err(error) => {
            tracing::error!("{}", crate::chain(&error));
            Exit::Failure
        }
    }
}

/// The environment variables that the command line knows.
fn variables() -> Vec<String> {
    let command = crate::cli::Cli::command();
    let serve = command.get_subcommands().flat_map(|command| command.get_arguments());
    serve.filter_map(|arg| Some(arg.get_env()?.to_string_lossy().into_owned())).collect()
}

async fn serve(config: &Config, key_file: Option<PathBuf>) -> Result<(), ServeError> {
    let mut signals = Signals::listen().map_err(ServeError::System)?;
    let _lock = DataLock::take(&config.storage.data_dir)?;
    if crate::command::restore::is_unfinished(&config.storage.data_dir) {
        return Err(ServeError::Unrestored(config.storage.data_dir.clone()));
    }
    let agent_config = parts::agent(config)?;
    let tokens = jwks::tokens(&config.oidc).await?;
    let opened = parts::scheduler(config).await?;
    let (queue, objects) = (opened.queue.clone(), opened.objects.clone());
    let scheduler = Scheduler::new(opened);
    if let Durability::Volatile(reason) = scheduler.durability() {
        tracing::warn!(reason, "the record may lose what it acknowledged");
    }
    scheduler.recover_embedded().await?;
    let (http, address) = listen::listen(scheduler.clone(), &config.http, tokens)?;
    key::bootstrap(&scheduler, key_file.as_deref(), address).await?;

    let agent = Agent::new(agent_config, std::sync::Arc::new(scheduler.clone()), queue, objects);
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

    let signal = tokio::select! {
        signal = signals.next() => signal,
        ended = parts.first_to_end() => return Err(ended),
    };
    tracing::info!(signal, "stopping: running jobs save a checkpoint and go on at the next start");
    tokio::select! {
        ended = tokio::time::timeout(SHUTDOWN_MAX, parts.stop()) => ended.map_err(|_| ServeError::Slow)?,
        never = signals.end_at_next() => match never {},
    }
    tracing::info!("stopped");
    Ok(())
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

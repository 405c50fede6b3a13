//! What every long-running command begins with: configuration, log, threads; and how it ends.

use std::time::Duration;

use clap::CommandFactory;

use super::ServeError;
use super::log;
use crate::config::{self, Config, ConfigError, Mode};
use crate::exit::Exit;
use crate::traces::Exporter;

/// Runs `work` under a configuration until it ends, and sends the last of its traces.
pub(super) fn run(
    mode: Mode,
    config: Result<Config, ConfigError>,
    work: impl AsyncFnOnce(Config, &Exporter) -> Result<(), ServeError>,
) -> Exit {
    let config = match config {
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
        let result = runtime.block_on(async {
            let exporter = Exporter::start(config.traces.plan(mode)?)?;
            let result = work(config, &exporter).await;
            exporter.finish().await;
            result
        });
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

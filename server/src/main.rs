//! The `trainyard` binary: the server, and the commands of its clients. It wires the other crates together and decides
//! nothing of theirs. It is the only crate that reads the environment.

mod cli;
mod client;
mod command;
mod config;
mod exit;
mod output;
mod serve;
mod traces;

use std::process::ExitCode;

use clap::{CommandFactory, Parser};

use cli::{Cli, Command};
use client::ClientError;
use exit::Exit;

fn main() -> ExitCode {
    let result = match Cli::parse().command {
        Command::Serve(args) => return serve::run_embedded(*args).into(),
        Command::Api(args) => return serve::run_api(*args).into(),
        Command::Scheduler(args) => return serve::run_scheduler(*args).into(),
        Command::Executor(args) => return serve::run_executor(*args).into(),
        Command::Completions { shell } => {
            clap_complete::generate(
                shell,
                &mut Cli::command(),
                "trainyard",
                &mut std::io::stdout(),
            );
            Ok(Exit::Done)
        }
        Command::Files(files) => client(command::files::run(files)),
        Command::Jobs(jobs) => client(command::jobs::run(jobs)),
        Command::Models(models) => client(command::models::run(models)),
        Command::Tenants(tenants) => client(command::tenants::run(tenants)),
        Command::Keys(keys) => client(command::keys::run(keys)),
        Command::Usage(usage) => client(command::usage::run(usage)),
        Command::Audit(audit) => client(command::audit::run(audit)),
        Command::Backup(backup) => client(command::backup::run(backup)),
        Command::Restore(restore) => client(command::restore::run(restore)),
        Command::Webhooks(webhooks) => client(command::webhooks::run(webhooks)),
    };
    match result {
        Ok(exit) => exit.into(),
        // The reader has what it wanted: `trainyard jobs list | head -1`.
        Err(ClientError::Output(error)) if error.kind() == std::io::ErrorKind::BrokenPipe => {
            Exit::Done.into()
        }
        Err(error) => {
            complain(&error.to_string());
            error.exit().into()
        }
    }
}

/// Runs a client command; its warnings go to standard error without time and place.
fn client(command: impl Future<Output = Result<Exit, ClientError>>) -> Result<Exit, ClientError> {
    tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        .with_max_level(tracing::Level::WARN)
        .without_time()
        .with_target(false)
        .init();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(command)
}

#[expect(clippy::print_stderr, reason = "the error of a command is for its caller's terminal")]
fn complain(error: &str) {
    eprintln!("error: {}", output::printable_lines(error));
}

/// An error with its causes, in one line.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        text = format!("{text}: {inner}");
        cause = inner.source();
    }
    text
}

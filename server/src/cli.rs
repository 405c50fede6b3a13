//! The command line: what there is to type. Each command's flags stand beside its code.

use clap::{Parser, Subcommand};
use clap_complete::Shell;

use crate::{command, exit, serve};

/// Fine-tuning as a service that you run yourself: OpenAI's fine-tuning API, trained here.
#[derive(Debug, Parser)]
#[command(name = "trainyard", version, after_help = exit::HELP, arg_required_else_help = true)]
pub(crate) struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run the server: API, scheduler and training in one process.
    Serve(Box<serve::ServeArgs>),
    /// Run the API alone, beside other processes on a shared record.
    Api(Box<serve::ApiArgs>),
    /// Run the scheduler's loops alone, beside other processes on a shared record.
    Scheduler(Box<serve::SchedulerArgs>),
    /// Run the training alone: take jobs of a control plane.
    Executor(Box<serve::ExecutorArgs>),
    /// Upload, list, show, read and delete files.
    #[command(subcommand)]
    Files(command::files::Files),
    /// Create, list, show, watch, cancel, pause and resume fine-tuning jobs.
    #[command(subcommand)]
    Jobs(command::jobs::Jobs),
    /// List, show, download, import and delete models.
    #[command(subcommand)]
    Models(command::models::Models),
    /// Make, list, show, change, suspend and activate tenants; for operators.
    #[command(subcommand)]
    Tenants(command::tenants::Tenants),
    /// Make, list, show, revoke and rotate a tenant's API keys; for operators.
    #[command(subcommand)]
    Keys(command::keys::Keys),
    /// Show what the tenant of the key has used and may use.
    Usage(command::usage::UsageArgs),
    /// List the audit log of a tenant, or verify that nothing in it was changed; for operators.
    #[command(subcommand)]
    Audit(command::audit::Audit),
    /// Copy a data directory, also beside its running server.
    Backup(command::backup::BackupArgs),
    /// Make a new data directory of a backup.
    Restore(command::restore::RestoreArgs),
    /// Create, list, show, change, test and delete webhooks.
    #[command(subcommand)]
    Webhooks(command::webhooks::Webhooks),
    /// Print the completion script of a shell.
    #[command(
        after_help = "Example:\n  trainyard completions bash > ~/.local/share/bash-completion/completions/trainyard"
    )]
    Completions {
        /// The shell.
        shell: Shell,
    },
}

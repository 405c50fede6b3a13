//! `trainyard files`: upload, list, show, read and delete; budgets of privacy.

use std::io::Write;
use std::path::PathBuf;

use serde_json::Value;
use trainyard_openapi::file::File;
use trainyard_openapi::page::Page;

use super::connection::Connection;
use super::erase;
use super::privacy;
use super::upload::{Parts, upload};
use crate::client::{ClientError, read};
use crate::exit::Exit;
use crate::output::{self, Format};

/// The commands on files.
#[allow(clippy::doc_markdown, reason = "the doc comments are the help text")]
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Files {
    /// Upload a JSONL file for training or validation.
    Upload {
        /// The file.
        path: PathBuf,
        #[command(flatten)]
        parts: Parts,
        #[command(flatten)]
        connection: Connection,
    },
    /// List files, newest first.
    List {
        /// Only files of this purpose: fine-tune or fine-tune-results.
        #[arg(long)]
        purpose: Option<String>,
        /// At most so many.
        #[arg(long, default_value_t = 100)]
        limit: u32,
        /// Those after this file of the list.
        #[arg(long, value_name = "FILE_ID")]
        after: Option<String>,
        #[command(flatten)]
        connection: Connection,
    },
    /// Show a file.
    Get {
        /// The file's id.
        id: String,
        #[command(flatten)]
        connection: Connection,
    },
    /// Write a file's content to standard output.
    Content {
        /// The file's id.
        id: String,
        #[command(flatten)]
        connection: Connection,
    },
    /// Show what came of a file: jobs, models, checkpoints, result files.
    Lineage {
        /// The file's id.
        id: String,
        #[command(flatten)]
        connection: Connection,
    },
    /// Show what private jobs have spent of a file's privacy, and what is left.
    Privacy {
        /// The file's id.
        id: String,
        #[command(flatten)]
        connection: Connection,
    },
    /// Set what private jobs may spend of a file's privacy together.
    SetBudget {
        /// The file's id.
        id: String,
        /// The bound on the privacy loss: 0.001 to 1000.
        #[arg(long)]
        epsilon: f64,
        /// The probability by which it may fail [default: 1 / units^1.1].
        #[arg(long)]
        delta: Option<f64>,
        #[command(flatten)]
        connection: Connection,
    },
    /// Delete a file.
    Delete {
        /// The file's id.
        id: String,
        /// Erase with it all that was made of it: models, checkpoints, result files, events. Shows it and asks first.
        #[arg(long)]
        cascade: bool,
        /// Do not ask.
        #[arg(long, requires = "cascade")]
        yes: bool,
        #[command(flatten)]
        connection: Connection,
    },
}

/// Carries a command out.
pub(crate) async fn run(command: Files) -> Result<Exit, ClientError> {
    match command {
        Files::Upload { path, parts, connection } => {
            let file = upload(&connection.client()?, &path, &parts).await?;
            show(&file, connection.format())?;
        }
        Files::List { purpose, limit, after, connection } => {
            let mut query = vec![("limit".to_string(), limit.to_string())];
            query.extend(purpose.map(|purpose| ("purpose".to_string(), purpose)));
            query.extend(after.map(|after| ("after".to_string(), after)));
            let answer = connection.client()?.get(&["files"], &query).await?;
            list(&answer, connection.format())?;
        }
        Files::Get { id, connection } => {
            let answer = connection.client()?.get(&["files", &id], &[]).await?;
            show(&answer, connection.format())?;
        }
        Files::Content { id, connection } => {
            let mut response = connection.client()?.download(&["files", &id, "content"]).await?;
            let mut out = std::io::stdout().lock();
            while let Some(chunk) =
                response.chunk().await.map_err(|error| ClientError::Answer(error.to_string()))?
            {
                out.write_all(&chunk)?;
            }
            out.flush()?;
        }
        Files::Lineage { id, connection } => erase::lineage(&id, &connection).await?,
        Files::Privacy { id, connection } => privacy::get(&id, &connection).await?,
        Files::SetBudget { id, epsilon, delta, connection } => {
            privacy::set(&id, epsilon, delta, &connection).await?;
        }
        Files::Delete { id, cascade: true, yes, connection } => {
            return erase::cascade(&id, yes, &connection).await;
        }
        Files::Delete { id, cascade: false, yes: _, connection } => {
            erase::delete(&id, &connection).await?;
        }
    }
    Ok(Exit::Done)
}

fn list(answer: &Value, format: Format) -> Result<(), ClientError> {
    if format == Format::Json {
        return Ok(output::json(answer)?);
    }
    let page: Page<File> = read(answer)?;
    let rows: Vec<_> = page.data.iter().map(row).collect();
    Ok(output::table(&["ID", "SIZE", "PURPOSE", "CREATED (UTC)", "NAME"], &rows)?)
}

fn row(file: &File) -> Vec<String> {
    let purpose = serde_json::to_value(file.purpose).unwrap_or_default();
    vec![
        file.id.to_string(),
        output::bytes(file.bytes),
        purpose.as_str().unwrap_or_default().to_string(),
        output::time(file.created_at),
        file.filename.clone(),
    ]
}

fn show(answer: &Value, format: Format) -> Result<(), ClientError> {
    if format == Format::Json {
        return Ok(output::json(answer)?);
    }
    let names = ["id", "size", "purpose", "created (UTC)", "name"];
    let fields: Vec<_> = names.into_iter().zip(row(&read(answer)?)).collect();
    Ok(output::fields(&fields)?)
}

//! `trainyard models`: list, show, download, import and delete.

use std::path::PathBuf;

use serde_json::Value;
use trainyard_openapi::model::{Artifact, Model, ModelLineage, ModelLineageNode};
use trainyard_openapi::page::Page;

use super::connection::Connection;
use super::download::download;
use super::import::{self, ImportArgs};
use crate::client::{ClientError, read};
use crate::exit::Exit;
use crate::output::{self, Format};

/// The commands on models.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Models {
    /// List base models and fine-tuned models.
    List {
        #[command(flatten)]
        connection: Connection,
    },
    /// Show a model.
    Get {
        /// The model's name.
        name: String,
        #[command(flatten)]
        connection: Connection,
    },
    /// Show what a model came of and what came of it: models, jobs and files.
    Lineage {
        /// The model's name, or a checkpoint's; also one that was deleted.
        name: String,
        #[command(flatten)]
        connection: Connection,
    },
    /// Delete a fine-tuned model.
    Delete {
        /// The model's name.
        name: String,
        #[command(flatten)]
        connection: Connection,
    },
    /// List the files of a fine-tuned model or of a checkpoint.
    Artifacts {
        /// The model's name, or a checkpoint's.
        name: String,
        #[command(flatten)]
        connection: Connection,
    },
    /// Download the files of a fine-tuned model or of a checkpoint, checked by their SHA-256.
    Download {
        /// The model's name, or a checkpoint's.
        name: String,
        /// The directory to write to.
        #[arg(long, value_name = "DIR")]
        out: PathBuf,
        #[command(flatten)]
        connection: Connection,
    },
    /// Make a base model of a GGUF file or a Hugging Face directory. Works on the data directory, not through the server.
    Import(ImportArgs),
}

/// Carries a command out.
pub(crate) async fn run(command: Models) -> Result<Exit, ClientError> {
    match command {
        Models::List { connection } => {
            let answer = connection.client()?.get(&["models"], &[]).await?;
            list(&answer, connection.format())?;
        }
        Models::Get { name, connection } => {
            let answer = connection.client()?.get(&["models", &name], &[]).await?;
            show(&answer, connection.format())?;
        }
        Models::Lineage { name, connection } => {
            let answer = connection.client()?.get(&["models", &name, "lineage"], &[]).await?;
            lineage(&answer, connection.format())?;
        }
        Models::Delete { name, connection } => {
            let answer = connection.client()?.delete(&["models", &name], &[]).await?;
            deleted(&answer, connection.format())?;
        }
        Models::Artifacts { name, connection } => {
            let client = connection.client()?;
            let answer = client.get(&["models", &name, "artifacts"], &[]).await?;
            artifacts(&answer, connection.format())?;
        }
        Models::Download { name, out, connection } => {
            let written = download(&connection.client()?, &name, &out).await?;
            for (artifact, path) in &written {
                match connection.format() {
                    Format::Json => output::json(artifact)?,
                    Format::Human => {
                        output::line(&format!("{}  {}", artifact.sha256, path.display()))?;
                    }
                }
            }
        }
        Models::Import(args) => import::run(args).await?,
    }
    Ok(Exit::Done)
}

fn list(answer: &Value, format: Format) -> Result<(), ClientError> {
    if format == Format::Json {
        return Ok(output::json(answer)?);
    }
    let page: Page<Model> = read(answer)?;
    let rows: Vec<_> = page.data.iter().map(row).collect();
    Ok(output::table(&["CREATED (UTC)", "OWNER", "NAME"], &rows)?)
}

fn row(model: &Model) -> Vec<String> {
    vec![output::time(model.created), model.owned_by.clone(), model.id.clone()]
}

fn show(answer: &Value, format: Format) -> Result<(), ClientError> {
    if format == Format::Json {
        return Ok(output::json(answer)?);
    }
    let fields: Vec<_> =
        ["created (UTC)", "owner", "name"].into_iter().zip(row(&read(answer)?)).collect();
    Ok(output::fields(&fields)?)
}

fn lineage(answer: &Value, format: Format) -> Result<(), ClientError> {
    if format == Format::Json {
        return Ok(output::json(answer)?);
    }
    let lineage: ModelLineage = read(answer)?;
    let row = |node: &ModelLineageNode| {
        let from_here = lineage.edges.iter().filter(|edge| edge.from == node.id);
        let came: Vec<_> =
            from_here.map(|edge| format!("{} {}", edge.kind.as_str(), edge.to)).collect();
        let state = match (node.present, node.status) {
            (_, Some(status)) => status.as_str(),
            (true, None) => "there",
            (false, None) => "gone",
        };
        vec![node.kind.as_str().to_string(), node.id.clone(), state.to_string(), came.join(", ")]
    };
    let rows: Vec<_> = lineage.nodes.iter().map(row).collect();
    output::table(&["WHAT", "ID", "STATE", ""], &rows)?;
    if lineage.truncated {
        output::line("There is more than this.")?;
    }
    Ok(())
}

fn artifacts(answer: &Value, format: Format) -> Result<(), ClientError> {
    if format == Format::Json {
        return Ok(output::json(answer)?);
    }
    let page: Page<Artifact> = read(answer)?;
    let row = |artifact: &Artifact| {
        vec![output::bytes(artifact.bytes), artifact.sha256.clone(), artifact.name.clone()]
    };
    let rows: Vec<_> = page.data.iter().map(row).collect();
    Ok(output::table(&["SIZE", "SHA-256", "NAME"], &rows)?)
}

/// Says what a deletion deleted.
pub(crate) fn deleted(answer: &Value, format: Format) -> Result<(), ClientError> {
    if format == Format::Json {
        return Ok(output::json(answer)?);
    }
    let gone: trainyard_openapi::file::Deleted = read(answer)?;
    Ok(output::line(&format!("deleted {} {}", gone.object, output::printable(&gone.id)))?)
}

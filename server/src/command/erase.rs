//! `trainyard files lineage` and `trainyard files delete --cascade`: what came of a file, and its erasure with all of that.

use std::io::{BufRead, IsTerminal};

use serde_json::Value;
use trainyard_openapi::erasure::{DeletedFile, ErasureReceipt, ErasureStatus, Lineage, Trained};

use super::connection::Connection;
use crate::client::{Client, ClientError, read};
use crate::exit::Exit;
use crate::output::{self, Format};

/// Shows what came of a file.
pub(crate) async fn lineage(id: &str, connection: &Connection) -> Result<(), ClientError> {
    let answer = connection.client()?.get(&["files", id, "lineage"], &[]).await?;
    if connection.format() == Format::Json {
        return Ok(output::json(&answer)?);
    }
    show_lineage(&read(&answer)?)
}

/// Deletes a file alone, and names what was made of it and stays.
pub(crate) async fn delete(id: &str, connection: &Connection) -> Result<(), ClientError> {
    let answer = connection.client()?.delete(&["files", id], &[]).await?;
    if connection.format() == Format::Json {
        return Ok(output::json(&answer)?);
    }
    let gone: DeletedFile = read(&answer)?;
    output::line(&format!("deleted file {}", gone.id))?;
    let Trained { jobs, models, checkpoints, result_files } = gone.trainyard.trained;
    let left = models.len() + checkpoints.len() + result_files.len();
    if left > 0 {
        output::line(&format!(
            "{} jobs read it; {left} models, checkpoints and result files made of it stay: --cascade erases them too",
            jobs.len()
        ))?;
    }
    Ok(())
}

/// Erases a file with all that came of it, once somebody has seen what that is and says yes.
pub(crate) async fn cascade(
    id: &str,
    yes: bool,
    connection: &Connection,
) -> Result<Exit, ClientError> {
    let client = connection.client()?;
    if !yes && !confirmed(&client, id, connection.format()).await? {
        output::line("nothing was erased")?;
        return Ok(Exit::Failure);
    }
    let query = [("cascade".to_string(), "true".to_string())];
    let answer = client.delete(&["files", id], &query).await?;
    if connection.format() == Format::Json {
        output::json(&answer["trainyard"]["erasure"])?;
    } else {
        receipt(&answer["trainyard"]["erasure"])?;
    }
    Ok(Exit::Done)
}

/// Shows what would go, and asks.
async fn confirmed(client: &Client, id: &str, format: Format) -> Result<bool, ClientError> {
    if format == Format::Json || !std::io::stdin().is_terminal() {
        let text = "--cascade erases models, checkpoints and events too; without a terminal, or with --json, say so with --yes";
        return Err(ClientError::Usage(text.to_string()));
    }
    show_lineage(&read(&client.get(&["files", id, "lineage"], &[]).await?)?)?;
    output::line("All of this is erased for good; the jobs stay listed. Type 'yes' to go on:")?;
    let mut answer = String::new();
    std::io::stdin().lock().read_line(&mut answer)?;
    Ok(answer.trim() == "yes")
}

fn show_lineage(lineage: &Lineage) -> Result<(), ClientError> {
    let mut rows = vec![vec![
        "file".to_string(),
        lineage.id.to_string(),
        lineage.sha256.as_ref().map_or("deleted".to_string(), |hash| format!("SHA-256 {hash}")),
    ]];
    for job in &lineage.jobs {
        let how = match (job.trained, job.validated) {
            (true, true) => "trained on it and measured with it",
            (true, false) => "trained on it",
            _ => "measured with it",
        };
        let erased = job.erasure_id.as_ref().map(|id| format!(", erased by {id}"));
        let text = format!("{}, {how}{}", job.status.as_str(), erased.unwrap_or_default());
        rows.push(vec!["job".to_string(), job.id.to_string(), text]);
    }
    let made = |kind: &str, id: &str, job: &dyn std::fmt::Display| {
        vec![kind.to_string(), id.to_string(), format!("of {job}")]
    };
    rows.extend(lineage.models.iter().map(|one| made("model", &one.id, &one.job_id)));
    rows.extend(lineage.checkpoints.iter().map(|c| made("checkpoint", &c.model, &c.job_id)));
    let files = lineage.result_files.iter();
    rows.extend(files.map(|file| made("result file", file.id.as_str(), &file.job_id)));
    let same = lineage.same_content.iter();
    rows.extend(same.map(|id| {
        vec!["same content".to_string(), id.to_string(), "a file of its own: it stays".to_string()]
    }));
    output::table(&["WHAT", "ID", ""], &rows)?;
    if lineage.has_more {
        output::line("There are more jobs than these.")?;
    }
    Ok(())
}

/// Shows a receipt.
pub(crate) fn receipt(answer: &Value) -> Result<(), ClientError> {
    let receipt: ErasureReceipt = read(answer)?;
    let status = match receipt.status {
        ErasureStatus::Completed => "completed",
        ErasureStatus::InProgress => "in progress: the server goes on by itself",
    };
    let counts: Vec<_> = receipt.counts.iter().map(|(kind, n)| format!("{n} {kind}")).collect();
    output::fields(&[
        ("erasure", receipt.id.to_string()),
        ("of", format!("{} {}", receipt.subject.kind, receipt.subject.id)),
        ("status", status.to_string()),
        ("removed", counts.join(", ")),
        ("size", output::bytes(receipt.bytes)),
    ])?;
    let rows: Vec<_> = receipt
        .removed
        .iter()
        .map(|removed| {
            vec![
                removed.kind.as_str().to_string(),
                output::bytes(removed.bytes),
                removed.sha256.clone().unwrap_or_default(),
                removed
                    .id
                    .clone()
                    .or_else(|| removed.job_id.as_ref().map(|job| format!("of {job}")))
                    .unwrap_or_default(),
            ]
        })
        .collect();
    output::table(&["REMOVED", "SIZE", "SHA-256", "ID"], &rows)?;
    for kept in &receipt.kept {
        let id = kept.id.as_ref().map(|id| format!("{} ", output::printable(id)));
        output::line(&format!(
            "kept: {}{}",
            id.unwrap_or_default(),
            output::printable(&kept.reason)
        ))?;
    }
    Ok(())
}

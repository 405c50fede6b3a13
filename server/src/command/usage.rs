//! `trainyard usage`: what the tenant of the key has used, day by day, and what it may.

use serde_json::Value;
use trainyard_openapi::tenant::{Usage, UsageDay};

use super::connection::Connection;
use super::tenants::quota;
use crate::client::{ClientError, read};
use crate::exit::Exit;
use crate::output::{self, Format};

/// The flags of `usage`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  trainyard usage
  trainyard usage --from 2026-11-01 --to 2026-11-30 --json")]
pub(crate) struct UsageArgs {
    /// The first day, in UTC [default: the first of this month].
    #[arg(long, value_name = "YYYY-MM-DD")]
    from: Option<String>,
    /// The last day, in UTC [default: today].
    #[arg(long, value_name = "YYYY-MM-DD")]
    to: Option<String>,
    #[command(flatten)]
    connection: Connection,
}

/// Shows the usage.
pub(crate) async fn run(args: UsageArgs) -> Result<Exit, ClientError> {
    let UsageArgs { from, to, connection } = args;
    let days = [("from", from), ("to", to)];
    let query: Vec<_> =
        days.into_iter().filter_map(|(name, day)| Some((name.to_string(), day?))).collect();
    let answer = connection.client()?.get(&["usage"], &query).await?;
    show(&answer, connection.format())?;
    Ok(Exit::Done)
}

fn show(answer: &Value, format: Format) -> Result<(), ClientError> {
    if format == Format::Json {
        return Ok(output::json(answer)?);
    }
    let usage: Usage = read(answer)?;
    let rows: Vec<_> = usage.data.iter().map(row).collect();
    output::table(&["DAY (UTC)", "ACCELERATOR", "TOKENS", "CREATED", "SUCCEEDED"], &rows)?;
    let mut fields = vec![
        ("stored now", output::bytes(usage.storage_bytes)),
        ("live jobs now", usage.live_jobs.to_string()),
        ("accelerator today", output::duration(usage.accelerator_seconds_today)),
        ("accelerator this month", output::duration(usage.accelerator_seconds_this_month)),
    ];
    fields.extend(quota(&answer["quota"]).into_iter().filter(|(_, limit)| limit != "none"));
    Ok(output::fields(&fields)?)
}

fn row(day: &UsageDay) -> Vec<String> {
    vec![
        day.date.clone(),
        output::duration(day.accelerator_seconds),
        day.trained_tokens.to_string(),
        day.jobs_created.to_string(),
        day.jobs_succeeded.to_string(),
    ]
}

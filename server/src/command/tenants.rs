//! `trainyard tenants`: for operators. Make, list, show, change, suspend and activate tenants.

use serde_json::{Map, Value, json};
use trainyard_openapi::tenant::{Tenant, TenantStatus};

use super::connection::{Connection, idempotency_key};
use super::jobs::{PageArgs, list};
use crate::client::{Client, ClientError, read};
use crate::exit::Exit;
use crate::output::{self, Format};

/// The path of the operators' routes.
pub(crate) const TENANTS: [&str; 2] = ["admin", "tenants"];

/// The commands on tenants.
#[allow(clippy::doc_markdown, reason = "the doc comments are the help text")]
#[derive(Debug, clap::Subcommand)]
#[command(after_help = "Examples:
  trainyard tenants create --name research --quota running_jobs=2 --quota storage_bytes=100000000000
  trainyard tenants update org-… --quota running_jobs=4 --quota storage_bytes=none
  trainyard tenants update org-… --weight 2
  trainyard tenants suspend org-…
  trainyard tenants list --json")]
pub(crate) enum Tenants {
    /// Make a tenant. It has no key yet: `trainyard keys create` makes one.
    Create {
        /// A name for people.
        #[arg(long)]
        name: String,
        #[command(flatten)]
        quota: QuotaArgs,
        /// Its part of the devices where tenants compete for them, 1 to 1000 [default: 1].
        #[arg(long)]
        weight: Option<u32>,
        #[command(flatten)]
        connection: Connection,
    },
    /// List tenants, newest first.
    List {
        #[command(flatten)]
        page: PageArgs,
        #[command(flatten)]
        connection: Connection,
    },
    /// Show a tenant with its quota.
    Get(TenantArgs),
    /// Change a tenant's name, quota or weight; a limit that is not named stays.
    Update {
        /// The tenant's id.
        tenant: String,
        /// A new name for people.
        #[arg(long, required_unless_present_any = ["quota", "weight"])]
        name: Option<String>,
        #[command(flatten)]
        quota: QuotaArgs,
        /// Its part of the devices where tenants compete for them, 1 to 1000.
        #[arg(long)]
        weight: Option<u32>,
        #[command(flatten)]
        connection: Connection,
    },
    /// Refuse the tenant's keys and start none of its jobs. Running jobs go on.
    Suspend(TenantArgs),
    /// Let the tenant's keys work again.
    Activate(TenantArgs),
    /// Delete a tenant. Its keys stop working at once.
    Delete {
        /// The tenant's id.
        tenant: String,
        /// Cancel its jobs and erase all that it has. Without this, a tenant that has something is refused.
        #[arg(long)]
        cascade: bool,
        #[command(flatten)]
        connection: Connection,
    },
}

/// A tenant by its id.
#[derive(Debug, clap::Args)]
pub(crate) struct TenantArgs {
    /// The tenant's id.
    tenant: String,
    #[command(flatten)]
    connection: Connection,
}

/// Limits by their names in the API.
#[allow(clippy::doc_markdown, reason = "the doc comments are the help text")]
#[derive(Debug, clap::Args)]
pub(crate) struct QuotaArgs {
    /// A limit, such as running_jobs=2, live_jobs, storage_bytes, accelerator_seconds_per_day, requests_per_minute; none lifts it. May be repeated.
    #[arg(long, value_name = "LIMIT=NUMBER", value_parser = limit)]
    quota: Vec<(String, Option<u64>)>,
}

impl QuotaArgs {
    /// The limits that were named over those in `there`. The server knows which names there are.
    fn over(&self, mut there: Map<String, Value>) -> Value {
        for (name, limit) in &self.quota {
            there.insert(name.clone(), json!(limit));
        }
        Value::Object(there)
    }
}

/// `name=number` or `name=none`.
fn limit(text: &str) -> Result<(String, Option<u64>), String> {
    let (name, value) = super::connection::pair(text)?;
    match value.as_str() {
        "none" => Ok((name, None)),
        number => match number.parse() {
            Ok(number) => Ok((name, Some(number))),
            Err(_) => Err(format!("'{number}' is neither a number from 0 on nor 'none'")),
        },
    }
}

/// Carries a command out.
pub(crate) async fn run(command: Tenants) -> Result<Exit, ClientError> {
    match command {
        Tenants::Create { name, quota, weight, connection } => {
            let mut body = json!({"name": name, "quota": quota.over(Map::new())});
            if let Some(weight) = weight {
                body["weight"] = json!(weight);
            }
            let client = connection.client()?;
            show(
                &client.post(&TENANTS, Some(&body), &idempotency_key()?).await?,
                connection.format(),
            )?;
        }
        Tenants::List { page, connection } => {
            let answer = connection.client()?.get(&TENANTS, &page.query()).await?;
            list(&answer, connection.format(), &["ID", "STATUS", "CREATED (UTC)", "NAME"], row)?;
        }
        Tenants::Get(TenantArgs { tenant, connection }) => {
            let answer = connection.client()?.get(&[TENANTS[0], TENANTS[1], &tenant], &[]).await?;
            show(&answer, connection.format())?;
        }
        Tenants::Update { tenant, name, quota, weight, connection } => {
            let client = connection.client()?;
            let mut body = Map::new();
            body.extend(name.map(|name| ("name".to_string(), Value::from(name))));
            body.extend(weight.map(|weight| ("weight".to_string(), Value::from(weight))));
            if !quota.quota.is_empty() {
                // The API replaces the quota as a whole: what is not named is sent as it stands.
                let now = client.get(&[TENANTS[0], TENANTS[1], &tenant], &[]).await?;
                let there = now["quota"].as_object().cloned().unwrap_or_default();
                body.insert("quota".to_string(), quota.over(there));
            }
            show(&update(&client, &tenant, &Value::Object(body)).await?, connection.format())?;
        }
        Tenants::Suspend(args) => turn(args, TenantStatus::Suspended).await?,
        Tenants::Activate(args) => turn(args, TenantStatus::Active).await?,
        Tenants::Delete { tenant, cascade, connection } => {
            let query = [("cascade".to_string(), cascade.to_string())];
            let path = [TENANTS[0], TENANTS[1], &tenant];
            let answer = connection.client()?.delete(&path, &query).await?;
            match connection.format() {
                Format::Json => output::json(&answer)?,
                Format::Human => super::erase::receipt(&answer["erasure"])?,
            }
        }
    }
    Ok(Exit::Done)
}

async fn turn(args: TenantArgs, status: TenantStatus) -> Result<(), ClientError> {
    let TenantArgs { tenant, connection } = args;
    let client = connection.client()?;
    let answer = update(&client, &tenant, &json!({"status": status})).await?;
    show(&answer, connection.format())
}

async fn update(client: &Client, tenant: &str, body: &Value) -> Result<Value, ClientError> {
    client.post(&[TENANTS[0], TENANTS[1], tenant], Some(body), &idempotency_key()?).await
}

fn row(tenant: &Tenant) -> Vec<String> {
    vec![
        tenant.id.to_string(),
        word(tenant.status),
        output::time(tenant.created_at),
        tenant.name.clone(),
    ]
}

fn show(answer: &Value, format: Format) -> Result<(), ClientError> {
    if format == Format::Json {
        return Ok(output::json(answer)?);
    }
    let tenant: Tenant = read(answer)?;
    let mut fields = vec![
        ("tenant", tenant.id.to_string()),
        ("name", tenant.name.clone()),
        ("status", word(tenant.status)),
        ("weight", tenant.weight.to_string()),
        ("created (UTC)", output::time(tenant.created_at)),
    ];
    fields.extend(quota(&answer["quota"]));
    Ok(output::fields(&fields)?)
}

/// Each limit that the server named.
pub(crate) fn quota(quota: &Value) -> Vec<(&str, String)> {
    let limits = quota.as_object().into_iter().flatten();
    let figure = |limit: &Value| limit.as_u64().map_or("none".to_string(), |n| n.to_string());
    limits.map(|(name, limit)| (name.as_str(), figure(limit))).collect()
}

fn word(status: TenantStatus) -> String {
    match status {
        TenantStatus::Active => "active".to_string(),
        TenantStatus::Suspended => "suspended".to_string(),
        TenantStatus::Erasing => "erasing".to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_is_a_number_or_none() {
        assert_eq!(limit("running_jobs=0"), Ok(("running_jobs".to_string(), Some(0))));
        assert_eq!(limit("storage_bytes=none"), Ok(("storage_bytes".to_string(), None)));
        for wrong in ["running_jobs", "=3", "a=-1", "a=1.5", "a=", "a=18446744073709551616"] {
            assert!(limit(wrong).is_err(), "{wrong}");
        }
        let args = QuotaArgs { quota: vec![("a".to_string(), None), ("b".to_string(), Some(2))] };
        let there = json!({"a": 1, "c": 3}).as_object().cloned().unwrap_or_default();
        assert_eq!(args.over(there), json!({"a": null, "b": 2, "c": 3}));
    }
}

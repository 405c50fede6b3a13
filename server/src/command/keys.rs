//! `trainyard keys`: for operators. Make, list, show, revoke and rotate the API keys of a tenant.

use serde_json::{Value, json};
use trainyard_openapi::tenant::{Scope, TenantKey};

use super::connection::{Connection, idempotency_key};
use super::jobs::{PageArgs, list};
use super::tenants::TENANTS;
use crate::client::{ClientError, read};
use crate::exit::Exit;
use crate::output::{self, Format};

/// The commands on keys.
#[derive(Debug, clap::Subcommand)]
#[command(after_help = "Examples:
  trainyard keys create org-… --name ci --scope jobs.read --scope jobs.write --expires-in-days 90
  trainyard keys rotate org-… Ab3dEf6hIj9k --overlap-seconds 3600
  trainyard keys revoke org-… Ab3dEf6hIj9k

A key is shown once, by create and rotate; only its hash is stored.")]
pub(crate) enum Keys {
    /// Make a key for a tenant, and show it this once.
    Create {
        /// The tenant's id.
        tenant: String,
        /// A name for people.
        #[arg(long)]
        name: String,
        /// What it may do, such as jobs.read; may be repeated [default: all that a tenant can].
        #[arg(long = "scope", value_name = "SCOPE", value_parser = scope)]
        scopes: Vec<Scope>,
        /// Days until it expires [default: never].
        #[arg(long, value_name = "DAYS", conflicts_with = "expires_in_seconds")]
        expires_in_days: Option<u32>,
        /// Seconds until it expires.
        #[arg(long, value_name = "SECONDS")]
        expires_in_seconds: Option<u64>,
        #[command(flatten)]
        connection: Connection,
    },
    /// List a tenant's keys, newest first; revoked and expired ones too.
    List {
        /// The tenant's id.
        tenant: String,
        #[command(flatten)]
        page: PageArgs,
        #[command(flatten)]
        connection: Connection,
    },
    /// Show a key, without its secret.
    Get(KeyArgs),
    /// Revoke a key: it stops working at once.
    Revoke(KeyArgs),
    /// Replace a key by a new one of the same name and scopes, and show that this once.
    Rotate {
        #[command(flatten)]
        key: KeyArgs,
        /// Seconds for which the old key still works [default: a day].
        #[arg(long, value_name = "SECONDS")]
        overlap_seconds: Option<u64>,
    },
}

/// A key by its tenant and its public part.
#[derive(Debug, clap::Args)]
pub(crate) struct KeyArgs {
    /// The tenant's id.
    tenant: String,
    /// The public part of the key: the 12 characters after the prefix.
    key: String,
    #[command(flatten)]
    connection: Connection,
}

impl KeyArgs {
    fn path(&self) -> [&str; 5] {
        [TENANTS[0], TENANTS[1], &self.tenant, "keys", &self.key]
    }
}

fn scope(text: &str) -> Result<Scope, String> {
    Scope::of(text).ok_or_else(|| {
        let words: Vec<_> = Scope::TENANT.iter().map(|scope| scope.as_str()).collect();
        format!("'{text}' is no scope; there are {} and admin", words.join(", "))
    })
}

/// Carries a command out.
pub(crate) async fn run(command: Keys) -> Result<Exit, ClientError> {
    match command {
        Keys::Create { tenant, name, scopes, expires_in_days, expires_in_seconds, connection } => {
            let seconds = expires_in_days.map(|days| u64::from(days) * 86_400);
            let scopes = (!scopes.is_empty()).then_some(scopes);
            let body = json!({"name": name, "scopes": scopes, "expires_in_seconds": seconds.or(expires_in_seconds)});
            let path = [TENANTS[0], TENANTS[1], &tenant, "keys"];
            let client = connection.client()?;
            show(
                &client.post(&path, Some(&body), &idempotency_key()?).await?,
                connection.format(),
            )?;
        }
        Keys::List { tenant, page, connection } => {
            let path = [TENANTS[0], TENANTS[1], &tenant, "keys"];
            let answer = connection.client()?.get(&path, &page.query()).await?;
            let header = ["ID", "STATE", "CREATED (UTC)", "LAST USED (UTC)", "SCOPES", "NAME"];
            list(&answer, connection.format(), &header, row)?;
        }
        Keys::Get(key) => {
            let answer = key.connection.client()?.get(&key.path(), &[]).await?;
            show(&answer, key.connection.format())?;
        }
        Keys::Revoke(key) => {
            let answer = key.connection.client()?.delete(&key.path(), &[]).await?;
            show(&answer, key.connection.format())?;
        }
        Keys::Rotate { key, overlap_seconds } => {
            let client = key.connection.client()?;
            let path: Vec<&str> = key.path().into_iter().chain(["rotate"]).collect();
            let body = json!({"overlap_seconds": overlap_seconds});
            let answer = client.post(&path, Some(&body), &idempotency_key()?).await?;
            show(&answer, key.connection.format())?;
        }
    }
    Ok(Exit::Done)
}

/// What the record says of the key; whether a time has come is told by the time beside it.
fn state(key: &TenantKey) -> String {
    match (key.revoked_at, key.expires_at) {
        (Some(at), _) => format!("revoked {}", output::time(at)),
        (None, Some(at)) => format!("until {}", output::time(at)),
        (None, None) => "unlimited".to_string(),
    }
}

fn scopes(key: &TenantKey) -> String {
    key.scopes.iter().map(|scope| scope.as_str()).collect::<Vec<_>>().join(",")
}

fn row(key: &TenantKey) -> Vec<String> {
    let used = key.last_used_at.map_or("never".to_string(), output::time);
    vec![
        key.id.clone(),
        state(key),
        output::time(key.created_at),
        used,
        scopes(key),
        key.name.clone(),
    ]
}

fn show(answer: &Value, format: Format) -> Result<(), ClientError> {
    if format == Format::Json {
        return Ok(output::json(answer)?);
    }
    let key: TenantKey = read(answer)?;
    let mut fields = vec![
        ("id", key.id.clone()),
        ("tenant", key.tenant_id.to_string()),
        ("name", key.name.clone()),
        ("scopes", scopes(&key)),
        ("created (UTC)", output::time(key.created_at)),
        ("state", state(&key)),
        ("last used (UTC)", key.last_used_at.map_or("never".to_string(), output::time)),
    ];
    fields.extend(key.key.map(|whole| ("key, shown this once", whole)));
    Ok(output::fields(&fields)?)
}

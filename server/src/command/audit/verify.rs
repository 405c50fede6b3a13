//! `trainyard audit verify`: follows the hashes of one tenant's audit log or of all, through the server or in a database file.
//!
//! A chain tells of every change but one: entries that are cut off at its end, or a whole chain that was made anew. Both are
//! told by a head that was noted earlier, so the command prints heads and takes them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use trainyard_openapi::id::TenantId;
use trainyard_openapi::page::Page;
use trainyard_openapi::tenant::{AuditEvent, Tenant};
use trainyard_scheduler::adapter::sqlite::SqliteFile;
use trainyard_scheduler::audit::{AuditRecord, BrokenChain, Follower, Head};
use trainyard_scheduler::port::store::StoreError;

use crate::client::{Client, ClientError, read};
use crate::command::connection::Connection;
use crate::command::tenants::TENANTS;
use crate::exit::Exit;
use crate::output::{self, Format};

/// Entries read at once.
const PIECE: u32 = 1_000;

/// The flags of `audit verify`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  trainyard audit verify
  trainyard audit verify org-… --head 9f0c…:1234
  trainyard audit verify --json > heads.jsonl        # keep this elsewhere
  trainyard audit verify --heads heads.jsonl
  trainyard audit verify --data-dir /backups/monday

Ends with exit code 7 where a log is not as it was written.")]
pub(crate) struct VerifyArgs {
    /// The tenant's id [default: all tenants].
    tenant: Option<String>,
    /// A head that was printed earlier: tells whether the log was cut off or made anew since.
    #[arg(long, value_name = "HASH:SEQ", value_parser = head, requires = "tenant")]
    head: Option<Head>,
    /// Heads of an earlier run: what it printed with --json.
    #[arg(long, value_name = "FILE", conflicts_with = "head")]
    heads: Option<PathBuf>,
    /// Read the database in this data directory or backup instead of asking the server.
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    #[command(flatten)]
    connection: Connection,
}

fn head(text: &str) -> Result<Head, String> {
    let parsed = text.split_once(':').and_then(|(hash, seq)| {
        let hex = hash.len() == 64 && hash.bytes().all(|byte| byte.is_ascii_hexdigit());
        let seq = seq.parse().ok()?;
        hex.then(|| Head { seq, hash: hash.to_ascii_lowercase() })
    });
    parsed.ok_or_else(|| {
        format!(
            "'{text}' is no head: expected 64 hexadecimal digits, a colon and the entry's number"
        )
    })
}

/// Where entries come from.
enum Source {
    Server(Client),
    File(SqliteFile),
}

/// Why a log was not followed to its end.
enum Stopped {
    Broken(BrokenChain),
    Failed(ClientError),
}

impl From<BrokenChain> for Stopped {
    fn from(broken: BrokenChain) -> Self {
        Self::Broken(broken)
    }
}

impl From<ClientError> for Stopped {
    fn from(error: ClientError) -> Self {
        Self::Failed(error)
    }
}

/// Verifies, and prints what was found of each tenant.
pub(crate) async fn run(args: VerifyArgs) -> Result<Exit, ClientError> {
    let VerifyArgs { tenant, head, heads, data_dir, connection } = args;
    let source = match data_dir {
        Some(directory) => Source::File(open(&directory)?),
        None => Source::Server(connection.client()?),
    };
    let mut noted = heads.as_deref().map(read_heads).transpose()?.unwrap_or_default();
    let tenants = match &tenant {
        Some(tenant) => {
            noted.extend(head.map(|head| (tenant.clone(), head)));
            vec![tenant.clone()]
        }
        None => {
            let mut tenants = source.tenants().await?;
            // A tenant whose whole log is gone is in no list any more.
            let missing: Vec<_> =
                noted.keys().filter(|id| !tenants.contains(id)).cloned().collect();
            tenants.extend(missing);
            tenants
        }
    };
    let mut rows = Vec::new();
    let mut exit = Exit::Done;
    for id in tenants {
        let (head, verdict) = match follow(&source, &id, noted.get(&id), tenant.is_none()).await {
            Ok(head) => (Some(head), Ok(())),
            Err(Stopped::Broken(broken)) => (None, Err(broken.to_string())),
            Err(Stopped::Failed(error)) => return Err(error),
        };
        if verdict.is_err() {
            exit = Exit::Damaged;
        }
        let error = verdict.err();
        match connection.format() {
            Format::Json => output::json(&json!({
                "object": "audit.verification", "tenant_id": id, "intact": error.is_none(), "head": head, "error": error,
            }))?,
            Format::Human => rows.push(row(id, head, error)),
        }
    }
    if connection.format() == Format::Human {
        output::table(&["TENANT", "ENTRIES", "FOUND", "HEAD"], &rows)?;
    }
    Ok(exit)
}

fn row(id: String, head: Option<Head>, error: Option<String>) -> Vec<String> {
    let entries = head.as_ref().map_or("-".to_string(), |head| head.seq.to_string());
    let head = head.map_or("-".to_string(), |head| format!("{}:{}", head.hash, head.seq));
    vec![id, entries, error.map_or("intact".to_string(), |why| format!("BROKEN: {why}")), head]
}

fn open(directory: &Path) -> Result<SqliteFile, ClientError> {
    let path = directory.join("trainyard.db");
    SqliteFile::open(&path).map_err(|error| store_error(&path, &error))
}

fn store_error(path: &Path, error: &StoreError) -> ClientError {
    let text = format!("'{}': {error}", path.display());
    match error {
        StoreError::Corrupt(_) => ClientError::Damaged(text),
        _ => ClientError::Usage(text),
    }
}

/// Follows one tenant's log from its beginning to its end. `listed` tells that the tenant was not asked for by name.
async fn follow(
    source: &Source,
    tenant: &str,
    noted: Option<&Head>,
    listed: bool,
) -> Result<Head, Stopped> {
    let Ok(id) = tenant.parse::<TenantId>() else {
        let text = format!("'{tenant}' is no tenant's id");
        return Err(match (source, listed) {
            (Source::File(_), true) => BrokenChain::Unreadable { after: 0, reason: text }.into(),
            _ => ClientError::Usage(text).into(),
        });
    };
    let mut follower = Follower::new(id, noted.cloned());
    loop {
        let after = follower.head().seq;
        let records = match source.entries(tenant, after).await {
            Err(Stopped::Failed(ClientError::Api { status: 404, .. })) if listed => Vec::new(),
            records => records?,
        };
        follower.follow(&records)?;
        if records.len() < PIECE as usize {
            return Ok(follower.end()?);
        }
    }
}

impl Source {
    async fn tenants(&self) -> Result<Vec<String>, ClientError> {
        let client = match self {
            Self::File(file) => {
                return file
                    .audited_tenants()
                    .map_err(|error| store_error(Path::new("trainyard.db"), &error));
            }
            Self::Server(client) => client,
        };
        let mut tenants = Vec::new();
        let mut query = vec![("limit".to_string(), PIECE.to_string())];
        loop {
            let page: Page<Tenant> = read(&client.get(&TENANTS, &query).await?)?;
            tenants.extend(page.data.iter().map(|tenant| tenant.id.to_string()));
            match page.last_id.filter(|_| page.has_more) {
                Some(last) => {
                    query.truncate(1);
                    query.push(("after".to_string(), last));
                }
                None => return Ok(tenants),
            }
        }
    }

    async fn entries(&self, tenant: &str, after: u64) -> Result<Vec<AuditRecord>, Stopped> {
        let unreadable = |reason: String| BrokenChain::Unreadable { after, reason };
        match self {
            Self::File(file) => match file.audit(tenant, after, PIECE) {
                Ok(records) => Ok(records),
                Err(StoreError::Corrupt(reason)) => Err(unreadable(reason).into()),
                Err(error) => Err(ClientError::Usage(error.to_string()).into()),
            },
            Self::Server(client) => {
                let query = [("limit", PIECE.to_string()), ("after", after.to_string())];
                let query = query.map(|(name, value)| (name.to_string(), value));
                let path = [TENANTS[0], TENANTS[1], tenant, "audit"];
                let page: Page<AuditEvent> = read(&client.get(&path, &query).await?)?;
                let records = page.data.into_iter().map(AuditRecord::try_from);
                records
                    .collect::<Result<_, _>>()
                    .map_err(|error| unreadable(error.to_string()).into())
            }
        }
    }
}

/// Heads by tenant, of the lines that an earlier run printed.
fn read_heads(path: &Path) -> Result<BTreeMap<String, Head>, ClientError> {
    let text = std::fs::read_to_string(path)
        .map_err(ClientError::file(format!("cannot read '{}'", path.display())))?;
    let mut heads = BTreeMap::new();
    for (number, line) in (1..).zip(text.lines()).filter(|(_, line)| !line.trim().is_empty()) {
        let wrong =
            |why: String| ClientError::Usage(format!("'{}' line {number}: {why}", path.display()));
        let value: Value = serde_json::from_str(line).map_err(|error| wrong(error.to_string()))?;
        let tenant = value["tenant_id"].as_str().ok_or_else(|| wrong("no 'tenant_id'".into()))?;
        let head: Option<Head> = serde_json::from_value(value["head"].clone())
            .map_err(|error| wrong(error.to_string()))?;
        heads.extend(head.map(|head| (tenant.to_string(), head)));
    }
    Ok(heads)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_is_a_hash_and_a_number() {
        let hash = "0A".repeat(32);
        assert_eq!(head(&format!("{hash}:7")), Ok(Head { seq: 7, hash: "0a".repeat(32) }));
        for wrong in [
            "",
            ":",
            "abc:1",
            &hash,
            &format!("{hash}:"),
            &format!("{hash}:-1"),
            &format!("g{}:1", &hash[1..]),
        ] {
            assert!(head(wrong).is_err(), "{wrong}");
        }
    }
}

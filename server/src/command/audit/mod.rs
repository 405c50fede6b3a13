//! `trainyard audit`: for operators. List a tenant's audit log; verify that nothing in it was changed (see [`verify`]).

mod verify;

use serde_json::Value;
use trainyard_openapi::tenant::AuditEvent;

use super::connection::Connection;
use super::jobs::list;
use super::tenants::TENANTS;
use crate::client::ClientError;
use crate::exit::Exit;
use crate::output;

/// The commands on audit logs.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Audit {
    /// List a tenant's audit log, oldest first.
    List {
        /// The tenant's id.
        tenant: String,
        /// At most so many.
        #[arg(long, default_value_t = 100)]
        limit: u32,
        /// Those after this entry.
        #[arg(long, value_name = "SEQ")]
        after: Option<u64>,
        #[command(flatten)]
        connection: Connection,
    },
    /// Follow the hashes of audit logs: an entry that was changed, dropped or moved is found.
    Verify(verify::VerifyArgs),
}

/// Carries a command out.
pub(crate) async fn run(command: Audit) -> Result<Exit, ClientError> {
    match command {
        Audit::List { tenant, limit, after, connection } => {
            let mut query = vec![("limit".to_string(), limit.to_string())];
            query.extend(after.map(|after| ("after".to_string(), after.to_string())));
            let path = [TENANTS[0], TENANTS[1], &tenant, "audit"];
            let answer = connection.client()?.get(&path, &query).await?;
            let header = ["SEQ", "TIME (UTC)", "ACTOR", "ACTION", "TARGET", "DETAIL"];
            list(&answer, connection.format(), &header, row)?;
            Ok(Exit::Done)
        }
        Audit::Verify(args) => verify::run(args).await,
    }
}

fn row(event: &AuditEvent) -> Vec<String> {
    let detail = match &event.detail {
        Value::Null => String::new(),
        detail => detail.to_string(),
    };
    vec![
        event.id.clone(),
        output::time(event.created_at),
        event.actor.clone(),
        event.action.clone(),
        event.target.clone(),
        detail,
    ]
}

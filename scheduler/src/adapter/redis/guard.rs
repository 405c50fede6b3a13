//! What a server must be before it is trusted with the record. Looked at on every new connection: a server may come back as
//! another.

use std::collections::HashMap;

use redis::RedisError;
use redis::aio::MultiplexedConnection;

use super::scripts;
use crate::port::store::Durability;

/// The version of what is stored, and of what this program knows.
const SCHEMA: u64 = 1;
/// The oldest server whose scripts can say that they only read.
const OLDEST: (u32, u32) = (7, 0);
/// The first server that can say that a replica has a write on its disk.
const WAITAOF_SINCE: (u32, u32) = (7, 2);

/// What is asked of a server.
pub(super) struct Guard {
    /// What every key begins with.
    pub(super) prefix: String,
    /// The record's id, once it was opened.
    pub(super) record: std::sync::OnceLock<String>,
    /// Takes a server that may lose what it acknowledged.
    pub(super) allow_volatile: bool,
}

/// What a server was found to be.
#[derive(Debug, Clone)]
pub(super) struct Facts {
    /// What an acknowledged write survives.
    pub(super) durability: Durability,
    /// `WAITAOF` is there and means something.
    pub(super) waits_for_disks: bool,
}

/// Why a server is not taken.
pub(super) enum Unfit {
    /// It did not answer; it may yet.
    Fault(RedisError),
    /// It is another than it must be.
    Refused(String),
    /// It only follows another. After a failover that may be so for a moment.
    Replica(String),
    /// It holds something else than was there.
    Foreign(String),
}

impl From<RedisError> for Unfit {
    fn from(error: RedisError) -> Self {
        Self::Fault(error)
    }
}

impl Guard {
    /// Looks at the server behind `connection`.
    pub(super) async fn check(
        &self,
        connection: &mut MultiplexedConnection,
    ) -> Result<Facts, Unfit> {
        let text: String = redis::cmd("INFO").query_async(connection).await?;
        let info = |name: &str| {
            let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
            line.unwrap_or_default().trim()
        };
        let version = version(info("redis_version"));
        if version < OLDEST {
            let (said, (major, minor)) = (info("redis_version"), OLDEST);
            return Err(Unfit::Refused(format!(
                "the server is of version {said}; {major}.{minor} is the oldest that will do"
            )));
        }
        if info("role") != "master" {
            let text = format!("the server is a {}: name its primary", info("role"));
            return Err(Unfit::Replica(text));
        }
        let appends = info("aof_enabled") == "1";
        let durability = match faults(connection, appends, info("maxmemory_policy")).await? {
            faults if faults.is_empty() => Durability::Durable,
            faults if self.allow_volatile => Durability::Volatile(faults.join("; ")),
            faults => {
                let text = format!(
                    "the server may lose what it acknowledged: {}. Change that on the server, or take the risk with store_allow_volatile = true",
                    faults.join("; ")
                );
                return Err(Unfit::Refused(text));
            }
        };
        self.record(connection).await?;
        Ok(Facts { durability, waits_for_disks: appends && version >= WAITAOF_SINCE })
    }

    /// Finds the record, or makes it the first time.
    async fn record(&self, connection: &mut MultiplexedConnection) -> Result<(), Unfit> {
        let fresh = trainyard_openapi::id::random_base62(24)
            .map_err(|error| Unfit::Refused(format!("no random bytes: {error}")))?;
        let expected = self.record.get().map_or("", String::as_str);
        let mut script = scripts::OPEN.key(&self.prefix);
        script.arg(SCHEMA).arg(&fresh).arg(expected);
        let (found, id): (String, String) = script.invoke_async(connection).await?;
        if found.is_empty() {
            let text = "the server came back without the record: its data is gone, or it is another server";
            return Err(Unfit::Foreign(text.to_string()));
        }
        if found != SCHEMA.to_string() {
            let text = format!(
                "the record has schema_version {found}, this program knows {SCHEMA}; use the program that wrote it"
            );
            return Err(Unfit::Foreign(text));
        }
        if !expected.is_empty() && id != expected {
            let text = "the server came back with another record than it had";
            return Err(Unfit::Foreign(text.to_string()));
        }
        // Set once; a second opening has just found the same.
        let _ = self.record.set(id);
        Ok(())
    }
}

/// What makes the server forget, each with the setting that ends it.
async fn faults(
    connection: &mut MultiplexedConnection,
    appends: bool,
    eviction: &str,
) -> Result<Vec<String>, RedisError> {
    let mut faults = Vec::new();
    if appends {
        // Managed servers forbid the command: then nobody can tell.
        let asked: Result<HashMap<String, String>, RedisError> =
            redis::cmd("CONFIG").arg("GET").arg("appendfsync").query_async(connection).await;
        match asked {
            Ok(settings) => match settings.get("appendfsync").map_or("unknown", String::as_str) {
                "always" => {}
                other => faults.push(format!("appendfsync is '{other}' and must be 'always'")),
            },
            Err(error) if error.is_io_error() => return Err(error),
            Err(error) => faults
                .push(format!("appendfsync must be 'always', and CONFIG GET is refused ({error})")),
        }
    } else {
        faults.push("appendonly is 'no' and must be 'yes', with appendfsync 'always'".to_string());
    }
    if eviction != "noeviction" {
        faults.push(format!("maxmemory-policy is '{eviction}' and must be 'noeviction'"));
    }
    Ok(faults)
}

/// Major and minor number; zeros where they cannot be read.
fn version(text: &str) -> (u32, u32) {
    let mut numbers = text.split('.').map(|number| number.parse().unwrap_or(0));
    (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0))
}

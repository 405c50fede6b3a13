//! What was removed lies on in the server's files until they are written anew.
//!
//! Redis appends what is done to a log and never takes anything out of it; a rewrite makes the log from what is there now, and
//! removes the old one. A snapshot holds what was there when it was made. Both are files of the server, and it has to be asked.
//! Out of reach are files of replicas (each rewrites its own, as its settings say) and copies that somebody else made.

use std::collections::HashMap;
use std::time::Duration;

use redis::cmd;
use tokio::time::Instant;

use super::RedisStore;
use crate::port::store::StoreError;

/// How long a rewrite may take before its asker is told to come again. Large records take longer than small ones.
const REWRITE_MAX: Duration = Duration::from_secs(300);
const PAUSE_MIN: Duration = Duration::from_millis(5);
const PAUSE_MAX: Duration = Duration::from_secs(1);

/// A file that the server writes in the background.
struct Rewrite {
    command: &'static str,
    /// What `INFO persistence` says of it: each is `1` where it is not done.
    under_way: [&'static str; 2],
    /// `ok`, or what became of the last one.
    status: &'static str,
}

const LOG: Rewrite = Rewrite {
    command: "BGREWRITEAOF",
    under_way: ["aof_rewrite_in_progress", "aof_rewrite_scheduled"],
    status: "aof_last_bgrewrite_status",
};
const SNAPSHOT: Rewrite = Rewrite {
    command: "BGSAVE",
    // None is begun while the log is rewritten.
    under_way: ["rdb_bgsave_in_progress", "aof_rewrite_in_progress"],
    status: "rdb_last_bgsave_status",
};

impl RedisStore {
    /// Writes the server's files anew, and waits until the old ones are gone.
    pub(super) async fn rewrite_files(&self) -> Result<(), StoreError> {
        if self.persistence().await?.get("aof_enabled").is_some_and(|enabled| enabled == "1") {
            self.rewrite(&LOG).await?;
        }
        let mut get = cmd("CONFIG");
        get.arg("GET").arg("save");
        // Where nobody may ask, there may be snapshots.
        let settings: HashMap<String, String> = self.command(&get).await.unwrap_or_default();
        if settings.get("save").is_none_or(|times| !times.is_empty()) {
            self.rewrite(&SNAPSHOT).await?;
        }
        Ok(())
    }

    async fn rewrite(&self, what: &Rewrite) -> Result<(), StoreError> {
        let until = Instant::now() + REWRITE_MAX;
        // One that is under way began before: it may hold what was removed meanwhile.
        loop {
            self.rest(what, until).await?;
            match self.command::<String>(&cmd(what.command)).await {
                Ok(_) => break,
                // Somebody else began one just now.
                Err(StoreError::Unavailable(reason))
                    if is_busy(&reason) && Instant::now() < until =>
                {
                    tokio::time::sleep(PAUSE_MIN).await;
                }
                Err(error) => return Err(error),
            }
        }
        match self.rest(what, until).await?.as_str() {
            "ok" => Ok(()),
            status => {
                Err(StoreError::Unavailable(format!("{} ended with '{status}'", what.command)))
            }
        }
    }

    /// Waits until none is under way; gives the status of the last.
    async fn rest(&self, what: &Rewrite, until: Instant) -> Result<String, StoreError> {
        let mut pause = PAUSE_MIN;
        loop {
            let mut said = self.persistence().await?;
            if what.under_way.iter().all(|name| said.get(*name).is_some_and(|word| word == "0")) {
                return Ok(said.remove(what.status).unwrap_or_default());
            }
            if Instant::now() + pause > until {
                let text = format!("{} is not done after {REWRITE_MAX:?}", what.command);
                return Err(StoreError::Unavailable(text));
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(PAUSE_MAX);
        }
    }

    async fn persistence(&self) -> Result<HashMap<String, String>, StoreError> {
        let text: String = self.command(cmd("INFO").arg("persistence")).await?;
        let lines = text.lines().filter_map(|line| line.split_once(':'));
        Ok(lines.map(|(name, word)| (name.to_string(), word.trim().to_string())).collect())
    }
}

/// Whether the server refused because it writes another file just now.
fn is_busy(reason: &str) -> bool {
    reason.contains("in progress") || reason.contains("can't BGSAVE right now")
}

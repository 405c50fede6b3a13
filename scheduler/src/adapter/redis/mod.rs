//! The record in Redis or Valkey: one Lua script for each transition (`lua/`), so that it happens whole or not at all, and at
//! most once however often it is asked for.
//!
//! A record is a hash under its kind and id; a list is a sorted set by order of making. Nothing walks through more than one
//! tenant's page, or the jobs that a loop of the scheduler has to look at.
//!
//! All keys carry one hash tag, the namespace. A tag for each tenant would need transitions that touch one tenant's keys alone,
//! and a commit also writes what is all tenants': the lists of the scheduler's loops, the outbox, webhooks on their way, ids that
//! are unique among all. So the record lives on one shard; replicas and failover are what a cluster adds to it.

mod guard;
mod link;
mod news;
mod options;
mod page;
mod request;
mod scripts;
mod scrub;
mod store;

use std::sync::Arc;

use redis::{Cmd, FromRedisValue, Script, Value};
use serde::de::DeserializeOwned;
use trainyard_openapi::id::random_base62;

use crate::clock::Clock;
use crate::port::store::StoreError;
use guard::Guard;
use link::{Link, Question};
use news::Listener;
pub use options::RedisOptions;

/// The store.
pub struct RedisStore {
    link: Link,
    prefix: String,
    /// Tells this process from the others that share the record.
    origin: String,
    listener: Listener,
    /// Only in tests; the server's clock otherwise.
    clock: Option<Arc<dyn Clock>>,
}

impl RedisStore {
    /// Opens the record of the server at `url` (`redis:` or `rediss:`), making it where there is none.
    ///
    /// # Errors
    /// Where the URL does not fit, the server does not answer or may lose what it acknowledges, or the record is of another
    /// version.
    pub async fn open(url: &str, options: &RedisOptions) -> Result<Self, StoreError> {
        Self::open_with_clock(url, options, None).await
    }

    /// As [`RedisStore::open`], with a clock that a test turns.
    ///
    /// # Errors
    /// As [`RedisStore::open`].
    #[doc(hidden)]
    pub async fn open_with_clock(
        url: &str,
        options: &RedisOptions,
        clock: Option<Arc<dyn Clock>>,
    ) -> Result<Self, StoreError> {
        if url.starts_with("rediss:") {
            // TLS needs a provider of ciphers for the whole process; one that is there already stays.
            let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        }
        let prefix = options.prefix().map_err(StoreError::Unavailable)?;
        let client = options.client(url).map_err(StoreError::Unavailable)?;
        let origin = random()?;
        let listener = Listener::start(client.clone(), format!("{prefix}:news"), origin.clone());
        let guard = Guard {
            prefix: prefix.clone(),
            record: std::sync::OnceLock::new(),
            allow_volatile: options.allow_volatile,
        };
        let link = Link::new(client, guard, options.replicas);
        link.ask(Question::Command(&redis::cmd("PING"))).await?;
        Ok(Self { link, prefix, origin, listener, clock })
    }

    fn key(&self, parts: &[&str]) -> String {
        format!("{}:{}", self.prefix, parts.join(":"))
    }

    async fn command<T: FromRedisValue>(&self, command: &Cmd) -> Result<T, StoreError> {
        decode(self.link.ask(Question::Command(command)).await?)
    }

    async fn read<T: FromRedisValue>(
        &self,
        script: &'static Script,
        request: &str,
    ) -> Result<T, StoreError> {
        decode(self.link.ask(Question::Read(script, request)).await?)
    }

    /// Makes a transition; gives the script's word for how it went.
    async fn write(&self, script: &'static Script, request: &str) -> Result<String, StoreError> {
        let nonce = random()?;
        let word: String = decode(self.link.ask(Question::Write(script, &nonce, request)).await?)?;
        match word.split_once(' ').unwrap_or((&word, "")) {
            ("conflict", _) => Err(StoreError::Conflict),
            ("too_many", live) => Err(StoreError::TooManyLive(live.parse().unwrap_or(u64::MAX))),
            _ => Ok(word),
        }
    }

    /// A record by its id, and its scope.
    async fn row<T: DeserializeOwned>(
        &self,
        kind: &str,
        id: &str,
    ) -> Result<Option<(String, T)>, StoreError> {
        let mut get = redis::cmd("HMGET");
        get.arg(self.key(&["row", kind, id])).arg("scope").arg("record");
        let (scope, text): (Option<String>, Option<String>) = self.command(&get).await?;
        scope.zip(text).map(|(scope, text)| Ok((scope, parse(&text)?))).transpose()
    }

    /// A record of one scope by its id.
    async fn owned<T: DeserializeOwned>(
        &self,
        kind: &str,
        scope: &str,
        id: &str,
    ) -> Result<Option<T>, StoreError> {
        let found = self.row(kind, id).await?;
        Ok(found.filter(|(of, _)| of == scope).map(|(_, record)| record))
    }
}

fn random() -> Result<String, StoreError> {
    random_base62(24).map_err(|error| StoreError::Unavailable(format!("no random bytes: {error}")))
}

/// An answer as what it has to be.
fn decode<T: FromRedisValue>(value: Value) -> Result<T, StoreError> {
    redis::from_redis_value(value).map_err(|error| StoreError::Corrupt(error.to_string()))
}

/// A record from an answer.
fn record<T: DeserializeOwned>(value: Value) -> Result<T, StoreError> {
    parse(&decode::<String>(value)?)
}

fn parse<T: DeserializeOwned>(text: &str) -> Result<T, StoreError> {
    serde_json::from_str(text).map_err(|error| StoreError::Corrupt(error.to_string()))
}

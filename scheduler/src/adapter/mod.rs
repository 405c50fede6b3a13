//! Backends of the ports, chosen by URL scheme. A backend that this build does not have is refused by name.

pub mod fs;
pub mod memory;
pub mod rabbitmq;
pub mod redis;
pub mod s3;
pub mod sqlite;

use std::path::Path;
use std::sync::Arc;

use self::redis::{RedisOptions, RedisStore};
use crate::clock::SystemClock;
use crate::port::objects::Objects;
use crate::port::queue::Queue;
use crate::port::store::Store;

/// A URL that names no backend of this build, or a backend that does not open.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{setting} '{url}': {reason}")]
pub struct OpenError {
    /// `store`, `queue` or `objects`.
    pub setting: &'static str,
    /// As given, without a password.
    pub url: String,
    /// What is wrong and what to write instead.
    pub reason: String,
}

/// Opens the record: `sqlite:PATH`, `redis://HOST` (`rediss://` with TLS), or `memory:` for a trial that may be forgotten.
///
/// # Errors
/// An unknown scheme, a file that is no database of this version, a server that does not answer or cannot be trusted.
pub async fn open_store(url: &str, options: &RedisOptions) -> Result<Arc<dyn Store>, OpenError> {
    let refused =
        |reason: String| OpenError { setting: "store", url: without_password(url), reason };
    match url.split_once(':') {
        Some(("sqlite", path)) if !path.is_empty() => {
            let store = sqlite::SqliteStore::open(Path::new(path), Arc::new(SystemClock));
            Ok(Arc::new(store.map_err(|error| refused(error.to_string()))?))
        }
        Some(("memory", "")) => Ok(Arc::new(memory::MemoryStore::new(Arc::new(SystemClock)))),
        Some(("redis" | "rediss", _)) => {
            let store = RedisStore::open(url, options).await;
            Ok(Arc::new(store.map_err(|error| refused(error.to_string()))?))
        }
        _ => Err(refused("expected sqlite:PATH, redis://HOST, rediss://HOST or memory:".into())),
    }
}

/// Opens the doorbell for the tickets of `pools`: `memory:`, or `amqp://USER@HOST/VHOST` (with TLS `amqps://`).
///
/// # Errors
/// An unknown scheme, or a broker that refuses us. One that cannot be reached is tried again and is no error.
pub async fn open_queue(url: &str, pools: &[&str]) -> Result<Arc<dyn Queue>, OpenError> {
    let refused =
        |reason: String| OpenError { setting: "queue", url: without_password(url), reason };
    match url.split_once(':') {
        Some(("memory", "")) => Ok(Arc::new(memory::MemoryQueue::new())),
        Some(("amqp" | "amqps", _)) => {
            Ok(Arc::new(rabbitmq::RabbitQueue::open(url, pools).await.map_err(refused)?))
        }
        _ => Err(refused("expected memory: or amqp://USER@HOST/VHOST".into())),
    }
}

/// Opens the files: `file:PATH`, or `s3://BUCKET[/PREFIX]`, which is reached as `s3` says.
///
/// # Errors
/// An unknown scheme, a directory that cannot be made, a bucket that cannot be used.
pub async fn open_objects(url: &str, s3: &s3::S3Options) -> Result<Arc<dyn Objects>, OpenError> {
    let refused = |reason: String| OpenError { setting: "objects", url: url.to_string(), reason };
    match url.split_once(':') {
        Some(("file", path)) if !path.is_empty() => {
            let objects =
                fs::FsObjects::open(Path::new(path)).map_err(|error| refused(error.to_string()))?;
            Ok(Arc::new(objects))
        }
        Some(("s3", _)) => Ok(Arc::new(s3::S3Objects::open(url, s3).await.map_err(refused)?)),
        _ => Err(refused("expected file:PATH or s3://BUCKET[/PREFIX]".into())),
    }
}

/// The URL with `***` in the password's place, whatever form it has: it goes into logs and messages.
pub fn without_password(url: &str) -> String {
    // A password that should have been escaped may hold any of the characters that end a URL's parts: the last '@' counts.
    let Some((user, rest)) = url.rsplit_once('@') else { return url.to_string() };
    let after_scheme = user.find("://").map_or(0, |at| at + 3);
    match user[after_scheme..].split_once(':') {
        Some((name, _)) => format!("{}{name}:***@{rest}", &user[..after_scheme]),
        None => url.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords_are_not_shown() {
        for (url, shown) in [
            ("redis://u:secret@h:1/2", "redis://u:***@h:1/2"),
            ("rediss://:secret@h", "rediss://:***@h"),
            ("redis://h", "redis://h"),
            ("redis://:secret@[h", "redis://:***@[h"),
            ("amqp://u:se@c/r:et@h/v", "amqp://u:***@h/v"),
            ("sqlite:a b/c.db", "sqlite:a b/c.db"),
        ] {
            assert_eq!(without_password(url), shown);
        }
    }
}

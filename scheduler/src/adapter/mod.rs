//! Backends of the ports, chosen by URL scheme. A backend that this build does not have is refused by name.

pub mod fs;
pub mod memory;
pub mod redis;
pub mod s3;
pub mod sqlite;

use std::path::Path;
use std::sync::Arc;

use self::redis::{RedisOptions, RedisStore, without_password};
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
    /// As given.
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

/// Opens the doorbell: `memory:`.
///
/// # Errors
/// An unknown scheme.
pub fn open_queue(url: &str) -> Result<Arc<dyn Queue>, OpenError> {
    let refused = |reason: &str| OpenError {
        setting: "queue",
        url: url.to_string(),
        reason: reason.to_string(),
    };
    match url.split_once(':') {
        Some(("memory", "")) => Ok(Arc::new(memory::MemoryQueue::new())),
        Some(("amqp" | "amqps", _)) => {
            Err(refused("RabbitMQ is not available in this version; use memory:"))
        }
        _ => Err(refused("expected memory:")),
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

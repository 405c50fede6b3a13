//! Files by key: uploads, checkpoints, adapters, results.

use std::ops::Range;
use std::path::Path;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::BoxStream;

/// What an object store answered instead of doing it.
#[derive(Debug, thiserror::Error)]
pub enum ObjectError {
    /// No object under this key.
    #[error("no object under '{0}'")]
    NotFound(String),
    /// The key is taken: objects are written once.
    #[error("the key '{0}' is taken")]
    Exists(String),
    /// The key has a form that the store does not take.
    #[error("invalid key '{0}'")]
    InvalidKey(String),
    /// No space is left.
    #[error("no space left in the object store")]
    NoSpace,
    /// The file is there and the system refuses to read it.
    #[error("cannot be read: {0}")]
    Unreadable(String),
    /// The store refuses: credentials, permissions, a key of encryption.
    #[error("refused by the object store: {0}")]
    Denied(String),
    /// The store is not there at present, or wants to be asked more slowly. The same call may do later.
    #[error("the object store cannot be used at present: {0}")]
    Unavailable(String),
    /// Anything else.
    #[error("object store: {0}")]
    Other(String),
}

/// Bytes of a key.
pub const KEY_BYTES_MAX: usize = 800;
/// Bytes of a part of a key.
pub const KEY_PART_BYTES_MAX: usize = 200;

/// Refuses what is no key; see [`Objects`].
///
/// # Errors
/// [`ObjectError::InvalidKey`].
pub fn check_key(key: &str) -> Result<(), ObjectError> {
    let letter = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    let valid = |part: &str| {
        !part.is_empty()
            && !part.starts_with('.')
            && part.len() <= KEY_PART_BYTES_MAX
            && part.bytes().all(letter)
    };
    if key.len() > KEY_BYTES_MAX || !key.split('/').all(valid) {
        return Err(ObjectError::InvalidKey(key.chars().take(80).collect()));
    }
    Ok(())
}

/// Objects under keys such as `files/{id}` or `jobs/{id}/e3-{nonce}/adapter/README.md`.
///
/// Keys are parts of `[A-Za-z0-9._-]` joined by `/`; no part is empty or begins with a dot. Objects are immutable: a key is
/// written once, whole or not at all, and is durable when the write returns. Where a store cannot refuse the second of two writers
/// at the same moment, it says so; the record's pointers, which name one writer's prefix, decide then.
#[async_trait]
pub trait Objects: Send + Sync {
    /// Begins an object of unknown length. Nothing is visible under `key` before [`ObjectWriter::finish`].
    async fn create(&self, key: &str) -> Result<Box<dyn ObjectWriter>, ObjectError>;

    /// Writes a whole local file. [`ObjectError::Exists`] where the key is taken.
    async fn put_file(&self, key: &str, path: &Path) -> Result<u64, ObjectError>;

    /// Copies an object into a new local file, durable when this returns; gives its size in bytes.
    async fn get_file(&self, key: &str, path: &Path) -> Result<u64, ObjectError>;

    /// Reads an object, or the part of it that `range` names, in order. The size in bytes is of the whole object.
    async fn read(
        &self,
        key: &str,
        range: Option<Range<u64>>,
    ) -> Result<(u64, BoxStream<'static, Result<Bytes, ObjectError>>), ObjectError>;

    /// The size in bytes.
    async fn size(&self, key: &str) -> Result<u64, ObjectError>;

    /// Keys below `prefix` (a whole number of parts), sorted.
    async fn list(&self, prefix: &str) -> Result<Vec<String>, ObjectError>;

    /// A URL at which a client can GET the object without credentials for `life`, to be saved as `filename`. `None` where the
    /// store serves no clients.
    async fn link(
        &self,
        key: &str,
        filename: &str,
        life: Duration,
    ) -> Result<Option<String>, ObjectError>;

    /// Removes an object. Removing what is not there is `Ok`: a repeat must converge.
    async fn delete(&self, key: &str) -> Result<(), ObjectError>;
}

/// An object being written.
#[async_trait]
pub trait ObjectWriter: Send {
    /// Appends bytes.
    async fn write(&mut self, bytes: Bytes) -> Result<(), ObjectError>;

    /// Makes the object visible and durable; gives its size in bytes. A writer that is dropped before leaves nothing.
    async fn finish(self: Box<Self>) -> Result<u64, ObjectError>;
}

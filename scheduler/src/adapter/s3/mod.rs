//! Objects in a bucket of an S3 server: AWS, Ceph, MinIO and others.
//!
//! What a server can do is tried at the start (`probe`): whether it refuses the second writer of a key by itself, and whether it
//! keeps checksums. Every body that is sent is signed with its SHA-256, so a server takes none that was changed on its way.
//! An object is written at once or in parts (`upload`) and read so that a cut connection is taken up again (`download`).

mod config;
mod download;
mod error;
mod link;
mod probe;
mod stale;
mod upload;

use std::fmt;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use aws_sdk_s3::Client;
use bytes::{Bytes, BytesMut};
use futures::stream::{self, BoxStream, StreamExt};
use tokio::io::AsyncReadExt;

use crate::adapter::fs::local;
use crate::clock::Clock;
use crate::port::objects::{ObjectError, ObjectWriter, Objects, check_key};
pub use config::S3Options;
use config::{Clients, Location};
use error::explain;
pub use probe::Abilities;
use stale::STALE_SECONDS;
use upload::S3Writer;

/// Bytes of a piece when a local file is read.
const PIECE_BYTES: usize = 256 * 1024;

/// A bucket, or what lies below a prefix of it.
#[derive(Clone)]
pub struct S3Objects {
    client: Client,
    /// As clients reach the store.
    public: Client,
    clock: Arc<dyn Clock>,
    at: Location,
    sse_kms_key_id: Option<String>,
    abilities: Abilities,
}

impl fmt::Debug for S3Objects {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "S3Objects({:?}, {:?})", self.at, self.abilities)
    }
}

impl S3Objects {
    /// Opens `s3://BUCKET[/PREFIX]` and tries what the server can do. Uploads that earlier processes left unfinished long ago are
    /// aborted beside this.
    ///
    /// # Errors
    /// Within ten seconds, what is wrong and what to do: the URL, the endpoint, the credentials, the bucket, the permissions.
    pub async fn open(url: &str, options: &S3Options) -> Result<Self, String> {
        let at = Location::parse(url)?;
        let Clients { all: client, starting, public } = options.clients()?;
        let sse_kms_key_id = options.sse_kms_key_id.clone();
        let abilities = Abilities::default();
        let clock = options.clock.clone();
        let store = Self { client: starting, public, clock, at, sse_kms_key_id, abilities };
        let abilities = probe::probe(&store, options.endpoint.as_deref()).await?;
        tracing::info!(
            bucket = store.at.bucket,
            prefix = store.at.prefix,
            ?abilities,
            "object store"
        );
        let store = Self { client, abilities, ..store };
        let (cleared, stale) = (store.clone(), options.clock.now_ms() / 1000 - STALE_SECONDS);
        tokio::spawn(async move { cleared.abort_uploads_begun_before(stale).await });
        Ok(store)
    }

    /// What the server was found to do at the start.
    pub fn abilities(&self) -> &Abilities {
        &self.abilities
    }

    /// The object's name in the bucket.
    fn name(&self, key: &str) -> String {
        format!("{}{key}", self.at.prefix)
    }
}

#[async_trait]
impl Objects for S3Objects {
    async fn create(&self, key: &str) -> Result<Box<dyn ObjectWriter>, ObjectError> {
        check_key(key)?;
        Ok(Box::new(S3Writer::new(self, key, None)?))
    }

    async fn put_file(&self, key: &str, source: &Path) -> Result<u64, ObjectError> {
        check_key(key)?;
        let failed = |error: std::io::Error| local(source, &error);
        let mut file = tokio::fs::File::open(source).await.map_err(failed)?;
        let size = file.metadata().await.map_err(failed)?.len();
        let mut writer = Box::new(S3Writer::new(self, key, Some(size))?);
        loop {
            let mut piece = BytesMut::with_capacity(PIECE_BYTES);
            if file.read_buf(&mut piece).await.map_err(failed)? == 0 {
                return writer.finish().await;
            }
            writer.write(piece.freeze()).await?;
        }
    }

    async fn get_file(&self, key: &str, target: &Path) -> Result<u64, ObjectError> {
        check_key(key)?;
        self.to_file(key, target).await
    }

    async fn read(
        &self,
        key: &str,
        range: Option<Range<u64>>,
    ) -> Result<(u64, BoxStream<'static, Result<Bytes, ObjectError>>), ObjectError> {
        check_key(key)?;
        let head = self.head(key).await?;
        let range = range.unwrap_or(0..head.size);
        let range = range.start..range.end.min(head.size);
        if range.is_empty() {
            return Ok((head.size, stream::empty().boxed()));
        }
        Ok((head.size, self.pieces(key, &head, range)))
    }

    async fn size(&self, key: &str) -> Result<u64, ObjectError> {
        check_key(key)?;
        Ok(self.head(key).await?.size)
    }

    async fn list(&self, prefix: &str) -> Result<Vec<String>, ObjectError> {
        let prefix = prefix.trim_end_matches('/');
        check_key(prefix)?;
        let request = self.client.list_objects_v2().bucket(&self.at.bucket);
        let mut pages = request.prefix(format!("{}/", self.name(prefix))).into_paginator().send();
        let mut keys = Vec::new();
        while let Some(page) = pages.next().await {
            let page = page.map_err(|error| explain(prefix, &error))?;
            let names = page.contents().iter().filter_map(|object| object.key());
            let below = names.filter_map(|name| name.strip_prefix(&self.at.prefix));
            // What others have put there and is no key, such as a folder's marker, is none of ours.
            keys.extend(below.filter(|key| check_key(key).is_ok()).map(str::to_string));
        }
        keys.sort();
        Ok(keys)
    }

    async fn link(
        &self,
        key: &str,
        filename: &str,
        life: Duration,
    ) -> Result<Option<String>, ObjectError> {
        check_key(key)?;
        self.signed_get(key, filename, life).await.map(Some)
    }

    async fn delete(&self, key: &str) -> Result<(), ObjectError> {
        check_key(key)?;
        let request = self.client.delete_object().bucket(&self.at.bucket).key(self.name(key));
        match request.send().await.map_err(|error| explain(key, &error)) {
            Ok(_) | Err(ObjectError::NotFound(_)) => Ok(()),
            Err(error) => Err(error),
        }
    }
}

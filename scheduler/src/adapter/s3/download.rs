//! Reading an object so that a cut connection is taken up again where it broke.

use std::ops::Range;
use std::path::{Path, PathBuf};
use std::time::Duration;

use aws_sdk_s3::primitives::ByteStream;
use aws_sdk_s3::types::{ChecksumMode, ChecksumType};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use futures::stream::{self, BoxStream, StreamExt};
use tokio::io::AsyncWriteExt;

use super::S3Objects;
use super::error::explain;
use super::upload::WRITER;
use crate::adapter::fs::{blocking, local, sync_dir};
use crate::port::objects::ObjectError;

/// Cuts one after the other, with no byte between them, before the reading is given up.
const CUTS_MAX: u32 = 5;
/// The pause after the first of them; it doubles with each.
const PAUSE: Duration = Duration::from_millis(200);

/// What the store says of an object.
#[derive(Debug, Clone)]
pub(super) struct Head {
    /// Its size in bytes.
    pub(super) size: u64,
    /// Names its content: reading goes on with no other.
    etag: Option<String>,
    /// Of the whole content, where the store keeps it.
    pub(super) crc32: Option<u32>,
    /// The random name of the writer that made it.
    pub(super) writer: Option<String>,
}

impl S3Objects {
    /// What the store says of the object.
    pub(super) async fn head(&self, key: &str) -> Result<Head, ObjectError> {
        let mut request = self.client.head_object().bucket(&self.at.bucket).key(self.name(key));
        if self.abilities.put_crc32 {
            request = request.checksum_mode(ChecksumMode::Enabled);
        }
        let answer = request.send().await.map_err(|error| explain(key, &error))?;
        let whole = !matches!(answer.checksum_type(), Some(ChecksumType::Composite));
        let size = answer.content_length().and_then(|size| u64::try_from(size).ok());
        Ok(Head {
            size: size
                .ok_or_else(|| ObjectError::Other(format!("'{key}': the server tells no size")))?,
            etag: answer.e_tag().map(str::to_string),
            crc32: answer.checksum_crc32().filter(|_| whole).and_then(crc32),
            writer: answer.metadata().and_then(|metadata| metadata.get(WRITER).cloned()),
        })
    }

    /// The bytes of `range`, which lies within the object, in order.
    pub(super) fn pieces(
        &self,
        key: &str,
        head: &Head,
        range: Range<u64>,
    ) -> BoxStream<'static, Result<Bytes, ObjectError>> {
        let reading = Reading {
            store: self.clone(),
            key: key.to_string(),
            etag: head.etag.clone(),
            range,
            body: None,
            cuts: 0,
        };
        stream::try_unfold(reading, Reading::next).boxed()
    }

    /// Copies an object into a new file, durable when this returns.
    pub(super) async fn to_file(&self, key: &str, target: &Path) -> Result<u64, ObjectError> {
        let head = self.head(key).await?;
        let path = target.to_path_buf();
        let failed = |error: std::io::Error| local(target, &error);
        let file = blocking(move || {
            std::fs::File::create_new(&path).map_err(|error| local(&path, &error))
        });
        let mut file = tokio::fs::File::from_std(file.await?);
        let mut partial = Partial(Some(target.to_path_buf()));
        let mut crc = crc32fast::Hasher::new();
        let mut pieces = self.pieces(key, &head, 0..head.size);
        while let Some(piece) = pieces.next().await {
            let piece = piece?;
            crc.update(&piece);
            file.write_all(&piece).await.map_err(failed)?;
        }
        if let Some(expected) = head.crc32.filter(|expected| *expected != crc.clone().finalize()) {
            let text = format!(
                "'{key}' arrived with another CRC-32 than {expected:08x}, which the store keeps of it"
            );
            return Err(ObjectError::Unreadable(text));
        }
        file.flush().await.map_err(failed)?;
        file.sync_all().await.map_err(failed)?;
        let path = target.to_path_buf();
        blocking(move || {
            path.parent().map_or(Ok(()), sync_dir).map_err(|error| local(&path, &error))
        })
        .await?;
        partial.0 = None;
        Ok(head.size)
    }
}

/// A file that is removed unless it became whole: half a file would pass for a whole one.
struct Partial(Option<PathBuf>);

impl Drop for Partial {
    fn drop(&mut self) {
        if let Some(path) = &self.0 {
            let _ = std::fs::remove_file(path);
        }
    }
}

/// A reading under way.
struct Reading {
    store: S3Objects,
    key: String,
    etag: Option<String>,
    /// What is still to come.
    range: Range<u64>,
    body: Option<ByteStream>,
    cuts: u32,
}

impl Reading {
    async fn next(mut self) -> Result<Option<(Bytes, Self)>, ObjectError> {
        while self.range.start < self.range.end {
            let mut body = match self.body.take() {
                Some(body) => body,
                None => self.open().await?,
            };
            let why = match body.next().await {
                Some(Ok(piece)) if piece.is_empty() => {
                    self.body = Some(body);
                    continue;
                }
                Some(Ok(piece)) => {
                    self.range.start += piece.len() as u64;
                    if self.range.start > self.range.end {
                        let text = format!(
                            "'{}': the server sent more bytes than it was asked for",
                            self.key
                        );
                        return Err(ObjectError::Other(text));
                    }
                    self.cuts = 0;
                    self.body = Some(body);
                    return Ok(Some((piece, self)));
                }
                Some(Err(error)) => error.to_string(),
                None => "the answer ended early".to_string(),
            };
            self.cuts += 1;
            let (key, at) = (&self.key, self.range.start);
            if self.cuts > CUTS_MAX {
                let text = format!("'{key}' was cut {CUTS_MAX} times at byte {at}: {why}");
                return Err(ObjectError::Unavailable(text));
            }
            tracing::debug!(key, at, why, "the connection was cut; reading on");
            tokio::time::sleep(PAUSE * 2_u32.pow(self.cuts - 1)).await;
        }
        Ok(None)
    }

    async fn open(&self) -> Result<ByteStream, ObjectError> {
        let Self { store, key, etag, range, .. } = self;
        let mut request = store.client.get_object().bucket(&store.at.bucket).key(store.name(key));
        request = request.set_if_match(etag.clone());
        request = request.range(format!("bytes={}-{}", range.start, range.end - 1));
        let answer = request.send().await.map_err(|error| match explain(key, &error) {
            // If-Match: the object is not the one that the reading began with.
            ObjectError::Exists(_) => {
                ObjectError::Unreadable(format!("'{key}' was changed while it was read"))
            }
            other => other,
        })?;
        let bytes = answer.content_length().and_then(|bytes| u64::try_from(bytes).ok());
        if bytes != Some(range.end - range.start) {
            let wanted = range.end - range.start;
            let text =
                format!("'{key}': the server sends {bytes:?} bytes where {wanted} were asked for");
            return Err(ObjectError::Other(text));
        }
        Ok(answer.body)
    }
}

/// A CRC-32 as S3 writes it: four bytes in base64.
fn crc32(text: &str) -> Option<u32> {
    Some(u32::from_be_bytes(BASE64_STANDARD.decode(text).ok()?.try_into().ok()?))
}

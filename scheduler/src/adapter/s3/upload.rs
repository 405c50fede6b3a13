//! Writing an object: at once where it is small, else in parts, a few at a time. Nothing is left of a writer that does not finish.

use std::time::Duration;

use async_trait::async_trait;
use aws_sdk_s3::error::ProvideErrorMetadata;
use aws_sdk_s3::primitives::ByteStream;
use aws_sdk_s3::types::{
    ChecksumAlgorithm, ChecksumType, CompletedMultipartUpload, CompletedPart, ServerSideEncryption,
};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use bytes::{Bytes, BytesMut};
use tokio::task::JoinSet;
use trainyard_openapi::id::random_base62;

use super::S3Objects;
use super::error::explain;
use crate::port::objects::{ObjectError, ObjectWriter};

/// Bytes of a part, and of the largest object that is written at once. S3 wants 5 MiB at least; all parts but the last are of the
/// same size, as some servers want.
const PART_BYTES: usize = 8 << 20;
/// Parts that an object may have.
const PARTS_MAX: u64 = 10_000;
/// Parts of one object under way at once: with the one that fills they are the memory that a writer takes.
const PARTS_AT_ONCE: usize = 3;
/// Where an object's metadata holds the random name of its writer. A write whose answer was lost is repeated, and knows its own by it.
pub(super) const WRITER: &str = "trainyard-writer";
/// Times that a small object is written again after the server could not say which of two writers was first.
const CONFLICTS_MAX: u32 = 5;
/// Calls to abort an upload: a part that arrives late may outlive the first.
const ABORTS: u32 = 5;

/// An object being written.
pub(super) struct S3Writer {
    store: S3Objects,
    key: String,
    writer: String,
    part_bytes: usize,
    filling: BytesMut,
    bytes: u64,
    crc32: crc32fast::Hasher,
    parts: Option<Parts>,
    failed: bool,
}

impl S3Writer {
    /// A writer of an object of `size` bytes, where that is known.
    pub(super) fn new(
        store: &S3Objects,
        key: &str,
        size: Option<u64>,
    ) -> Result<Self, ObjectError> {
        let writer = random_base62(24).map_err(|error| ObjectError::Other(error.to_string()))?;
        let least = size.unwrap_or(0).div_ceil(PARTS_MAX);
        Ok(Self {
            store: store.clone(),
            key: key.to_string(),
            writer,
            part_bytes: usize::try_from(least).unwrap_or(usize::MAX).max(PART_BYTES),
            filling: BytesMut::new(),
            bytes: 0,
            crc32: crc32fast::Hasher::new(),
            parts: None,
            failed: false,
        })
    }

    /// Begins an upload in parts, whatever the size.
    pub(super) async fn begin_parts(&mut self) -> Result<(), ObjectError> {
        self.parts = Some(Parts::begin(&self.store, &self.key, &self.writer).await?);
        Ok(())
    }

    async fn send_full_parts(&mut self) -> Result<(), ObjectError> {
        while self.filling.len() > self.part_bytes {
            if self.parts.is_none() {
                // Told now, where the end would tell only after everything was sent.
                self.store.is_free(&self.key).await?;
                self.begin_parts().await?;
            }
            let Some(parts) = &mut self.parts else { break };
            parts.wait_for_turn().await?;
            parts.send(self.filling.split_to(self.part_bytes).freeze())?;
        }
        Ok(())
    }

    /// Sends what is left and makes the object visible.
    async fn close(&mut self) -> Result<(), ObjectError> {
        let last = self.filling.split().freeze();
        let written = match self.parts.take() {
            Some(mut parts) => {
                parts.wait_for_turn().await?;
                parts.send(last)?;
                parts.complete(self.crc32.clone().finalize()).await
            }
            None => self.put(last).await,
        };
        match written {
            Err(taken @ (ObjectError::Exists(_) | ObjectError::NotFound(_))) => {
                // Also what the repeat of a write is told whose first answer was lost.
                let found = self.store.head(&self.key).await;
                match taken {
                    _ if found.is_ok_and(|head| head.writer.as_ref() == Some(&self.writer)) => {
                        Ok(())
                    }
                    ObjectError::NotFound(key) => Err(aborted(&key)),
                    taken => Err(taken),
                }
            }
            written => written,
        }
    }

    /// Writes the whole object at once.
    async fn put(&self, content: Bytes) -> Result<(), ObjectError> {
        let Self { store, key, writer, .. } = self;
        if !store.abilities.put_if_absent {
            store.is_free(key).await?;
        }
        let mut pause = Duration::from_millis(100);
        for attempt in 0.. {
            let abilities = &store.abilities;
            let request = store.client.put_object().bucket(&store.at.bucket).key(store.name(key));
            let answer = request
                .set_if_none_match(abilities.put_if_absent.then(|| "*".to_string()))
                .set_checksum_algorithm(abilities.put_crc32.then_some(ChecksumAlgorithm::Crc32))
                .set_server_side_encryption(store.encryption())
                .set_ssekms_key_id(store.sse_kms_key_id.clone())
                .metadata(WRITER, writer)
                .body(ByteStream::from(content.clone()))
                .send()
                .await;
            match answer {
                Err(error)
                    if error.code() == Some("ConditionalRequestConflict")
                        && attempt < CONFLICTS_MAX =>
                {
                    tokio::time::sleep(pause).await;
                    pause *= 2;
                }
                answer => return answer.map(drop).map_err(|error| explain(key, &error)),
            }
        }
        Ok(())
    }
}

#[async_trait]
impl ObjectWriter for S3Writer {
    async fn write(&mut self, bytes: Bytes) -> Result<(), ObjectError> {
        if self.failed {
            return Err(ObjectError::Other(format!("'{}' failed before", self.key)));
        }
        self.bytes += bytes.len() as u64;
        self.crc32.update(&bytes);
        self.filling.extend_from_slice(&bytes);
        let sent = self.send_full_parts().await;
        if sent.is_err() {
            self.failed = true;
            self.parts = None;
        }
        sent
    }

    async fn finish(mut self: Box<Self>) -> Result<u64, ObjectError> {
        if self.failed {
            return Err(ObjectError::Other(format!("'{}' failed before", self.key)));
        }
        self.send_full_parts().await?;
        self.close().await?;
        Ok(self.bytes)
    }
}

impl S3Objects {
    /// Refuses a key that is taken. Another writer may take it right after.
    async fn is_free(&self, key: &str) -> Result<(), ObjectError> {
        match self.head(key).await {
            Err(ObjectError::NotFound(_)) => Ok(()),
            Ok(_) => Err(ObjectError::Exists(key.to_string())),
            Err(error) => Err(error),
        }
    }

    pub(super) fn encryption(&self) -> Option<ServerSideEncryption> {
        self.sse_kms_key_id.is_some().then_some(ServerSideEncryption::AwsKms)
    }

    /// Aborts an upload in parts until the server knows nothing of it.
    pub(super) async fn abort(&self, name: &str, upload: &str) {
        for _ in 0..ABORTS {
            let request = self.client.abort_multipart_upload().bucket(&self.at.bucket);
            match request.key(name).upload_id(upload).send().await {
                Ok(_) => {}
                Err(error) if matches!(explain(name, &error), ObjectError::NotFound(_)) => return,
                Err(error) => {
                    let error = explain(name, &error);
                    tracing::warn!(name, %error, "an upload was not aborted; a later start does it");
                    return;
                }
            }
        }
    }
}

/// The upload is gone, which is what "not found" means of one.
fn aborted(key: &str) -> ObjectError {
    ObjectError::Other(format!("'{key}': its upload was aborted by another"))
}

/// An upload in parts. Dropped before it is complete, it is aborted.
struct Parts {
    store: S3Objects,
    key: String,
    upload: String,
    sent: i32,
    under_way: JoinSet<Result<CompletedPart, ObjectError>>,
    done: Vec<CompletedPart>,
    open: bool,
}

impl Parts {
    async fn begin(store: &S3Objects, key: &str, writer: &str) -> Result<Self, ObjectError> {
        let crc32 = store.abilities.parts_crc32;
        let request = store.client.create_multipart_upload().bucket(&store.at.bucket);
        let answer = request
            .key(store.name(key))
            .set_checksum_algorithm(crc32.then_some(ChecksumAlgorithm::Crc32))
            .set_checksum_type(crc32.then_some(ChecksumType::FullObject))
            .set_server_side_encryption(store.encryption())
            .set_ssekms_key_id(store.sse_kms_key_id.clone())
            .metadata(WRITER, writer)
            .send()
            .await
            .map_err(|error| explain(key, &error))?;
        let upload = answer.upload_id.ok_or_else(|| {
            ObjectError::Other(format!("'{key}': the server gave no id for an upload in parts"))
        })?;
        Ok(Self {
            store: store.clone(),
            key: key.to_string(),
            upload,
            sent: 0,
            under_way: JoinSet::new(),
            done: Vec::new(),
            open: true,
        })
    }

    /// Waits until fewer parts are under way than may be.
    async fn wait_for_turn(&mut self) -> Result<(), ObjectError> {
        while self.under_way.len() >= PARTS_AT_ONCE {
            self.wait_for_one().await?;
        }
        Ok(())
    }

    async fn wait_for_one(&mut self) -> Result<(), ObjectError> {
        if let Some(ended) = self.under_way.join_next().await {
            let ended = ended.map_err(|error| ObjectError::Other(error.to_string()))?;
            self.done.push(ended?);
        }
        Ok(())
    }

    /// Begins to send the next part. Nothing here waits, so a caller that is cut off loses no byte.
    fn send(&mut self, content: Bytes) -> Result<(), ObjectError> {
        self.sent += 1;
        let (store, key, number) = (self.store.clone(), self.key.clone(), self.sent);
        if u64::try_from(number).is_ok_and(|number| number > PARTS_MAX) {
            let bytes = PARTS_MAX * PART_BYTES as u64;
            let text = format!(
                "'{key}' is larger than {bytes} bytes, the most of an object whose length is not known before"
            );
            return Err(ObjectError::Other(text));
        }
        let crc32 = store.abilities.parts_crc32.then_some(ChecksumAlgorithm::Crc32);
        let upload = self.upload.clone();
        self.under_way.spawn(async move {
            let request = store.client.upload_part().bucket(&store.at.bucket).key(store.name(&key));
            let answer = request
                .upload_id(upload)
                .part_number(number)
                .set_checksum_algorithm(crc32)
                .body(ByteStream::from(content))
                .send()
                .await
                .map_err(|error| match explain(&key, &error) {
                    ObjectError::NotFound(key) => aborted(&key),
                    other => other,
                })?;
            let part = CompletedPart::builder().part_number(number);
            Ok(part.set_e_tag(answer.e_tag).set_checksum_crc32(answer.checksum_crc32).build())
        });
        Ok(())
    }

    async fn complete(mut self, crc32: u32) -> Result<(), ObjectError> {
        while !self.under_way.is_empty() {
            self.wait_for_one().await?;
        }
        let (store, key) = (self.store.clone(), self.key.clone());
        if !store.abilities.complete_if_absent {
            store.is_free(&key).await?;
        }
        let mut done = std::mem::take(&mut self.done);
        done.sort_by_key(|part| part.part_number);
        let abilities = &store.abilities;
        let whole = abilities.parts_crc32.then(|| BASE64_STANDARD.encode(crc32.to_be_bytes()));
        let request = store.client.complete_multipart_upload().bucket(&store.at.bucket);
        request
            .key(store.name(&key))
            .upload_id(&self.upload)
            .set_if_none_match(abilities.complete_if_absent.then(|| "*".to_string()))
            .set_checksum_type(whole.is_some().then_some(ChecksumType::FullObject))
            .set_checksum_crc32(whole)
            .multipart_upload(CompletedMultipartUpload::builder().set_parts(Some(done)).build())
            .send()
            .await
            .map_err(|error| explain(&key, &error))?;
        self.open = false;
        Ok(())
    }
}

impl Drop for Parts {
    fn drop(&mut self) {
        // Where no runtime is left the process ends; a later start aborts the upload.
        let Some(runtime) = self.open.then(|| tokio::runtime::Handle::try_current().ok()).flatten()
        else {
            return;
        };
        let (store, name) = (self.store.clone(), self.store.name(&self.key));
        let (upload, mut under_way) =
            (std::mem::take(&mut self.upload), std::mem::take(&mut self.under_way));
        runtime.spawn(async move {
            under_way.shutdown().await;
            store.abort(&name, &upload).await;
        });
    }
}

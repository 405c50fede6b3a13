//! What the server can do, tried at the start with objects that no key can reach, and whether it is there at all.

use std::time::Duration;

use aws_sdk_s3::primitives::ByteStream;
use aws_sdk_s3::types::BucketVersioningStatus;
use bytes::Bytes;
use trainyard_openapi::id::random_base62;

use super::S3Objects;
use super::error::explain;
use super::upload::S3Writer;
use crate::port::objects::{ObjectError, ObjectWriter};

/// All of it. Who starts a server with a wrong setting waits for no longer.
const PROBE_MAX: Duration = Duration::from_secs(10);
/// The layout of the objects: one an object, under the prefix and the key. Its number stands where no key can reach.
const LAYOUT: &str = "1";
const LAYOUT_NAME: &str = ".version";
/// What is written to try.
const CONTENT: &[u8] = b"trainyard tries what this server can do";

/// What a server can do beyond what all can.
#[derive(Debug, Clone, Default)]
pub struct Abilities {
    /// It refuses to write an object under a taken name (`If-None-Match: *`): of simultaneous writers one alone succeeds. Where it does
    /// not, the adapter looks before it writes, which two at the same moment can pass.
    pub put_if_absent: bool,
    /// The same at the end of an upload in parts, which Ceph does not.
    pub complete_if_absent: bool,
    /// It keeps the CRC-32 of what is written at once.
    pub put_crc32: bool,
    /// It keeps the CRC-32 of the whole of what is uploaded in parts.
    pub parts_crc32: bool,
}

/// Tries the bucket; an error says what is wrong and what to do.
pub(super) async fn probe(store: &S3Objects, endpoint: Option<&str>) -> Result<Abilities, String> {
    let place = endpoint.unwrap_or("AWS");
    let tried = tokio::time::timeout(PROBE_MAX, tried(store)).await;
    let seconds = PROBE_MAX.as_secs();
    let tried = tried.unwrap_or_else(|_| {
        Err(ObjectError::Unavailable(format!(
            "it has not answered within {seconds} s: check --s3-endpoint and the network"
        )))
    });
    tried.map_err(|error| match error {
        ObjectError::NotFound(_) => format!(
            "{place} knows no bucket '{}' (status 404): make it, or check --s3-endpoint",
            store.at.bucket
        ),
        ObjectError::Unavailable(why) => format!("{place} does not answer: {why}"),
        ObjectError::Denied(why) | ObjectError::Other(why) => format!("{place}: {why}"),
        error => format!("{place}: {error}"),
    })
}

async fn tried(store: &S3Objects) -> Result<Abilities, ObjectError> {
    let bucket = &store.at.bucket;
    // A listing, because its answers say what is wrong; those to HEAD have no text.
    let listing =
        store.client.list_objects_v2().bucket(bucket).prefix(&store.at.prefix).max_keys(1);
    listing.send().await.map_err(|error| explain(bucket, &error))?;
    check_layout(store).await?;
    warn_of_versions(store).await;
    let random = random_base62(24).map_err(|error| ObjectError::Other(error.to_string()))?;
    let keys = [
        (Form::Whole, format!(".probe-{random}")),
        (Form::Parts, format!(".probe-{random}-parts")),
    ];
    let found = abilities(store, &keys).await;
    for (_, key) in &keys {
        let request = store.client.delete_object().bucket(bucket).key(store.name(key));
        let removed = request.send().await.map_err(|error| explain(key, &error));
        // What went wrong first is what is told.
        if found.is_ok() {
            removed?;
        }
    }
    found
}

/// Refuses objects whose layout this program does not know; writes the number where there is none.
async fn check_layout(store: &S3Objects) -> Result<(), ObjectError> {
    let (bucket, name) = (&store.at.bucket, store.name(LAYOUT_NAME));
    let answer = store.client.get_object().bucket(bucket).key(&name).send().await;
    match answer.map_err(|error| explain(&name, &error)) {
        Ok(answer) => {
            let content = answer.body.collect().await.map(|content| content.into_bytes());
            let content = content.map_err(|error| ObjectError::Unavailable(error.to_string()))?;
            let found =
                String::from_utf8_lossy(&content[..content.len().min(20)]).trim().to_string();
            if found == LAYOUT {
                return Ok(());
            }
            Err(ObjectError::Other(format!(
                "the objects have layout version {found}, this program knows {LAYOUT}; use a newer program"
            )))
        }
        Err(ObjectError::NotFound(_)) => {
            let body = ByteStream::from_static(LAYOUT.as_bytes());
            let request = store.client.put_object().bucket(bucket).key(&name).body(body);
            let request = request.set_server_side_encryption(store.encryption());
            let request = request.set_ssekms_key_id(store.sse_kms_key_id.clone());
            request.send().await.map(drop).map_err(|error| explain(&name, &error))
        }
        Err(error) => Err(error),
    }
}

/// In a bucket with versions what is deleted stays.
async fn warn_of_versions(store: &S3Objects) {
    let answer = store.client.get_bucket_versioning().bucket(&store.at.bucket).send().await;
    if answer.is_ok_and(|answer| answer.status() == Some(&BucketVersioningStatus::Enabled)) {
        tracing::warn!(
            bucket = store.at.bucket,
            "the bucket keeps versions: what is deleted stays in it until a rule of the bucket removes old versions"
        );
    }
}

/// How an object is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    Whole,
    Parts,
}

async fn abilities(
    store: &S3Objects,
    keys: &[(Form, String); 2],
) -> Result<Abilities, ObjectError> {
    let [whole, parts] = keys;
    Ok(Abilities {
        put_crc32: keeps_crc32(store, whole).await?,
        put_if_absent: refuses_a_taken_name(store, whole).await?,
        parts_crc32: keeps_crc32(store, parts).await?,
        complete_if_absent: refuses_a_taken_name(store, parts).await?,
    })
}

/// Writes an object with a checksum and looks for it; without where the server refuses that. The object is there afterwards.
async fn keeps_crc32(store: &S3Objects, target: &(Form, String)) -> Result<bool, ObjectError> {
    let abilities = Abilities { put_crc32: true, parts_crc32: true, ..Abilities::default() };
    match write(store, target, abilities.clone()).await {
        Err(ObjectError::Other(_)) => {
            write(store, target, Abilities::default()).await?;
            return Ok(false);
        }
        written => written?,
    }
    let head = S3Objects { abilities, ..store.clone() }.head(&target.1).await;
    Ok(head.is_ok_and(|head| head.crc32 == Some(crc32fast::hash(CONTENT))))
}

/// Writes an object that is there.
async fn refuses_a_taken_name(
    store: &S3Objects,
    target: &(Form, String),
) -> Result<bool, ObjectError> {
    let abilities =
        Abilities { put_if_absent: true, complete_if_absent: true, ..Abilities::default() };
    match write(store, target, abilities).await {
        Err(ObjectError::Exists(_)) => Ok(true),
        Ok(()) | Err(ObjectError::Other(_)) => Ok(false),
        Err(error) => Err(error),
    }
}

async fn write(
    store: &S3Objects,
    (form, key): &(Form, String),
    abilities: Abilities,
) -> Result<(), ObjectError> {
    let store = S3Objects { abilities, ..store.clone() };
    let mut writer = Box::new(S3Writer::new(&store, key, None)?);
    if *form == Form::Parts {
        writer.begin_parts().await?;
    }
    writer.write(Bytes::from_static(CONTENT)).await?;
    writer.finish().await.map(drop)
}

//! Uploads a large file in parts. A part that does not arrive is sent again, and that part alone; what is given up is cancelled, so that
//! its parts do not lie in the tenant's storage for an hour.

use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures::stream::{self, Stream, TryStreamExt};
use md5::{Digest, Md5};
use reqwest::multipart::{Form, Part};
use serde_json::{Value, json};
use trainyard_openapi::upload::{Upload, UploadPart};

use super::connection::idempotency_key;
use super::upload::Bar;
use crate::client::{Client, ClientError, read};

/// How often a request is sent before the upload is given up: a server that starts again is back within the waits between.
const ATTEMPTS_MAX: u32 = 6;
/// Bytes read at a time.
const PIECE_BYTES: u64 = 64 * 1024;

/// The file.
pub(super) struct Source<'a> {
    pub(super) file: Arc<File>,
    pub(super) path: &'a Path,
    pub(super) name: String,
    pub(super) bytes: u64,
    pub(super) part_bytes: u64,
}

/// Uploads `source`; gives the server's file object. Ctrl-C cancels the upload.
pub(super) async fn upload(
    client: &Client,
    source: &Source<'_>,
    bar: &Bar,
) -> Result<Value, ClientError> {
    let new = json!({"filename": source.name, "purpose": "fine-tune", "bytes": source.bytes, "mime_type": "application/jsonl"});
    let key = idempotency_key()?;
    let begun = repeated("beginning", || client.post(&["uploads"], Some(&new), &key)).await?;
    let begun: Upload = read(&begun)?;
    let id = begun.id.to_string();
    let sent = tokio::select! {
        sent = send(client, source, &id, bar) => sent,
        interrupted = tokio::signal::ctrl_c() => {
            interrupted.map_err(ClientError::file("cannot wait for Ctrl-C"))?;
            Err(ClientError::Interrupted(format!("upload {id} was given up")))
        }
    };
    if sent.is_err() {
        // A second Ctrl-C ends the wait for it.
        tokio::select! {
            () = cancel(client, &id) => {}
            _ = tokio::signal::ctrl_c() => {}
        }
    }
    sent
}

async fn cancel(client: &Client, id: &str) {
    let cancelled = match idempotency_key() {
        Ok(key) => client.post(&["uploads", id, "cancel"], None, &key).await,
        Err(error) => Err(error),
    };
    match cancelled {
        Ok(_) => tracing::warn!("upload {id} is cancelled"),
        Err(error) => {
            tracing::warn!(
                "upload {id} is not cancelled ({error}); the server gives it up after an hour"
            );
        }
    }
}

async fn send(
    client: &Client,
    source: &Source<'_>,
    id: &str,
    bar: &Bar,
) -> Result<Value, ClientError> {
    let mut part_ids = Vec::new();
    let mut hash = Md5::new();
    let mut at = 0;
    while at < source.bytes {
        let range = at..source.bytes.min(at + source.part_bytes);
        let key = idempotency_key()?;
        let what = format!("part {}", part_ids.len() + 1);
        let (part, hashed) =
            repeated(&what, || send_part(client, source, id, range.clone(), &key, &hash, bar))
                .await?;
        (hash, at) = (hashed, range.end);
        part_ids.push(part.id);
    }
    let body = json!({"part_ids": part_ids, "md5": hex::encode(hash.finalize())});
    let key = idempotency_key()?;
    let path = ["uploads", id, "complete"];
    let done = repeated("completing", || client.post(&path, Some(&body), &key)).await?;
    match done.get("file") {
        Some(file) if file.is_object() => Ok(file.clone()),
        _ => Err(ClientError::Answer(format!("upload {id} is completed and has no file"))),
    }
}

/// Sends one part; gives it, and `before` with the part's bytes hashed too.
async fn send_part(
    client: &Client,
    source: &Source<'_>,
    id: &str,
    range: Range<u64>,
    key: &str,
    before: &Md5,
    bar: &Bar,
) -> Result<(UploadPart, Md5), ClientError> {
    bar.set(range.start);
    let hash = Arc::new(Mutex::new(before.clone()));
    let (counted, hashed) = (bar.clone(), hash.clone());
    let pieces = pieces(source.file.clone(), range.clone()).inspect_ok(move |piece| {
        counted.advance(piece.len() as u64);
        hashed.lock().unwrap_or_else(PoisonError::into_inner).update(piece);
    });
    let body = reqwest::Body::wrap_stream(pieces);
    let part = Part::stream_with_length(body, range.end - range.start).file_name("part");
    let form = Form::new().part("data", part);
    let answer = client.upload(&["uploads", id, "parts"], form, Some(key)).await;
    if answer.is_err() && source.file.metadata().is_ok_and(|now| now.len() < range.end) {
        let text = format!("'{}' became shorter while it was uploaded", source.path.display());
        return Err(ClientError::Usage(text));
    }
    let part = read(&answer?)?;
    let hash = hash.lock().unwrap_or_else(PoisonError::into_inner).clone();
    Ok((part, hash))
}

/// The file's bytes in `range`. Reads have places of their own, so that one that was given up moves no other.
fn pieces(file: Arc<File>, range: Range<u64>) -> impl Stream<Item = io::Result<Vec<u8>>> {
    stream::try_unfold(range.start, move |at| {
        let (file, count) = (file.clone(), PIECE_BYTES.min(range.end - at));
        async move {
            if count == 0 {
                return Ok(None);
            }
            let read = move || {
                let mut piece = vec![0; count as usize];
                file.read_exact_at(&mut piece, at).map(|()| piece)
            };
            let piece = tokio::task::spawn_blocking(read).await.map_err(io::Error::other)??;
            Ok(Some((piece, at + count)))
        }
    })
}

/// Does `attempt` again where that may help, after 1, 2, 4, 8 and 16 seconds.
async fn repeated<T, F: Future<Output = Result<T, ClientError>>>(
    what: &str,
    attempt: impl Fn() -> F,
) -> Result<T, ClientError> {
    let mut attempts = 1;
    loop {
        match attempt().await {
            Err(error) if error.is_passing() && attempts < ATTEMPTS_MAX => {
                let seconds = 1 << (attempts - 1);
                tracing::warn!("{what}: {error}; trying again in {seconds} s");
                tokio::time::sleep(Duration::from_secs(seconds)).await;
                attempts += 1;
            }
            ended => return ended,
        }
    }
}

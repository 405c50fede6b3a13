//! Forms: hashed while somebody else reads them.

use std::cell::RefCell;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use actix_web::dev::Payload;
use actix_web::error::PayloadError;
use actix_web::http::header::{CONTENT_TYPE, HeaderMap};
use actix_web::web::Bytes;
use futures::stream::{StreamExt, poll_fn};
use sha2::{Digest, Sha256};
use trainyard_openapi::error::{ApiError, ErrorCode};
use trainyard_openapi::limits::FILE_BYTES_MAX;

/// Bytes that may follow what the handler has read: the end of the form.
const REST_BYTES_MAX: u64 = 64 * 1024;
/// How long the rest of a form may take.
const REST_TIME: Duration = Duration::from_secs(5);
/// Bytes of a repeated form that are read: the largest file and what is around it.
const REPEAT_BYTES_MAX: u64 = FILE_BYTES_MAX + 1024 * 1024;

/// The boundary, where the body is a form.
pub(super) fn boundary(headers: &HeaderMap) -> Option<String> {
    let kind = headers.get(CONTENT_TYPE)?.to_str().ok()?;
    if !kind.to_ascii_lowercase().starts_with("multipart/") {
        return None;
    }
    let found = kind.split(';').skip(1).find_map(|parameter| {
        let (name, value) = parameter.trim().split_once('=')?;
        name.eq_ignore_ascii_case("boundary").then(|| value.trim_matches('"').to_string())
    });
    Some(found.unwrap_or_default())
}

/// A body that is hashed as it is read.
#[derive(Clone)]
pub(super) struct Watched(Rc<RefCell<State>>);

struct State {
    inner: Payload,
    hash: BodyHash,
    /// Whether it was read to its end.
    ended: bool,
    /// Whether the connection broke off in it. What comes after that looks like an end and is none.
    broken: bool,
}

impl Watched {
    pub(super) fn new(inner: Payload, boundary: &str) -> Self {
        let hash = BodyHash::new(boundary);
        Self(Rc::new(RefCell::new(State { inner, hash, ended: false, broken: false })))
    }

    /// The body for its reader.
    pub(super) fn payload(&self) -> Payload {
        let this = self.clone();
        let stream = poll_fn(move |context| this.poll(context));
        Payload::Stream { payload: Box::pin(stream) }
    }

    fn poll(&self, context: &mut Context<'_>) -> Poll<Option<Result<Bytes, PayloadError>>> {
        let mut state = self.0.borrow_mut();
        let polled = state.inner.poll_next_unpin(context);
        match &polled {
            Poll::Ready(Some(Ok(bytes))) => state.hash.update(bytes),
            Poll::Ready(Some(Err(_))) => state.broken = true,
            Poll::Ready(None) => state.ended = true,
            _ => {}
        }
        polled
    }

    /// Reads at most `bytes_max` more; whether that was all.
    async fn read(&self, bytes_max: u64) -> bool {
        let mut seen = 0;
        while !self.0.borrow().ended {
            match poll_fn(|context| self.poll(context)).next().await {
                Some(Ok(bytes)) => seen += bytes.len() as u64,
                Some(Err(_)) => return false,
                None => break,
            }
            if seen > bytes_max {
                return false;
            }
        }
        !self.0.borrow().broken
    }

    /// The hash after the handler, where the whole form has come.
    pub(super) async fn finish(self) -> Option<String> {
        let whole = tokio::time::timeout(REST_TIME, self.read(REST_BYTES_MAX)).await;
        (whole == Ok(true)).then(|| self.0.borrow_mut().hash.finish())
    }

    /// Reads a form that no handler will read.
    pub(super) async fn drain(self) -> Result<String, ApiError> {
        if self.read(REPEAT_BYTES_MAX).await {
            return Ok(self.0.borrow_mut().hash.finish());
        }
        let text = "the repeated form was cut off, or is larger than any that can be sent";
        Err(ApiError::new(ErrorCode::InvalidBody, text))
    }
}

/// SHA-256 of a form without its boundary: a client that sends the same form again draws a new one.
struct BodyHash {
    digest: Sha256,
    boundary: Vec<u8>,
    /// What may be the beginning of the boundary.
    tail: Vec<u8>,
}

impl BodyHash {
    fn new(boundary: &str) -> Self {
        let boundary = boundary.as_bytes().to_vec();
        Self { digest: Sha256::new(), boundary, tail: Vec::new() }
    }

    fn update(&mut self, bytes: &[u8]) {
        if self.boundary.is_empty() {
            return self.digest.update(bytes);
        }
        self.tail.extend_from_slice(bytes);
        let mut begin = 0;
        while let Some(at) = memchr::memmem::find(&self.tail[begin..], &self.boundary) {
            self.digest.update(&self.tail[begin..begin + at]);
            // A mark in its place: what stands left and right of it never runs together.
            self.digest.update(b"\0");
            begin += at + self.boundary.len();
        }
        let keep = (self.boundary.len() - 1).min(self.tail.len() - begin);
        let end = self.tail.len() - keep;
        self.digest.update(&self.tail[begin..end]);
        self.tail.drain(..end);
    }

    fn finish(&mut self) -> String {
        self.digest.update(std::mem::take(&mut self.tail));
        hex::encode(self.digest.finalize_reset())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hash(form: &str, boundary: &str, piece: usize) -> String {
        let mut hash = BodyHash::new(boundary);
        form.as_bytes().chunks(piece).for_each(|piece| hash.update(piece));
        hash.finish()
    }

    #[test]
    fn the_boundary_does_not_count_and_all_else_does() {
        let form = |boundary: &str, text: &str| {
            format!("--{boundary}\r\nname\r\n\r\n{text}\r\n--{boundary}--\r\n")
        };
        let first = hash(&form("abcabd", "abcabcab"), "abcabd", 1000);
        for piece in 1..40 {
            assert_eq!(hash(&form("abcabd", "abcabcab"), "abcabd", piece), first);
        }
        assert_eq!(hash(&form("xyz", "abcabcab"), "xyz", 7), first, "another boundary");
        assert_ne!(hash(&form("xyz", "abcabca"), "xyz", 7), first, "another text");
    }
}

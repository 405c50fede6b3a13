//! Uploads a file, in one request or in parts, with a bar where it takes long enough to wonder.

use std::path::Path;
use std::time::{Duration, Instant};

use futures::TryStreamExt;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use reqwest::multipart::{Form, Part};
use serde_json::Value;
use tokio_util::io::ReaderStream;
use trainyard_openapi::limits::{FILE_BYTES_MAX, UPLOAD_PART_BYTES_MAX};

use super::parts;
use crate::client::{Client, ClientError};

/// A shorter upload shows no bar.
const QUIET_TIME: Duration = Duration::from_secs(2);

/// When a file goes in parts, and in which.
#[allow(clippy::doc_markdown, reason = "the doc comments are the help text")]
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Parts {
    /// Upload a file of more bytes in parts: what does not arrive is sent again [default: 512 MiB, the most that goes in one request].
    #[arg(long, value_name = "BYTES", default_value_t = FILE_BYTES_MAX, hide_default_value = true,
        value_parser = clap::value_parser!(u64).range(..=FILE_BYTES_MAX))]
    parts_above: u64,
    /// Bytes of a part [default: 64 MiB, the most].
    #[arg(long, value_name = "BYTES", default_value_t = UPLOAD_PART_BYTES_MAX, hide_default_value = true,
        value_parser = clap::value_parser!(u64).range(1..=UPLOAD_PART_BYTES_MAX))]
    part_bytes: u64,
}

impl Default for Parts {
    fn default() -> Self {
        Self { parts_above: FILE_BYTES_MAX, part_bytes: UPLOAD_PART_BYTES_MAX }
    }
}

/// Uploads the file at `path` for training; gives the server's file object.
pub(crate) async fn upload(
    client: &Client,
    path: &Path,
    parts: &Parts,
) -> Result<Value, ClientError> {
    let failed = || ClientError::file(format!("cannot read '{}'", path.display()));
    let file = tokio::fs::File::open(path).await.map_err(failed())?;
    let metadata = file.metadata().await.map_err(failed())?;
    if !metadata.is_file() {
        return Err(ClientError::Usage(format!("'{}' is not a file", path.display())));
    }
    let name = path.file_name().map(|name| name.to_string_lossy().into_owned());
    let name = name.ok_or_else(|| ClientError::Usage("the path names no file".to_string()))?;

    let bar = Bar::new(metadata.len());
    if metadata.len() > parts.parts_above {
        let file = parts::Source {
            file: file.into_std().await.into(),
            path,
            name,
            bytes: metadata.len(),
            part_bytes: parts.part_bytes,
        };
        let answer = parts::upload(client, &file, &bar).await;
        bar.finish();
        return answer;
    }
    let counted = bar.clone();
    let stream = ReaderStream::with_capacity(file, 64 * 1024)
        .inspect_ok(move |chunk| counted.advance(chunk.len() as u64));
    let body = reqwest::Body::wrap_stream(stream);
    let part = Part::stream_with_length(body, metadata.len()).file_name(name);
    let form = Form::new().text("purpose", "fine-tune").part("file", part);
    let answer = client.upload(&["files"], form, None).await;
    bar.finish();
    answer
}

/// A bar on standard error that stays hidden for [`QUIET_TIME`].
#[derive(Clone)]
pub(super) struct Bar(ProgressBar, Instant);

impl Bar {
    fn new(bytes: u64) -> Self {
        let bar = ProgressBar::with_draw_target(Some(bytes), ProgressDrawTarget::hidden());
        let template = "uploading {bar:30} {bytes}/{total_bytes} {bytes_per_sec}, {eta} left";
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style);
        }
        Self(bar, Instant::now())
    }

    pub(super) fn advance(&self, bytes: u64) {
        if self.0.is_hidden() && self.1.elapsed() >= QUIET_TIME {
            self.0.set_draw_target(ProgressDrawTarget::stderr());
        }
        self.0.inc(bytes);
    }

    /// Back to where what was sent did arrive.
    pub(super) fn set(&self, bytes: u64) {
        self.0.set_position(bytes);
    }

    fn finish(&self) {
        self.0.finish_and_clear();
    }
}

//! Uploads a file, with a bar where it takes long enough to wonder.

use std::path::Path;
use std::time::{Duration, Instant};

use futures::TryStreamExt;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use reqwest::multipart::{Form, Part};
use serde_json::Value;
use tokio_util::io::ReaderStream;

use crate::client::{Client, ClientError};

/// A shorter upload shows no bar.
const QUIET_TIME: Duration = Duration::from_secs(2);

/// Uploads the file at `path` for training; gives the server's file object.
pub(crate) async fn upload(client: &Client, path: &Path) -> Result<Value, ClientError> {
    let failed = || ClientError::file(format!("cannot read '{}'", path.display()));
    let file = tokio::fs::File::open(path).await.map_err(failed())?;
    let metadata = file.metadata().await.map_err(failed())?;
    if !metadata.is_file() {
        return Err(ClientError::Usage(format!("'{}' is not a file", path.display())));
    }
    let name = path.file_name().map(|name| name.to_string_lossy().into_owned());
    let name = name.ok_or_else(|| ClientError::Usage("the path names no file".to_string()))?;

    let bar = Bar::new(metadata.len());
    let counted = bar.clone();
    let stream = ReaderStream::with_capacity(file, 64 * 1024)
        .inspect_ok(move |chunk| counted.advance(chunk.len() as u64));
    let body = reqwest::Body::wrap_stream(stream);
    let part = Part::stream_with_length(body, metadata.len()).file_name(name);
    let form = Form::new().text("purpose", "fine-tune").part("file", part);
    let answer = client.upload(&["files"], form).await;
    bar.0.finish_and_clear();
    answer
}

/// A bar on standard error that stays hidden for [`QUIET_TIME`].
#[derive(Clone)]
struct Bar(ProgressBar, Instant);

impl Bar {
    fn new(bytes: u64) -> Self {
        let bar = ProgressBar::with_draw_target(Some(bytes), ProgressDrawTarget::hidden());
        let template = "uploading {bar:30} {bytes}/{total_bytes} {bytes_per_sec}, {eta} left";
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style);
        }
        Self(bar, Instant::now())
    }

    fn advance(&self, bytes: u64) {
        if self.0.is_hidden() && self.1.elapsed() >= QUIET_TIME {
            self.0.set_draw_target(ProgressDrawTarget::stderr());
        }
        self.0.inc(bytes);
    }
}

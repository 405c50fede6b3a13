//! Uploads in parts that nobody will finish: their process was killed. They are invisible, and their parts take space.

use super::S3Objects;
use super::error::explain;

/// After this long an upload has no process any more that works on it: the longest takes hours.
pub(super) const STALE_SECONDS: i64 = 3 * 24 * 3600;

impl S3Objects {
    /// Aborts the uploads in parts below the prefix that were begun before this time, in Unix seconds. Best effort: a bucket's own
    /// rule (`AbortIncompleteMultipartUpload`) does the same.
    pub async fn abort_uploads_begun_before(&self, seconds: i64) {
        let (mut key_marker, mut id_marker) = (None, None);
        loop {
            let request = self.client.list_multipart_uploads().bucket(&self.at.bucket);
            let request = request.prefix(&self.at.prefix).set_key_marker(key_marker);
            let page = match request.set_upload_id_marker(id_marker).send().await {
                Ok(page) => page,
                Err(error) => {
                    let error = explain("", &error);
                    tracing::warn!(%error, "unfinished uploads cannot be listed; let a rule of the bucket abort them");
                    return;
                }
            };
            for upload in page.uploads() {
                let old = upload.initiated().is_some_and(|begun| begun.secs() < seconds);
                if let (true, Some(name), Some(id)) = (old, upload.key(), upload.upload_id()) {
                    tracing::info!(name, "aborting an upload that was left unfinished");
                    self.abort(name, id).await;
                }
            }
            if page.is_truncated() != Some(true) || page.next_key_marker().is_none() {
                return;
            }
            (key_marker, id_marker) = (page.next_key_marker, page.next_upload_id_marker);
        }
    }
}

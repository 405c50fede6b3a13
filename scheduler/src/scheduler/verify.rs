//! What executors hand over is looked at before it counts: manifests, prefixes, sizes.

use futures::StreamExt;
use sha2::{Digest, Sha256};
use trainyard_plan::trainer::Manifest;

use super::Scheduler;
use crate::error::{Result, SchedulerError};
use crate::port::control_plane::{LeaseError, LeaseId};
use crate::port::objects::ObjectError;

/// The manifest's name under its prefix.
pub(super) const MANIFEST: &str = "manifest.json";
/// Bytes of a manifest: tens of files are a few kilobytes.
const MANIFEST_BYTES_MAX: u64 = 1 << 20;

/// A manifest with what is known of its own file.
pub(super) struct ReadManifest {
    pub(super) manifest: Manifest,
    pub(super) sha256: String,
    pub(super) bytes: u64,
}

/// The prefix under which a run may write: its own, and nobody else's.
pub(super) fn run_prefix(lease: &LeaseId) -> String {
    format!("jobs/{}/e{}-{}/", lease.job, lease.epoch, lease.nonce)
}

impl Scheduler {
    pub(super) async fn read_manifest(&self, prefix: &str) -> Result<ReadManifest> {
        let key = format!("{prefix}/{MANIFEST}");
        let (bytes, mut stream) = self.objects().read(&key, None).await?;
        if bytes > MANIFEST_BYTES_MAX {
            return Err(SchedulerError::Internal(format!("'{key}' has {bytes} bytes")));
        }
        let mut json = Vec::with_capacity(bytes as usize);
        while let Some(piece) = stream.next().await {
            json.extend_from_slice(&piece?);
        }
        let manifest = serde_json::from_slice(&json).map_err(|error| {
            SchedulerError::Internal(format!("'{key}' is no manifest: {error}"))
        })?;
        Ok(ReadManifest { manifest, sha256: hex::encode(Sha256::digest(&json)), bytes })
    }

    /// Checks that the lease holds, that `prefix` is the run's own and that its files are there as the manifest says. A run that
    /// holds nothing any more is told so, and not that its files have been swept.
    pub(super) async fn verify_handover(
        &self,
        lease: &LeaseId,
        prefix: &str,
        manifest_sha256: &str,
    ) -> Result<Manifest, LeaseError> {
        let refused = |what: String| LeaseError::Refused(what);
        let job = self.store().job_of_any_tenant(&lease.job).await?;
        if !job.is_some_and(|job| self.holds(&job, lease)) {
            return Err(LeaseError::Fenced);
        }
        if !prefix.starts_with(&run_prefix(lease)) {
            return Err(refused(format!("'{prefix}' is not under the run's own prefix")));
        }
        let read = self.read_manifest(prefix).await.map_err(|error| match error {
            SchedulerError::Object(ObjectError::NotFound(key) | ObjectError::InvalidKey(key)) => {
                refused(format!("there is no '{key}'"))
            }
            SchedulerError::Internal(what) => refused(what),
            other => LeaseError::Unavailable(other.to_string()),
        })?;
        if read.sha256 != manifest_sha256 {
            return Err(refused(format!(
                "the manifest under '{prefix}' has the hash {}",
                read.sha256
            )));
        }
        for (name, entry) in &read.manifest.files {
            let key = format!("{prefix}/{name}");
            match self.objects().size(&key).await {
                Ok(bytes) if bytes == entry.bytes => {}
                Ok(bytes) => {
                    let want = entry.bytes;
                    return Err(refused(format!(
                        "'{key}' has {bytes} bytes, the manifest says {want}"
                    )));
                }
                Err(ObjectError::NotFound(_) | ObjectError::InvalidKey(_)) => {
                    return Err(refused(format!("the manifest names '{key}', which is not there")));
                }
                Err(other) => return Err(LeaseError::Unavailable(other.to_string())),
            }
        }
        Ok(read.manifest)
    }
}

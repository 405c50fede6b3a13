//! Directories to the object store: the files that the manifest names, then the manifest.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use tokio::fs;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tracing::Instrument;
use trainyard_openapi::checkpoint::CheckpointMetrics;
use trainyard_plan::trainer::{CheckpointWritten, Manifest};
use trainyard_scheduler::port::control_plane::{
    CheckpointPointer, ControlPlane, LeaseError, LeaseId,
};
use trainyard_scheduler::port::objects::{ObjectError, Objects};
use trainyard_scheduler::trace::{Span, carried};

use crate::agent::Context;
use crate::inputs::{InputError, io};
use crate::outcome::persist;

/// The prefix under which a run writes.
pub(crate) fn run_prefix(lease: &LeaseId) -> String {
    format!("jobs/{}/e{}-{}", lease.job, lease.epoch, lease.nonce)
}

/// Uploads a complete directory under `prefix`.
pub(crate) async fn upload_directory(
    objects: &dyn Objects,
    directory: &Path,
    prefix: &str,
) -> Result<Manifest, InputError> {
    let path = directory.join("manifest.json");
    let json = fs::read(&path).await.map_err(io(&path))?;
    let manifest: Manifest =
        serde_json::from_slice(&json).map_err(|error| io(&path)(std::io::Error::other(error)))?;
    for name in manifest.files.keys().map(String::as_str).chain(["manifest.json"]) {
        match objects.put_file(&format!("{prefix}/{name}"), &directory.join(name)).await {
            // An earlier try brought it: keys under a run's prefix are written by that run alone, and once.
            Ok(_) | Err(ObjectError::Exists(_)) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(manifest)
}

/// Uploads checkpoints one after the other, beside the training. A newer one takes the place of one that has not begun, unless that is the
/// end of a stage.
pub(crate) struct Uploader {
    waiting: Option<mpsc::UnboundedSender<Staged>>,
    task: JoinHandle<()>,
    /// What went wrong, for the job's history.
    pub(crate) troubles: mpsc::UnboundedReceiver<String>,
}

/// A checkpoint whose files are safe from the trainer's own clearing away.
#[derive(Debug, Clone)]
struct Staged {
    written: CheckpointWritten,
    directory: PathBuf,
    /// When it was taken.
    at: Instant,
}

impl Uploader {
    pub(crate) fn start(context: &Context, lease: &LeaseId) -> Self {
        let (waiting, mut taken) = mpsc::unbounded_channel::<Staged>();
        let (trouble, troubles) = mpsc::unbounded_channel();
        let (control, objects, lease) =
            (Arc::clone(&context.control), Arc::clone(&context.objects), lease.clone());
        let metrics = context.metrics.clone();
        let uploads = async move {
            let mut line = VecDeque::new();
            loop {
                if line.is_empty() {
                    line.extend(taken.recv().await);
                }
                while let Ok(newer) = taken.try_recv() {
                    line.push_back(newer);
                }
                let Some(staged) = line.pop_front() else { break };
                if !line.is_empty() && staged.written.stage.is_none() {
                    let _ = fs::remove_dir_all(&staged.directory).await;
                    continue;
                }
                let span = Span::step("upload checkpoint");
                span.set("trainyard.step", i64::try_from(staged.written.step).unwrap_or(i64::MAX));
                let uploaded =
                    upload_checkpoint(control.as_ref(), objects.as_ref(), &lease, &staged);
                match span.around(uploaded).await {
                    Ok(Kept::Yes) => metrics.checkpoint_uploaded(staged.at),
                    // The lease keeper hears of it too and ends the run.
                    Ok(Kept::Fenced) => span.fail("fenced"),
                    Err(what) => {
                        span.fail("not_kept");
                        let step = staged.written.step;
                        let text = format!("the checkpoint of step {step} was not kept: {what}");
                        let _ = trouble.send(text);
                    }
                }
                let _ = fs::remove_dir_all(&staged.directory).await;
            }
        };
        let task = tokio::spawn(carried(uploads.in_current_span()));
        Self { waiting: Some(waiting), task, troubles }
    }

    /// Takes a checkpoint that the trainer has just written under `out`.
    pub(crate) async fn take(
        &self,
        written: &CheckpointWritten,
        out: &Path,
        staging: &Path,
    ) -> Result<(), InputError> {
        let (source, directory) =
            (out.join(&written.directory), staging.join(format!("step-{:06}", written.step)));
        fs::create_dir_all(&directory).await.map_err(io(&directory))?;
        let mut entries = fs::read_dir(&source).await.map_err(io(&source))?;
        while let Some(entry) = entries.next_entry().await.map_err(io(&source))? {
            let link = directory.join(entry.file_name());
            // Linked, not copied: the trainer may remove its own names meanwhile.
            fs::hard_link(entry.path(), &link).await.map_err(io(&link))?;
        }
        if let Some(waiting) = &self.waiting {
            let (written, at) = (written.clone(), Instant::now());
            // Without a task that uploads, the run is over.
            let _ = waiting.send(Staged { written, directory, at });
        }
        Ok(())
    }

    /// Waits until everything taken is uploaded.
    pub(crate) async fn finish(&mut self) {
        self.waiting = None;
        let _ = (&mut self.task).await;
    }
}

impl Drop for Uploader {
    fn drop(&mut self) {
        // A run that ends early, as a fenced one, uploads nothing more.
        self.task.abort();
    }
}

/// What became of a checkpoint that was brought to the object store.
enum Kept {
    /// The job can go on from it.
    Yes,
    /// The job is another's.
    Fenced,
}

async fn upload_checkpoint(
    control: &dyn ControlPlane,
    objects: &dyn Objects,
    lease: &LeaseId,
    staged: &Staged,
) -> Result<Kept, String> {
    let written = &staged.written;
    let prefix = format!("{}/step-{:06}", run_prefix(lease), written.step);
    upload_directory(objects, &staged.directory, &prefix)
        .await
        .map_err(|error| error.to_string())?;
    let pointer = CheckpointPointer {
        epoch: lease.epoch,
        step: written.step,
        prefix,
        manifest_sha256: written.manifest_sha256.clone(),
        stage: written.stage.clone(),
    };
    let metrics = CheckpointMetrics {
        step: Some(written.step),
        train_loss: written.train_loss,
        train_mean_token_accuracy: written.train_mean_token_accuracy,
        valid_loss: written.valid_loss,
        valid_mean_token_accuracy: written.valid_mean_token_accuracy,
        full_valid_loss: written.valid_loss,
        full_valid_mean_token_accuracy: written.valid_mean_token_accuracy,
    };
    match persist(|| control.checkpoint(lease, &pointer, &metrics)).await {
        Ok(()) => Ok(Kept::Yes),
        Err(LeaseError::Fenced) => Ok(Kept::Fenced),
        Err(error) => Err(error.to_string()),
    }
}

//! What a run needs on its disk before the trainer starts.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use sha2::{Digest, Sha256};
use tokio::fs;
use trainyard_openapi::job_error::JobErrorCode;
use trainyard_plan::trainer::{Manifest, RunSpec};
use trainyard_scheduler::port::control_plane::{CheckpointPointer, Claim};
use trainyard_scheduler::port::objects::{ObjectError, Objects};

use crate::fetched::Fetched;

/// What could not be brought.
#[derive(Debug, thiserror::Error)]
pub(crate) enum InputError {
    /// An object.
    #[error("{0}")]
    Object(#[from] ObjectError),
    /// A local file.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// A checkpoint or result that is not what its pointer says.
    #[error("{what} is damaged: {reason}")]
    Damaged {
        /// Which.
        what: String,
        /// What differs.
        reason: String,
    },
}

impl InputError {
    /// Whether it is not there.
    pub(crate) const fn is_not_found(&self) -> bool {
        matches!(self, Self::Object(ObjectError::NotFound(_)))
    }

    /// As the job carries it.
    pub(crate) fn code(&self) -> JobErrorCode {
        match self {
            Self::Object(ObjectError::NoSpace) => JobErrorCode::DiskFull,
            Self::Object(ObjectError::Unreadable(_)) => JobErrorCode::FileUnreadable,
            Self::Object(_) => JobErrorCode::ObjectStoreError,
            Self::Io { source, .. } => match source.kind() {
                ErrorKind::StorageFull | ErrorKind::QuotaExceeded => JobErrorCode::DiskFull,
                ErrorKind::PermissionDenied => JobErrorCode::FileUnreadable,
                _ if source.raw_os_error() == Some(Errno::EIO as i32) => {
                    JobErrorCode::FileUnreadable
                }
                _ => JobErrorCode::IoError,
            },
            Self::Damaged { .. } => JobErrorCode::CheckpointDamaged,
        }
    }
}

/// The directories of a run.
#[derive(Debug, Clone)]
pub(crate) struct Places {
    /// Everything of the run.
    pub(crate) work: PathBuf,
    /// The trainer's output directory.
    pub(crate) out: PathBuf,
    /// Checkpoints on their way to the object store.
    pub(crate) staging: PathBuf,
    /// The run specification.
    pub(crate) spec: PathBuf,
}

impl Places {
    pub(crate) fn new(root: &Path, claim: &Claim) -> Self {
        let work = root.join(format!("{}-e{}", claim.lease.job, claim.lease.epoch));
        Self {
            out: work.join("out"),
            staging: work.join("staging"),
            spec: work.join("run.json"),
            work,
        }
    }
}

/// Fetches files and checkpoint and writes the run specification.
pub(crate) async fn prepare(
    claim: &Claim,
    places: &Places,
    models_dir: &Path,
    objects: &dyn Objects,
) -> Result<(), InputError> {
    let inputs = places.work.join("inputs");
    for directory in [&inputs, &places.out, &places.staging] {
        fs::create_dir_all(directory).await.map_err(io(directory))?;
    }
    let mut fetched = Fetched::into(inputs.clone(), objects);
    let training = fetched.file(&claim.training_file).await?;
    let continual = match &claim.continual {
        Some(wanted) => Some(fetched.continual(wanted).await?),
        None => None,
    };
    let first = continual.as_ref().and_then(|files| files.stages.first());
    let validation = match (&claim.validation_file, first) {
        (Some(file), _) => Some(fetched.file(file).await?),
        // Of several stages the first one's files are the run's own.
        (None, first) => first.and_then(|stage| stage.validation.clone()),
    };
    if let Some(pointer) = &claim.checkpoint {
        fetch_checkpoint(pointer, &places.out, objects).await?;
    }
    let spec = RunSpec {
        plan: claim.plan.clone(),
        model: models_dir.join(&claim.model),
        model_name: claim.model.clone(),
        training_file: training.path,
        training_file_name: training.name,
        validation_file: validation.as_ref().map(|file| file.path.clone()),
        validation_file_name: validation.map(|file| file.name),
        micro_batch_size: (claim.micro_batch_size != claim.plan.batching.micro_batch_size)
            .then_some(claim.micro_batch_size),
        continual,
    };
    let json = serde_json::to_vec_pretty(&spec)
        .map_err(|error| io(&places.spec)(std::io::Error::other(error)))?;
    fs::write(&places.spec, json).await.map_err(io(&places.spec))
}

/// Brings a checkpoint to where the trainer looks for it. The trainer checks each file against the manifest; that the manifest is
/// the right one is checked here.
async fn fetch_checkpoint(
    pointer: &CheckpointPointer,
    out: &Path,
    objects: &dyn Objects,
) -> Result<(), InputError> {
    let what = format!("the checkpoint of step {}", pointer.step);
    let directory = out.join("checkpoints").join(format!("step-{:06}", pointer.step));
    fetch_directory(&what, &pointer.prefix, &pointer.manifest_sha256, &directory, objects).await
}

/// Brings every file that a manifest names, after the manifest itself, which has to have this hash.
pub(crate) async fn fetch_directory(
    what: &str,
    prefix: &str,
    manifest_sha256: &str,
    directory: &Path,
    objects: &dyn Objects,
) -> Result<(), InputError> {
    let damaged = |reason: String| InputError::Damaged { what: what.to_string(), reason };
    fs::create_dir_all(directory).await.map_err(io(directory))?;
    let path = directory.join("manifest.json");
    objects.get_file(&format!("{prefix}/manifest.json"), &path).await?;
    let json = fs::read(&path).await.map_err(io(&path))?;
    if hex::encode(Sha256::digest(&json)) != manifest_sha256 {
        return Err(damaged("its manifest has another hash than the job's record".to_string()));
    }
    let manifest: Manifest =
        serde_json::from_slice(&json).map_err(|error| damaged(error.to_string()))?;
    for (name, entry) in &manifest.files {
        if name.contains('/') || name.starts_with('.') {
            return Err(damaged(format!("'{name}' is no file name")));
        }
        let bytes = objects.get_file(&format!("{prefix}/{name}"), &directory.join(name)).await?;
        if bytes != entry.bytes {
            return Err(damaged(format!("'{name}' has {bytes} bytes, not {}", entry.bytes)));
        }
    }
    Ok(())
}

pub(crate) fn io(path: impl AsRef<Path>) -> impl FnOnce(std::io::Error) -> InputError {
    let path = path.as_ref().to_path_buf();
    move |source| InputError::Io { path, source }
}

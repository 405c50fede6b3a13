//! Checkpoints: directories that are complete or are nothing.
//!
//! Files first, the manifest with the hash of each last, then the directory gets its name. What has no name of the form `step-...`
//! or whose hashes do not fit is never resumed from. A checkpoint is also a loadable adapter.

use std::fs;
use std::path::{Path, PathBuf};

use tch::Tensor;
use trainyard_openapi::job_error::JobErrorCode;
use trainyard_plan::trainer::Manifest;

use crate::artifact::description::AdapterDescription;
use crate::artifact::{directory, manifest};
use crate::error::{Result, TrainerError};
use crate::optim::adamw::AdamW;
use crate::train::state::{FORMAT, RunState};
use crate::weights::safetensors::SafetensorsSource;
use crate::weights::{WeightSource, writer};

/// The file with the tensors of what is done against forgetting.
pub const STAGED: &str = "continual.safetensors";

/// What a checkpoint of a run with stages has beside that of any run.
#[derive(Debug)]
pub struct StagedFiles {
    /// The adapter that is in force, where it is not the one in training.
    pub in_force: Option<(Vec<(String, Tensor)>, AdapterDescription)>,
    /// What [`STAGED`] holds.
    pub tensors: Vec<(String, Tensor)>,
}

/// The directory's name after `step` steps.
pub fn name(step: u64) -> String {
    format!("step-{step:06}")
}

/// Writes a checkpoint into `root`; gives its directory and the SHA-256 of its manifest.
///
/// # Errors
/// Where the system refuses; then nothing of it is left under a checkpoint's name.
pub fn write(
    root: &Path,
    state: &RunState,
    optimizer: &AdamW,
    adapter: &AdapterDescription,
    staged: Option<&StagedFiles>,
) -> Result<(PathBuf, String)> {
    let target = root.join(name(state.step));
    let partial = directory::prepare(&target)?;
    match staged.and_then(|staged| staged.in_force.as_ref()) {
        Some((parameters, adapter)) => adapter.write(&partial, parameters)?,
        None => adapter.write(&partial, &optimizer.parameters()?)?,
    }
    if let Some(staged) = staged {
        writer::write(&partial.join(STAGED), &staged.tensors)?;
    }
    writer::write(&partial.join("optimizer.safetensors"), &optimizer.moments()?)?;
    let json =
        serde_json::to_vec(state).map_err(|error| TrainerError::Checkpoint(error.to_string()))?;
    writer::write_durably(&partial.join("state.json"), &json)?;
    let sha256 = manifest::write(&partial, state.step, &state.binding.plan)?;
    // A leftover of the same step is from an attempt that went on from an older one.
    directory::publish(&partial, &target)?;
    Ok((target, sha256))
}

/// Removes all but the newest `keep` checkpoints up to step `newest`, which is complete, and those of the steps in `kept`. What is named after later steps was passed
/// over as damaged, or is from an attempt before this one; it must not push out what is good.
///
/// # Errors
/// Where the system refuses.
pub fn keep_newest(root: &Path, keep: u32, newest: u64, kept: &[u64]) -> Result<()> {
    let steps = list(root)?;
    let older = steps.iter().rev().filter(|(step, _)| *step <= newest && !kept.contains(step));
    for (_, directory) in older.skip(keep as usize) {
        directory::remove(directory)?;
    }
    Ok(())
}

/// The newest complete checkpoint in `root`, if there is one. Damaged ones are passed over and named in `notes`.
///
/// # Errors
/// Where the system refuses.
pub fn newest(root: &Path, notes: &mut Vec<String>) -> Result<Option<(PathBuf, Manifest)>> {
    for (_, directory) in list(root)?.into_iter().rev() {
        match manifest::verify(&directory) {
            Ok(manifest) => return Ok(Some((directory, manifest))),
            Err(error) => notes.push(format!("passed over {}: {error}", directory.display())),
        }
    }
    Ok(None)
}

/// Reads the state in a checkpoint whose manifest has been verified. The adapter is loaded by the model, moments by [`read_moments`].
///
/// # Errors
/// A user error where it belongs to another run, naming what differs; a checkpoint error where it cannot be read.
pub fn read_state(directory: &Path, expected: &RunState) -> Result<RunState> {
    let path = directory.join("state.json");
    let json = fs::read(&path).map_err(TrainerError::io(&path))?;
    let state: RunState = serde_json::from_slice(&json)
        .map_err(|error| TrainerError::Checkpoint(format!("{}: {error}", path.display())))?;
    if state.format != FORMAT {
        let message = format!(
            "{} has the format {}, this version reads {FORMAT}",
            path.display(),
            state.format
        );
        return Err(TrainerError::Checkpoint(message));
    }
    let (found, want) = (&state.binding, &expected.binding);
    for (what, same) in [
        ("plan", found.plan == want.plan),
        ("training file", found.training_data == want.training_data),
        ("validation file", found.validation_data == want.validation_data),
        ("base model", found.model == want.model),
    ] {
        if !same {
            let message = format!(
                "the checkpoint of step {} was written with another {what}; choose another output directory, or begin anew with \
                 --resume never",
                state.step
            );
            return Err(TrainerError::user(JobErrorCode::CheckpointMismatch, None, message));
        }
    }
    Ok(state)
}

/// Reads the moments of a checkpoint into `optimizer`.
///
/// # Errors
/// A checkpoint error where they are not there or do not fit.
pub fn read_moments(directory: &Path, optimizer: &mut AdamW) -> Result<()> {
    let source = SafetensorsSource::open_file(&directory.join("optimizer.safetensors"))?;
    let _no_grad = tch::no_grad_guard();
    for (name, mut tensor) in optimizer.moments()? {
        let saved = source
            .tensor(&name)?
            .filter(|saved| saved.size() == tensor.size())
            .ok_or_else(|| {
                TrainerError::Checkpoint(format!("optimizer.safetensors has no fitting '{name}'"))
            })?;
        tensor.f_copy_(&saved.f_to_device(tensor.device())?)?;
    }
    Ok(())
}

/// Removes what killed attempts left half-written.
///
/// # Errors
/// Where the system refuses.
pub fn sweep(root: &Path) -> Result<()> {
    if !root.is_dir() {
        return Ok(());
    }
    for entry in fs::read_dir(root).map_err(TrainerError::io(root))? {
        let path = entry.map_err(TrainerError::io(root))?.path();
        if path.file_name().and_then(|name| name.to_str()).is_some_and(directory::is_leftover) {
            directory::remove(&path)?;
        }
    }
    Ok(())
}

/// Directories with a checkpoint's name, by step.
fn list(root: &Path) -> Result<Vec<(u64, PathBuf)>> {
    if !root.is_dir() {
        return Ok(Vec::new());
    }
    let mut found = Vec::new();
    for entry in fs::read_dir(root).map_err(TrainerError::io(root))? {
        let path = entry.map_err(TrainerError::io(root))?.path();
        let step =
            path.file_name().and_then(|name| name.to_str()?.strip_prefix("step-")?.parse().ok());
        if let Some(step) = step {
            found.push((step, path));
        }
    }
    found.sort();
    Ok(found)
}

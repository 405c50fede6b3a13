//! Directories that appear whole or not at all: filled under a hidden name, renamed when complete.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use crate::error::{Result, TrainerError};
use crate::weights::writer;

/// An empty directory beside `directory`, to be filled and then published.
///
/// # Errors
/// Where the system refuses.
pub fn prepare(directory: &Path) -> Result<PathBuf> {
    let partial = hidden(directory, "partial");
    remove(&partial)?;
    fs::create_dir_all(&partial).map_err(TrainerError::io(&partial))?;
    Ok(partial)
}

/// Gives the complete `partial` the name `directory`, in place of what had it.
///
/// # Errors
/// Where the system refuses.
pub fn publish(partial: &Path, directory: &Path) -> Result<()> {
    let old = hidden(directory, "old");
    remove(&old)?;
    // Moved away whole, not removed in place: a removal cut short would leave half a directory under the name.
    match fs::rename(directory, &old) {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            return Err(TrainerError::io(directory)(error));
        }
        _ => {}
    }
    fs::rename(partial, directory).map_err(TrainerError::io(directory))?;
    writer::sync_parent(directory)?;
    // The directory around it may be as new.
    directory.parent().map_or(Ok(()), writer::sync_parent)?;
    remove(&old)
}

/// Removes a directory with all that is in it, if there is one.
///
/// # Errors
/// Where the system refuses.
pub fn remove(directory: &Path) -> Result<()> {
    match fs::remove_dir_all(directory) {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            Err(TrainerError::io(directory)(error))
        }
        _ => Ok(()),
    }
}

/// Whether `name` is one that an attempt may leave behind when it is killed.
pub fn is_leftover(name: &str) -> bool {
    name.starts_with('.') && (name.ends_with(".partial") || name.ends_with(".old"))
}

fn hidden(directory: &Path, state: &str) -> PathBuf {
    let name = directory.file_name().unwrap_or_default().to_string_lossy();
    directory.with_file_name(format!(".{name}.{state}"))
}

//! The output directory of a run. Who holds it is alone in it: two runs would write over each other's files.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use trainyard_openapi::job_error::JobErrorCode;

use crate::error::{Result, TrainerError};

/// A run that was just killed holds its lock until the kernel has taken back its memory.
const LOCK_WAIT: Duration = Duration::from_secs(5);
const LOCK_POLL: Duration = Duration::from_millis(50);

/// A locked output directory. The lock ends with the process, however it ends.
#[derive(Debug)]
pub struct OutputDir {
    /// The directory.
    pub path: PathBuf,
    _lock: File,
}

impl OutputDir {
    /// Makes the directory where it is missing, and locks it.
    ///
    /// # Errors
    /// `output_in_use` where another run has it; an I/O error naming the path where it cannot be written.
    pub fn open(path: &Path) -> Result<Self> {
        fs::create_dir_all(path).map_err(TrainerError::io(path))?;
        let lock_path = path.join("run.lock");
        let lock = File::create(&lock_path).map_err(TrainerError::io(&lock_path))?;
        let begun = Instant::now();
        loop {
            match lock.try_lock() {
                Ok(()) => return Ok(Self { path: path.to_path_buf(), _lock: lock }),
                Err(fs::TryLockError::WouldBlock) if begun.elapsed() < LOCK_WAIT => {
                    std::thread::sleep(LOCK_POLL);
                }
                Err(fs::TryLockError::WouldBlock) => {
                    let message = format!("another run is using {}", path.display());
                    let param = "--out".to_string();
                    return Err(TrainerError::user(
                        JobErrorCode::OutputInUse,
                        Some(param),
                        message,
                    ));
                }
                Err(fs::TryLockError::Error(error)) => {
                    return Err(TrainerError::io(&lock_path)(error));
                }
            }
        }
    }

    /// Where checkpoints go.
    pub fn checkpoints(&self) -> PathBuf {
        self.path.join("checkpoints")
    }

    /// Where the result goes.
    pub fn adapter(&self) -> PathBuf {
        self.path.join("adapter")
    }

    /// Where the base model that a GGUF file with this fingerprint holds is imported to.
    pub fn base_model(&self, fingerprint: &str) -> PathBuf {
        let short: String = fingerprint.chars().take(16).collect();
        self.path.join(format!("base-model-{short}"))
    }
}

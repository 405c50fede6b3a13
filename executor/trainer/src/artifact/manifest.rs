//! Manifests: the last file of a directory, with size and SHA-256 of every other.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io;
use std::path::Path;

use sha2::{Digest, Sha256};
use trainyard_plan::trainer::{Manifest, ManifestEntry};

use crate::error::{Result, TrainerError};
use crate::weights::writer;

/// The manifest's file name.
pub const NAME: &str = "manifest.json";

/// SHA-256 of a file, in hexadecimal, and its size in bytes.
///
/// # Errors
/// Where it cannot be read.
pub fn hash_file(path: &Path) -> Result<(String, u64)> {
    let mut file = File::open(path).map_err(TrainerError::io(path))?;
    let mut hash = HashWriter(Sha256::new());
    let bytes = io::copy(&mut file, &mut hash).map_err(TrainerError::io(path))?;
    Ok((hex::encode(hash.0.finalize()), bytes))
}

/// SHA-256 of bytes, in hexadecimal.
pub fn hash_bytes(bytes: &[u8]) -> String {
    hex::encode(Sha256::digest(bytes))
}

/// Writes the manifest of `directory`'s files, all of which are durable; gives its own SHA-256.
///
/// # Errors
/// Where the system refuses.
pub fn write(directory: &Path, step: u64, plan_sha256: &str) -> Result<String> {
    let mut files = BTreeMap::new();
    for entry in fs::read_dir(directory).map_err(TrainerError::io(directory))? {
        let path = entry.map_err(TrainerError::io(directory))?.path();
        let Some(name) = path.file_name().and_then(|name| name.to_str()) else { continue };
        let (sha256, bytes) = hash_file(&path)?;
        files.insert(name.to_string(), ManifestEntry { bytes, sha256 });
    }
    let manifest = Manifest { step, plan_sha256: plan_sha256.to_string(), files };
    let json = serde_json::to_vec_pretty(&manifest)
        .map_err(|error| TrainerError::Checkpoint(error.to_string()))?;
    writer::write_durably(&directory.join(NAME), &json)?;
    Ok(hash_bytes(&json))
}

/// Reads the manifest of `directory` and checks every file it names.
///
/// # Errors
/// A checkpoint error naming the file that is missing or differs.
pub fn verify(directory: &Path) -> Result<Manifest> {
    let path = directory.join(NAME);
    let json = fs::read(&path).map_err(TrainerError::io(&path))?;
    let manifest: Manifest = serde_json::from_slice(&json)
        .map_err(|error| TrainerError::Checkpoint(format!("{}: {error}", path.display())))?;
    for (name, entry) in &manifest.files {
        if name.contains(['/', '\\']) || name.starts_with('.') {
            return Err(TrainerError::Checkpoint(format!(
                "the manifest names '{name}', which is no file name"
            )));
        }
        let (sha256, bytes) = hash_file(&directory.join(name))?;
        if sha256 != entry.sha256 || bytes != entry.bytes {
            return Err(TrainerError::Checkpoint(format!(
                "'{name}' is not what its manifest says"
            )));
        }
    }
    Ok(manifest)
}

struct HashWriter(Sha256);

impl io::Write for HashWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

//! `backup.json`: what a backup is made of. It is written last, so a directory without it is no backup.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::client::ClientError;

/// The manifest's name.
pub(crate) const MANIFEST: &str = "backup.json";
/// The database's name, in a backup as in a data directory.
pub(crate) const DATABASE: &str = "trainyard.db";
/// The form that this program writes and reads.
pub(super) const FORMAT: u32 = 1;

/// A file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Entry {
    /// Its size.
    pub(crate) bytes: u64,
    /// In hexadecimal.
    pub(crate) sha256: String,
}

/// A backup.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Manifest {
    /// The form of this file.
    pub(crate) format: u32,
    /// The version of the program that wrote it.
    pub(crate) program: String,
    /// When, in Unix seconds.
    pub(crate) taken_at: i64,
    /// Whether the base models are in it.
    pub(crate) base_models: bool,
    /// What the database holds.
    pub(crate) counts: BTreeMap<String, u64>,
    /// Every file by its path.
    pub(crate) files: BTreeMap<String, Entry>,
}

impl Manifest {
    /// Reads the manifest of the backup in `directory`.
    pub(crate) fn read(directory: &Path) -> Result<Self, ClientError> {
        let path = directory.join(MANIFEST);
        let text = match fs::read(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let text =
                    format!("'{}' is no whole backup: it has no {MANIFEST}", directory.display());
                return Err(ClientError::Damaged(text));
            }
            text => text.map_err(ClientError::file(format!("cannot read '{}'", path.display())))?,
        };
        let damaged = |why: String| ClientError::Damaged(format!("'{}': {why}", path.display()));
        let manifest: Self =
            serde_json::from_slice(&text).map_err(|error| damaged(error.to_string()))?;
        if manifest.format != FORMAT {
            let text = format!(
                "'{}' has format {}, this program reads {FORMAT}",
                path.display(),
                manifest.format
            );
            return Err(ClientError::Usage(text));
        }
        if let Some(name) = manifest.files.keys().find(|name| !is_safe(name)) {
            return Err(damaged(format!("'{name}' is no path of a backup's file")));
        }
        if !manifest.files.contains_key(DATABASE) {
            return Err(damaged(format!("it does not name '{DATABASE}'")));
        }
        Ok(manifest)
    }

    /// Writes it, durable when this returns.
    pub(crate) fn write(&self, directory: &Path) -> io::Result<()> {
        let unfinished = directory.join(format!(".{MANIFEST}.part"));
        let mut file = File::create(&unfinished)?;
        file.write_all(&serde_json::to_vec_pretty(self).map_err(io::Error::other)?)?;
        file.sync_all()?;
        fs::rename(&unfinished, directory.join(MANIFEST))?;
        File::open(directory)?.sync_all()
    }
}

/// Whether a path stays below the directory that it is joined to.
pub(crate) fn is_safe(path: &str) -> bool {
    let part =
        |part: &str| !part.is_empty() && !part.starts_with('.') && !part.contains(['\\', '\0']);
    path.split('/').all(part)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_paths_that_stay_inside_are_safe() {
        assert!(is_safe("objects/jobs/a/e1-x/adapter/README.md") && is_safe(DATABASE));
        for wrong in
            ["", "/etc/passwd", "../x", "a/../b", "a//b", "a/.hidden", "a\\b", "a\0b", "a/"]
        {
            assert!(!is_safe(wrong), "{wrong:?}");
        }
    }
}

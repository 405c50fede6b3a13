//! The bootstrap key: made once for a new data directory and shown once, to the terminal or into a file. It never goes
//! to the log.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::net::SocketAddr;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use trainyard_scheduler::Scheduler;

use super::ServeError;
use crate::output;

/// Makes the key where the record has none, and hands it over.
pub(crate) async fn bootstrap(
    scheduler: &Scheduler,
    file: Option<&Path>,
    address: SocketAddr,
) -> Result<(), ServeError> {
    // Opened first: a key that cannot be written would be lost.
    let place = file.map(KeyFile::open).transpose()?;
    let Some(secret) = scheduler.bootstrap_key().await? else {
        return place.map_or(Ok(()), KeyFile::leave);
    };
    match place {
        Some(place) => {
            let path = place.path.clone();
            place.write(&secret)?;
            tracing::info!(file = %path.display(), "wrote the first API key");
        }
        None => {
            let greeting = format!(
                "The first API key, shown this once:\n\n  export OPENAI_BASE_URL=http://{address}/v1 OPENAI_API_KEY={secret}\n"
            );
            output::line(&greeting).map_err(ServeError::ShowKey)?;
        }
    }
    Ok(())
}

/// A file for the key that only its owner reads.
struct KeyFile {
    path: PathBuf,
    file: File,
}

impl KeyFile {
    fn open(path: &Path) -> Result<Self, ServeError> {
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(false).mode(0o600);
        match options.open(path) {
            Ok(file) => Ok(Self { path: path.to_path_buf(), file }),
            Err(source) => Err(ServeError::KeyFile { path: path.to_path_buf(), source }),
        }
    }

    fn write(mut self, secret: &str) -> Result<(), ServeError> {
        let mut write = || -> io::Result<()> {
            self.file.set_permissions(std::fs::Permissions::from_mode(0o600))?;
            self.file.set_len(0)?;
            writeln!(self.file, "{secret}")?;
            self.file.sync_all()
        };
        write().map_err(|source| ServeError::KeyFile { path: self.path.clone(), source })
    }

    /// There is no new key: an older one in the file stays, an empty file goes.
    fn leave(self) -> Result<(), ServeError> {
        let empty = self.file.metadata().is_ok_and(|metadata| metadata.len() == 0);
        match empty.then(|| std::fs::remove_file(&self.path)) {
            Some(Err(source)) => Err(ServeError::KeyFile { path: self.path, source }),
            _ => Ok(()),
        }
    }
}

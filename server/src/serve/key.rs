//! The bootstrap key: made once for a new data directory and shown once, to the terminal or into a file. It never goes
//! to the log.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::net::SocketAddr;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use trainyard_openapi::id::random_base62;
use trainyard_scheduler::Scheduler;

use super::ServeError;
use crate::output;

/// Characters that tell two drafts of one file apart.
const RANDOM_CHARS: usize = 12;

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

/// A file for the key that only its owner reads. It is written beside its place and moved there whole: another process that starts at
/// the same time may have the same place in mind and no key to put there.
struct KeyFile {
    path: PathBuf,
    draft: PathBuf,
    file: File,
}

impl KeyFile {
    fn open(path: &Path) -> Result<Self, ServeError> {
        let random =
            random_base62(RANDOM_CHARS).map_err(|error| ServeError::Random(error.to_string()))?;
        let mut draft = path.as_os_str().to_owned();
        draft.push(format!(".{random}"));
        let draft = PathBuf::from(draft);
        let mut options = OpenOptions::new();
        options.write(true).create_new(true).mode(0o600);
        match options.open(&draft) {
            Ok(file) => Ok(Self { path: path.to_path_buf(), draft, file }),
            Err(source) => Err(ServeError::KeyFile { path: path.to_path_buf(), source }),
        }
    }

    fn write(mut self, secret: &str) -> Result<(), ServeError> {
        let mut write = || -> io::Result<()> {
            writeln!(self.file, "{secret}")?;
            self.file.sync_all()?;
            fs::rename(&self.draft, &self.path)
        };
        write().map_err(|source| ServeError::KeyFile { path: self.path.clone(), source })
    }

    /// There is no new key: what an earlier start left in its place stays.
    fn leave(self) -> Result<(), ServeError> {
        fs::remove_file(&self.draft)
            .map_err(|source| ServeError::KeyFile { path: self.path.clone(), source })
    }
}

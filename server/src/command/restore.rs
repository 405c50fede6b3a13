//! `trainyard restore`: makes a data directory of a backup.
//!
//! Every file is checked on its way; the database comes last. Until all is there a marker lies in the directory, which a
//! server refuses to start on and on which the same command begins anew.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::time::Instant;

use trainyard_plan::trainer;
use trainyard_scheduler::adapter::sqlite::{Inventory, SqliteFile};

use super::backup::{DATABASE, Entry, MANIFEST, Manifest, copy, report, sync_tree};
use crate::client::ClientError;
use crate::exit::Exit;
use crate::serve::DirectoryLock;

/// What lies in a directory that is being restored.
const MARKER: &str = "restore-unfinished";

/// The flags of `restore`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:
  trainyard restore /backups/monday --data-dir /srv/trainyard-again && trainyard serve --data-dir /srv/trainyard-again

Jobs that ran when the backup was taken go on from their last checkpoint when the server starts.")]
pub(crate) struct RestoreArgs {
    /// The backup: what `trainyard backup` made.
    from: PathBuf,
    /// The data directory to make; it has to be missing or empty.
    #[arg(long, value_name = "DIR")]
    data_dir: PathBuf,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// Whether the directory is one that a restore has not come to its end with.
pub(crate) fn is_unfinished(data_dir: &Path) -> bool {
    data_dir.join(MARKER).exists()
}

/// Restores the backup.
pub(crate) async fn run(args: RestoreArgs) -> Result<Exit, ClientError> {
    let RestoreArgs { from, data_dir, json } = args;
    let begun = Instant::now();
    let manifest = Manifest::read(&from)?;
    let failed = || ClientError::file(format!("cannot write '{}'", data_dir.display()));
    if !is_unfinished(&data_dir) && !is_empty(&data_dir).map_err(failed())? {
        let text = format!(
            "'{}' is not empty: name a directory that is missing or empty",
            data_dir.display()
        );
        return Err(ClientError::Usage(text));
    }
    let _lock =
        DirectoryLock::take(&data_dir).map_err(|error| ClientError::Usage(crate::chain(&error)))?;
    File::create(data_dir.join(MARKER)).and_then(|file| file.sync_all()).map_err(failed())?;
    File::open(&data_dir).and_then(|directory| directory.sync_all()).map_err(failed())?;
    if let Err(error) = fill(&from, &data_dir, &manifest) {
        clear(&data_dir).map_err(failed())?;
        return Err(error);
    }
    sync_tree(&data_dir).map_err(failed())?;
    fs::remove_file(data_dir.join(MARKER)).map_err(failed())?;
    File::open(&data_dir).and_then(|directory| directory.sync_all()).map_err(failed())?;
    if !manifest.base_models {
        tracing::warn!(
            "the backup has no base models: put them into '{}' or import them before jobs go on",
            data_dir.join("models").display()
        );
    }
    report(&manifest, &data_dir, begun.elapsed().as_secs_f64(), json)
}

fn is_empty(directory: &Path) -> io::Result<bool> {
    let entries = match fs::read_dir(directory) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(true),
        entries => entries?,
    };
    for entry in entries {
        // A lock alone holds nothing; whether somebody has it is asked later.
        if entry?.file_name() != "lock" {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Copies and checks everything; the database last.
fn fill(from: &Path, to: &Path, manifest: &Manifest) -> Result<(), ClientError> {
    let database = manifest.files.iter().filter(|(path, _)| *path == DATABASE);
    let others = manifest.files.iter().filter(|(path, _)| *path != DATABASE);
    for (path, expected) in others.chain(database) {
        let found = match copy(&from.join(path), &to.join(path)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(damaged(format!("'{path}' is missing")));
            }
            found => found.map_err(ClientError::file(format!("cannot copy '{path}'")))?,
        };
        if found != *expected {
            let Entry { bytes, sha256 } = expected;
            return Err(damaged(format!(
                "'{path}' has {} bytes with SHA-256 {}; {MANIFEST} says {bytes} with {sha256}",
                found.bytes, found.sha256
            )));
        }
    }
    let database = to.join(DATABASE);
    let unfit = |error| damaged(format!("'{DATABASE}': {error}"));
    let file = SqliteFile::open(&database).map_err(unfit)?;
    file.check().map_err(unfit)?;
    let inventory = file.inventory().map_err(unfit)?;
    if inventory.counts != manifest.counts {
        let text = format!(
            "'{DATABASE}' holds {:?}; {MANIFEST} says {:?}",
            inventory.counts, manifest.counts
        );
        return Err(damaged(text));
    }
    complete(to, manifest, &inventory)
}

/// Whether every object that a record names is among the files.
fn complete(to: &Path, manifest: &Manifest, inventory: &Inventory) -> Result<(), ClientError> {
    let mut named: BTreeSet<String> =
        inventory.objects.iter().map(|object| format!("objects/{}", object.key)).collect();
    for directory in &inventory.directories {
        let path = format!("objects/{directory}/manifest.json");
        if manifest.files.contains_key(&path) {
            let text = fs::read(to.join(&path))
                .map_err(ClientError::file(format!("cannot read '{path}'")))?;
            let files: trainer::Manifest = serde_json::from_slice(&text)
                .map_err(|error| damaged(format!("'{path}': {error}")))?;
            named.extend(files.files.keys().map(|name| format!("objects/{directory}/{name}")));
        }
        named.insert(path);
    }
    match named.iter().find(|path| !manifest.files.contains_key(*path)) {
        Some(path) => Err(damaged(format!("a record names '{path}', which {MANIFEST} does not"))),
        None => Ok(()),
    }
}

/// Takes back what was written into a directory that was empty before.
fn clear(directory: &Path) -> io::Result<()> {
    for entry in fs::read_dir(directory)? {
        let path = entry?.path();
        if path.is_dir() {
            fs::remove_dir_all(&path)?;
        } else {
            fs::remove_file(&path)?;
        }
    }
    Ok(())
}

fn damaged(why: String) -> ClientError {
    ClientError::Damaged(format!("the backup is damaged: {why}"))
}

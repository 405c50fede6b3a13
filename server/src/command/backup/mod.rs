//! `trainyard backup`: a copy of a data directory, also while its server runs.
//!
//! The database first: a copy of it as it stood at one moment. Then every object that its records name. Objects are written
//! before the records that name them and never change, so each was there at that moment; one that was deleted meanwhile calls
//! for a newer copy of the database, and what was copied already stays. The manifest with the SHA-256 of each file comes
//! last, and the directory gets its name only then: a backup is whole or it is not there.

mod copy;
mod manifest;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Instant;

use indicatif::{ProgressBar, ProgressStyle};
use serde_json::json;
use trainyard_plan::trainer;
use trainyard_scheduler::adapter::sqlite::{Inventory, NamedObject, SqliteFile};
use trainyard_scheduler::adapter::without_password;
use trainyard_scheduler::clock::{Clock, SystemClock};
use trainyard_scheduler::port::store::StoreError;

use crate::client::ClientError;
use crate::config::{self, Layers, Storage};
use crate::exit::Exit;
use crate::output;
use crate::serve::DirectoryLock;
pub(crate) use copy::{copy, sync_tree};
pub(crate) use manifest::{DATABASE, Entry, MANIFEST, Manifest, is_safe};

/// Copies of the database that are taken before the backup gives up: each time an object was deleted at that very moment.
const SNAPSHOTS_MAX: u32 = 10;

/// The flags of `backup`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  trainyard backup --data-dir /srv/trainyard --out /backups/monday
  trainyard backup --data-dir /srv/trainyard --out /backups/tuesday --link-from /backups/monday --with-models

The server may run meanwhile. A backup that was interrupted goes on when the command is given again.
`trainyard restore` makes a data directory of it; `trainyard audit verify --data-dir` reads its audit log.")]
pub(crate) struct BackupArgs {
    /// The directory to make; its parent has to be there.
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Copy the base models too. They can be imported again, so this is not done by itself.
    #[arg(long)]
    with_models: bool,
    /// An earlier backup on the same file system: what it has already is linked and takes no space.
    #[arg(long, value_name = "DIR")]
    link_from: Option<PathBuf>,
    /// Print JSON.
    #[arg(long)]
    json: bool,
    /// Configuration file [default: trainyard.toml where it exists].
    #[arg(long, value_name = "FILE", env = "TRAINYARD_CONFIG")]
    config: Option<PathBuf>,
    /// Where the server keeps its objects, if its configuration file does not say it [default: as `serve` has it].
    #[arg(long, value_name = "URL", env = "TRAINYARD_OBJECTS")]
    objects: Option<String>,
    #[command(flatten)]
    place: config::PlaceLayer,
}

/// Makes the backup.
pub(crate) async fn run(args: BackupArgs) -> Result<Exit, ClientError> {
    let BackupArgs { out, with_models, link_from, json, config, objects, place } = args;
    let begun = Instant::now();
    let layers = Layers::of_place(place).with_objects(objects);
    let config = config::load(config::Mode::Serve, layers, config.as_deref());
    let storage = config.map_err(|error| ClientError::Usage(crate::chain(&error)))?.storage;
    if out.exists() {
        return Err(ClientError::Usage(format!("'{}' is there already", out.display())));
    }
    let partial = partial(&out)?;
    let lock = DirectoryLock::take(&partial).map_err(|e| ClientError::Usage(crate::chain(&e)))?;
    let mut backup = Backup::new(&storage, &partial, link_from)?;
    let (inventory, mut files) = backup.database_and_objects(&storage)?;
    if with_models {
        backup.models(&storage.models_dir(), &mut files)?;
    }
    backup.bar.finish_and_clear();
    prune(&partial, &files)?;
    let manifest = Manifest {
        format: manifest::FORMAT,
        program: env!("CARGO_PKG_VERSION").to_string(),
        taken_at: SystemClock.now_ms() / 1000,
        base_models: with_models,
        counts: inventory.counts,
        files,
    };
    let failed = || ClientError::file(format!("cannot write '{}'", partial.display()));
    sync_tree(&partial).map_err(failed())?;
    manifest.write(&partial).map_err(failed())?;
    drop(lock);
    fs::remove_file(partial.join("lock")).map_err(failed())?;
    fs::rename(&partial, &out).map_err(failed())?;
    fs::File::open(parent(&out)).and_then(|dir| dir.sync_all()).map_err(failed())?;
    report(&manifest, &out, begun.elapsed().as_secs_f64(), json)
}

/// Says what was backed up or restored.
pub(crate) fn report(
    manifest: &Manifest,
    directory: &Path,
    seconds: f64,
    json: bool,
) -> Result<Exit, ClientError> {
    let bytes: u64 = manifest.files.values().map(|entry| entry.bytes).sum();
    if json {
        output::json(&json!({
            "directory": directory, "files": manifest.files.len(), "bytes": bytes, "taken_at": manifest.taken_at,
            "base_models": manifest.base_models, "counts": manifest.counts, "seconds": seconds,
        }))?;
        return Ok(Exit::Done);
    }
    let mut fields = vec![
        ("directory", directory.display().to_string()),
        ("taken (UTC)", output::time(manifest.taken_at)),
        ("files", format!("{} ({})", manifest.files.len(), output::bytes(bytes))),
        ("base models", if manifest.base_models { "yes" } else { "no" }.to_string()),
    ];
    fields.extend(manifest.counts.iter().map(|(name, n)| (name.as_str(), n.to_string())));
    output::fields(&fields)?;
    Ok(Exit::Done)
}

/// A backup under way.
struct Backup {
    objects: PathBuf,
    partial: PathBuf,
    /// An earlier backup and what it has.
    earlier: Option<(PathBuf, Manifest)>,
    /// What was copied, by path in the backup.
    copied: BTreeMap<String, Entry>,
    bar: ProgressBar,
}

/// Why an object is not in the backup.
enum NotCopied {
    /// It was deleted after the database was copied.
    Gone(String),
    /// Anything else; boxed, because it is large and rare.
    Failed(Box<ClientError>),
}

impl From<ClientError> for NotCopied {
    fn from(error: ClientError) -> Self {
        Self::Failed(Box::new(error))
    }
}

impl Backup {
    fn new(
        storage: &Storage,
        partial: &Path,
        earlier: Option<PathBuf>,
    ) -> Result<Self, ClientError> {
        let url = storage.objects_url();
        let objects = url.strip_prefix("file:").map(PathBuf::from).ok_or_else(|| {
            ClientError::Usage(format!(
                "objects '{url}': a backup copies those of file:PATH alone; keep a bucket by its server's means (replication, versions) and the database '{}' by SQLite's (.backup), the database first",
                storage.store_url()
            ))
        })?;
        let earlier =
            earlier.map(|path| Ok::<_, ClientError>((path.clone(), Manifest::read(&path)?)));
        let bar = ProgressBar::no_length();
        if let Ok(style) = ProgressStyle::with_template("{spinner} {pos} files  {msg}") {
            bar.set_style(style);
        }
        let (partial, copied) = (partial.to_path_buf(), BTreeMap::new());
        Ok(Self { objects, partial, earlier: earlier.transpose()?, copied, bar })
    }

    /// Copies the database and what it names; again where something was deleted meanwhile.
    fn database_and_objects(
        &mut self,
        storage: &Storage,
    ) -> Result<(Inventory, BTreeMap<String, Entry>), ClientError> {
        let url = storage.store_url();
        let source = url.strip_prefix("sqlite:").map(PathBuf::from).ok_or_else(|| {
            let url = without_password(&url);
            ClientError::Usage(format!("store '{url}': only sqlite:PATH can be backed up"))
        })?;
        let target = self.partial.join(DATABASE);
        let mut gone = String::new();
        for _ in 0..SNAPSHOTS_MAX {
            let _ = fs::remove_file(&target);
            let failed = |error: StoreError| match error {
                StoreError::Corrupt(_) => {
                    ClientError::Damaged(format!("'{}': {error}", source.display()))
                }
                _ => ClientError::Usage(format!("'{}': {error}", source.display())),
            };
            SqliteFile::open(&source).and_then(|file| file.snapshot(&target)).map_err(failed)?;
            let inventory =
                SqliteFile::open(&target).and_then(|file| file.inventory()).map_err(failed)?;
            match self.named(&inventory) {
                Ok(mut files) => {
                    let entry = copy::entry_of(&target).map_err(ClientError::file(format!(
                        "cannot read '{}'",
                        target.display()
                    )))?;
                    files.insert(DATABASE.to_string(), entry);
                    return Ok((inventory, files));
                }
                Err(NotCopied::Gone(key)) => gone = key,
                Err(NotCopied::Failed(error)) => return Err(*error),
            }
        }
        Err(ClientError::Damaged(format!(
            "the database names the object '{gone}', which is not in '{}'",
            self.objects.display()
        )))
    }

    /// Copies every object that the database names; gives what belongs to the backup.
    fn named(&mut self, inventory: &Inventory) -> Result<BTreeMap<String, Entry>, NotCopied> {
        let mut files = BTreeMap::new();
        for NamedObject { key, sha256 } in &inventory.objects {
            files.insert(format!("objects/{key}"), self.object(key, sha256.as_deref())?);
        }
        for directory in &inventory.directories {
            let key = format!("{directory}/manifest.json");
            let path = format!("objects/{key}");
            files.insert(path.clone(), self.object(&key, None)?);
            let text = fs::read(self.partial.join(&path))
                .map_err(ClientError::file(format!("cannot read '{path}'")))?;
            let manifest: trainer::Manifest = serde_json::from_slice(&text)
                .map_err(|error| ClientError::Damaged(format!("object '{key}': {error}")))?;
            for (name, entry) in &manifest.files {
                let key = format!("{directory}/{name}");
                files.insert(format!("objects/{key}"), self.object(&key, Some(&entry.sha256))?);
            }
        }
        Ok(files)
    }

    fn object(&mut self, key: &str, sha256: Option<&str>) -> Result<Entry, NotCopied> {
        let path = format!("objects/{key}");
        if let Some(entry) = self.copied.get(&path) {
            return Ok(entry.clone());
        }
        if !is_safe(key) {
            return Err(ClientError::Damaged(format!("the database names '{key}': no key")).into());
        }
        let entry = match self.kept(&path, sha256) {
            Some(entry) => entry,
            None => match copy(&self.objects.join(key), &self.partial.join(&path)) {
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                    return Err(NotCopied::Gone(key.to_string()));
                }
                copied => {
                    copied.map_err(ClientError::file(format!("cannot copy object '{key}'")))?
                }
            },
        };
        if let Some(expected) = sha256.filter(|expected| *expected != entry.sha256) {
            let text = format!(
                "the object '{key}' has SHA-256 {}, recorded is {expected}: it was changed after it was written",
                entry.sha256
            );
            return Err(ClientError::Damaged(text).into());
        }
        self.progress(&path, &entry);
        Ok(entry)
    }

    /// What an interrupted run copied, or an earlier backup has: looked at whole before it is taken.
    fn kept(&self, path: &str, sha256: Option<&str>) -> Option<Entry> {
        let target = self.partial.join(path);
        let good =
            |path: &Path| copy::entry_of(path).ok().filter(|e| Some(e.sha256.as_str()) == sha256);
        if let Some(entry) = good(&target) {
            return Some(entry);
        }
        let (directory, manifest) = self.earlier.as_ref()?;
        manifest.files.get(path)?;
        let entry = good(&directory.join(path))?;
        fs::create_dir_all(target.parent()?).ok()?;
        // Another file system, or half a file of an interrupted run: it is copied then.
        fs::hard_link(directory.join(path), &target).ok().map(|()| entry)
    }

    /// Copies the directories of base models. What is hidden is an import that has not ended.
    fn models(
        &mut self,
        models: &Path,
        files: &mut BTreeMap<String, Entry>,
    ) -> Result<(), ClientError> {
        let mut open = vec![(models.to_path_buf(), "models".to_string())];
        while let Some((directory, path)) = open.pop() {
            let failed = || ClientError::file(format!("cannot read '{}'", directory.display()));
            for entry in fs::read_dir(&directory).map_err(failed())? {
                let entry = entry.map_err(failed())?;
                let name = entry.file_name().into_string().map_err(|name| {
                    ClientError::Usage(format!("'{}' is no name in UTF-8", name.display()))
                })?;
                let (source, path) = (entry.path(), format!("{path}/{name}"));
                if name.starts_with('.') {
                    continue;
                } else if source.is_dir() {
                    open.push((source, path));
                } else {
                    let copied = copy(&source, &self.partial.join(&path));
                    let copied = copied.map_err(ClientError::file(format!(
                        "cannot copy '{}'",
                        source.display()
                    )))?;
                    self.progress(&path, &copied);
                    files.insert(path, copied);
                }
            }
        }
        Ok(())
    }

    fn progress(&mut self, path: &str, entry: &Entry) {
        self.copied.insert(path.to_string(), entry.clone());
        self.bar.inc(1);
        let bytes: u64 = self.copied.values().map(|entry| entry.bytes).sum();
        self.bar.set_message(output::bytes(bytes));
    }
}

/// Removes what was copied and is named no more: it was deleted, and shall not come back.
fn prune(partial: &Path, files: &BTreeMap<String, Entry>) -> Result<(), ClientError> {
    let failed = || ClientError::file(format!("cannot clear '{}'", partial.display()));
    for path in copy::walk(partial).map_err(failed())? {
        if path != "lock" && !files.contains_key(&path) {
            fs::remove_file(partial.join(&path)).map_err(failed())?;
        }
    }
    Ok(())
}

/// Where a backup grows until it is whole: beside its place.
fn partial(out: &Path) -> Result<PathBuf, ClientError> {
    let name = out.file_name().and_then(|name| name.to_str());
    let name =
        name.ok_or_else(|| ClientError::Usage(format!("'{}' names no directory", out.display())))?;
    if !parent(out).is_dir() {
        return Err(ClientError::Usage(format!("'{}' is no directory", parent(out).display())));
    }
    Ok(out.with_file_name(format!("{name}.partial")))
}

fn parent(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

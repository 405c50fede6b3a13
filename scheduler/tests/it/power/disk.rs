//! A directory of which only what was synced outlives a power cut.

use std::collections::HashMap;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

/// The directory, and the book of what was synced of it.
pub(crate) struct Disk {
    place: TempDir,
}

impl Disk {
    /// A disk with nothing on it.
    pub(crate) fn empty() -> Self {
        let place = TempDir::new().unwrap();
        fs::create_dir(place.path().join("root")).unwrap();
        fs::create_dir(place.path().join("book")).unwrap();
        Self { place }
    }

    /// What a process writes to.
    pub(crate) fn root(&self) -> PathBuf {
        self.place.path().join("root")
    }

    /// Where the syncs are written down.
    pub(crate) fn book(&self) -> PathBuf {
        self.place.path().join("book")
    }

    /// All that is on it becomes durable, as it does when nobody has written for a while.
    pub(crate) fn settle(&self) {
        self.write_down(&self.root());
    }

    /// The disk as it is found when the power is back. All that is on it is durable.
    pub(crate) fn after_the_cut(&self) -> Self {
        let next = Self::empty();
        self.restore(fs::metadata(self.root()).unwrap().ino(), &next.root());
        next.settle();
        next
    }

    /// Makes the directory that had the inode `ino` anew at `target`.
    fn restore(&self, ino: u64, target: &Path) {
        let names = fs::read_to_string(self.book().join(format!("names-{ino}")));
        for line in names.unwrap_or_default().lines() {
            let mut parts = line.splitn(3, ' ');
            let mut part = || parts.next().unwrap();
            let (kind, ino, name) = (part(), part(), part());
            let target = target.join(name);
            if kind == "d" {
                fs::create_dir(&target).unwrap();
                self.restore(ino.parse().unwrap(), &target);
            } else {
                // A name that was synced before its content is there, and empty.
                let content = fs::read(self.book().join(format!("file-{ino}")));
                fs::write(&target, content.unwrap_or_default()).unwrap();
            }
        }
    }

    fn write_down(&self, directory: &Path) {
        let mut names = HashMap::new();
        for entry in fs::read_dir(directory).unwrap() {
            let entry = entry.unwrap();
            let (about, path) = (entry.metadata().unwrap(), entry.path());
            let kind = if about.is_dir() { 'd' } else { 'f' };
            names.insert(entry.file_name().into_string().unwrap(), (kind, about.ino()));
            if about.is_dir() {
                self.write_down(&path);
            } else {
                fs::copy(&path, self.book().join(format!("file-{}", about.ino()))).unwrap();
            }
        }
        let lines: String =
            names.iter().map(|(name, (kind, ino))| format!("{kind} {ino} {name}\n")).collect();
        let ino = fs::metadata(directory).unwrap().ino();
        fs::write(self.book().join(format!("names-{ino}")), lines).unwrap();
    }
}

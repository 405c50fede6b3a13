//! Where a process writes files before they have their name: a directory of its own, beside a lock that goes with the process. Others on
//! the same objects remove what a dead one left, and nothing of one that lives.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use trainyard_openapi::id::random_base62;

/// No key can reach it.
const DIRECTORY: &str = ".writing";
/// Held while a process begins, so that none takes another's new directory for a dead one's.
const GATE: &str = "gate";
/// The lock of the directory `NAME` is `NAME.lock`.
const LOCK: &str = "lock";
/// Characters of a name.
const NAME_CHARS: usize = 24;

/// The directory of this process.
#[derive(Debug)]
pub(super) struct Drafts {
    path: PathBuf,
    #[expect(dead_code, reason = "held for its lock")]
    lock: File,
}

impl Drafts {
    /// Makes one below `root`, and removes those of dead processes.
    pub(super) fn open(root: &Path) -> io::Result<Self> {
        let all = root.join(DIRECTORY);
        fs::create_dir_all(&all)?;
        let gate = lockable(&all.join(GATE))?;
        gate.lock()?;
        clear(&all)?;
        let name = random_base62(NAME_CHARS).map_err(io::Error::other)?;
        let path = all.join(&name);
        let lock = lockable(&path.with_extension(LOCK))?;
        lock.lock()?;
        fs::create_dir(&path)?;
        Ok(Self { path, lock })
    }

    /// A path that nobody else writes to.
    pub(super) fn new_path(&self) -> io::Result<PathBuf> {
        Ok(self.path.join(random_base62(NAME_CHARS).map_err(io::Error::other)?))
    }
}

/// Removes what no living process holds: directories whose lock is free, and files of the time when there was one directory for all.
fn clear(all: &Path) -> io::Result<()> {
    for entry in fs::read_dir(all)? {
        let (path, kind) = entry.and_then(|entry| Ok((entry.path(), entry.file_type()?)))?;
        if kind.is_dir() {
            let lock_path = path.with_extension(LOCK);
            let lock = lockable(&lock_path)?;
            match lock.try_lock() {
                Ok(()) => {}
                Err(TryLockError::WouldBlock) => continue,
                Err(TryLockError::Error(error)) => return Err(error),
            }
            fs::remove_dir_all(&path)?;
            fs::remove_file(&lock_path)?;
        } else if path.extension().is_none() && !path.ends_with(GATE) {
            match fs::remove_file(&path) {
                Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
    }
    Ok(())
}

fn lockable(path: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_dead_left_goes_and_what_the_living_write_stays() {
        let root = tempfile::tempdir().unwrap();
        let (dead, living) =
            (Drafts::open(root.path()).unwrap(), Drafts::open(root.path()).unwrap());
        let [left, kept] = [&dead, &living].map(|drafts| drafts.new_path().unwrap());
        let old = root.path().join(DIRECTORY).join("0123456789");
        for path in [&left, &kept, &old] {
            fs::write(path, "half").unwrap();
        }
        drop(dead);
        let next = Drafts::open(root.path()).unwrap();
        assert!(!left.exists() && !old.exists());
        assert_eq!(fs::read_to_string(&kept).unwrap(), "half");
        fs::write(next.new_path().unwrap(), "whole").unwrap();
        assert_eq!(
            fs::read_dir(root.path().join(DIRECTORY)).unwrap().count(),
            5,
            "two and the gate"
        );
    }
}

//! Objects as files of a directory.
//!
//! An object is written beside its place, fsynced, and linked under its name, which fails where the name is taken: two writers of a
//! key never mix, and a name is never seen half-written. The directories are fsynced too.

mod drafts;

use std::fs;
use std::io::{self, ErrorKind, Read, Seek, SeekFrom, Write};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::{self, BoxStream, StreamExt};

use crate::port::objects::{ObjectError, ObjectWriter, Objects, check_key};
use drafts::Drafts;

/// The layout of the directory: one file a key, under the key's own name. Its number stands in a file that no key can reach.
const LAYOUT: &str = "1";
const LAYOUT_FILE: &str = ".version";
/// Bytes of a piece when reading: large enough for full speed, small beside a thousand readers.
const PIECE_BYTES: u64 = 256 * 1024;
/// The system's number for a medium that cannot be read; it has no kind of its own.
const EIO: i32 = 5;
/// Times that a name is given anew after its directory vanished: each time means a deletion at that very moment.
const PUBLISH_TRIES: u32 = 100;

/// A directory of objects.
#[derive(Debug, Clone)]
pub struct FsObjects {
    root: PathBuf,
    drafts: Arc<Drafts>,
}

impl FsObjects {
    /// Opens `root`, making it where it is not there. What a dead process left half-written is removed; others that live may have it open.
    ///
    /// # Errors
    /// Where the directory cannot be made, or has a layout of another version.
    pub fn open(root: &Path) -> io::Result<Self> {
        check_layout(root)?;
        let drafts = Arc::new(Drafts::open(root)?);
        write_layout(root, &drafts.new_path()?)?;
        // Its own name too: objects that are durable in a directory that is not would be lost with it.
        if let Some(parent) = std::path::absolute(root)?.parent() {
            sync_dir(parent)?;
        }
        Ok(Self { root: root.to_path_buf(), drafts })
    }

    fn path(&self, key: &str) -> Result<PathBuf, ObjectError> {
        check_key(key)?;
        Ok(self.root.join(key))
    }
}

#[async_trait]
impl Objects for FsObjects {
    async fn create(&self, key: &str) -> Result<Box<dyn ObjectWriter>, ObjectError> {
        let (path, key, root) = (self.path(key)?, key.to_string(), self.root.clone());
        let drafts = Arc::clone(&self.drafts);
        blocking(move || {
            let temporary = drafts.new_path().map_err(|error| explain(&key, &error))?;
            let file = fs::File::create_new(&temporary).map_err(|error| explain(&key, &error))?;
            Ok(Box::new(FsWriter { key, path, root, temporary, file: Some(file), bytes: 0 })
                as Box<dyn ObjectWriter>)
        })
        .await
    }

    async fn put_file(&self, key: &str, source: &Path) -> Result<u64, ObjectError> {
        let mut writer = self.create(key).await?;
        let path = source.to_path_buf();
        blocking(move || fs::metadata(&path).map_err(|error| local(&path, &error))).await?;
        let mut pieces = pieces(source.to_path_buf(), 0..u64::MAX, key.to_string());
        while let Some(piece) = pieces.next().await {
            writer.write(piece?).await?;
        }
        writer.finish().await
    }

    async fn get_file(&self, key: &str, target: &Path) -> Result<u64, ObjectError> {
        let (source, target, key) = (self.path(key)?, target.to_path_buf(), key.to_string());
        blocking(move || {
            let mut from = fs::File::open(&source).map_err(|error| explain(&key, &error))?;
            let mut to = fs::File::create_new(&target).map_err(|error| local(&target, &error))?;
            let mut copy = || -> io::Result<u64> {
                let bytes = io::copy(&mut from, &mut to)?;
                to.sync_all()?;
                target.parent().map_or(Ok(()), sync_dir)?;
                Ok(bytes)
            };
            copy().map_err(|error| {
                // Half a file would pass for a whole one.
                let _ = fs::remove_file(&target);
                local(&target, &error)
            })
        })
        .await
    }

    async fn read(
        &self,
        key: &str,
        range: Option<Range<u64>>,
    ) -> Result<(u64, BoxStream<'static, Result<Bytes, ObjectError>>), ObjectError> {
        let size = self.size(key).await?;
        let range = range.unwrap_or(0..size);
        Ok((size, pieces(self.path(key)?, range, key.to_string())))
    }

    async fn size(&self, key: &str) -> Result<u64, ObjectError> {
        let (path, key) = (self.path(key)?, key.to_string());
        blocking(move || {
            let metadata = fs::metadata(path).map_err(|error| explain(&key, &error))?;
            if metadata.is_file() { Ok(metadata.len()) } else { Err(ObjectError::NotFound(key)) }
        })
        .await
    }

    async fn list(&self, prefix: &str) -> Result<Vec<String>, ObjectError> {
        let (path, root) = (self.path(prefix.trim_end_matches('/'))?, self.root.clone());
        blocking(move || {
            let mut keys = Vec::new();
            walk(&root, &path, &mut keys).map_err(|error| ObjectError::Other(error.to_string()))?;
            keys.sort();
            Ok(keys)
        })
        .await
    }

    async fn delete(&self, key: &str) -> Result<(), ObjectError> {
        let (path, root, key) = (self.path(key)?, self.root.clone(), key.to_string());
        blocking(move || {
            match fs::remove_file(&path).map_err(|error| explain(&key, &error)) {
                Ok(()) | Err(ObjectError::NotFound(_)) => {}
                Err(error) => return Err(error),
            }
            // Directories that are empty now go too, as far as they do.
            let mut parent = path.parent();
            while let Some(directory) = parent.filter(|directory| *directory != root) {
                if fs::remove_dir(directory).is_err() {
                    break;
                }
                parent = directory.parent();
            }
            Ok(())
        })
        .await
    }
}

/// Refuses a directory whose layout this program does not know, before anything in it is touched. One without a number is new, or
/// of the first version, which wrote none.
fn check_layout(root: &Path) -> io::Result<()> {
    let path = root.join(LAYOUT_FILE);
    let found = match fs::read_to_string(&path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        found => found?,
    };
    if found.trim() == LAYOUT {
        return Ok(());
    }
    let found: String = found.trim().chars().take(20).collect();
    Err(io::Error::other(format!(
        "the objects in {} have layout version {found}, this program knows {LAYOUT}; use a newer program",
        root.display()
    )))
}

fn write_layout(root: &Path, partial: &Path) -> io::Result<()> {
    let path = root.join(LAYOUT_FILE);
    if path.exists() {
        return Ok(());
    }
    let mut file = fs::File::create(partial)?;
    file.write_all(LAYOUT.as_bytes())?;
    file.sync_all()?;
    fs::rename(partial, &path)?;
    sync_dir(root)
}

/// An object being written.
struct FsWriter {
    key: String,
    path: PathBuf,
    root: PathBuf,
    temporary: PathBuf,
    file: Option<fs::File>,
    bytes: u64,
}

#[async_trait]
impl ObjectWriter for FsWriter {
    async fn write(&mut self, bytes: Bytes) -> Result<(), ObjectError> {
        let Some(mut file) = self.file.take() else {
            return Err(ObjectError::Other(format!("'{}' failed before", self.key)));
        };
        let key = self.key.clone();
        self.bytes += bytes.len() as u64;
        let file = blocking(move || {
            file.write_all(&bytes).map_err(|error| explain(&key, &error))?;
            Ok(file)
        });
        self.file = Some(file.await?);
        Ok(())
    }

    async fn finish(mut self: Box<Self>) -> Result<u64, ObjectError> {
        let Some(file) = self.file.take() else {
            return Err(ObjectError::Other(format!("'{}' failed before", self.key)));
        };
        let (key, path, root) = (self.key.clone(), self.path.clone(), self.root.clone());
        let temporary = self.temporary.clone();
        blocking(move || {
            let parent = path.parent().unwrap_or(&root);
            let publish = || -> io::Result<()> {
                match fs::create_dir_all(parent) {
                    // There, and gone before it could be looked at: the link tells.
                    Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
                    made => made?,
                }
                fs::hard_link(&temporary, &path)
            };
            let durable = || -> io::Result<()> {
                file.sync_all()?;
                // A deletion beside this may remove the directory while it is empty.
                let mut published = publish();
                for _ in 1..PUBLISH_TRIES {
                    match &published {
                        Err(error) if error.kind() == ErrorKind::NotFound => published = publish(),
                        _ => break,
                    }
                }
                published?;
                sync_dirs(&root, parent)
            };
            durable().map_err(|error| explain(&key, &error))
        })
        .await?;
        Ok(self.bytes)
    }
}

impl Drop for FsWriter {
    fn drop(&mut self) {
        // The name stays where it was given; where it was not, nothing is left.
        let _ = fs::remove_file(&self.temporary);
    }
}

/// A file's bytes in order, read by blocking threads.
fn pieces(
    path: PathBuf,
    range: Range<u64>,
    key: String,
) -> BoxStream<'static, Result<Bytes, ObjectError>> {
    stream::try_unfold((None::<fs::File>, range), move |(file, range)| {
        let (path, key) = (path.clone(), key.clone());
        blocking(move || {
            let read = || -> io::Result<(fs::File, Vec<u8>)> {
                let mut file = match file {
                    Some(file) => file,
                    None => {
                        let mut file = fs::File::open(&path)?;
                        file.seek(SeekFrom::Start(range.start))?;
                        file
                    }
                };
                let mut piece = Vec::new();
                let want = PIECE_BYTES.min(range.end.saturating_sub(range.start));
                (&mut file).take(want).read_to_end(&mut piece)?;
                Ok((file, piece))
            };
            let (file, piece) = read().map_err(|error| explain(&key, &error))?;
            if piece.is_empty() {
                return Ok(None);
            }
            let rest = range.start + piece.len() as u64..range.end;
            Ok(Some((Bytes::from(piece), (Some(file), rest))))
        })
    })
    .boxed()
}

fn walk(root: &Path, path: &Path, keys: &mut Vec<String>) -> io::Result<()> {
    let entries = match fs::read_dir(path) {
        Ok(entries) => entries,
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
            return Ok(());
        }
        Err(error) => return Err(error),
    };
    for entry in entries {
        let path = entry?.path();
        if path.is_dir() {
            walk(root, &path, keys)?;
        } else if let Some(key) = path.strip_prefix(root).ok().and_then(Path::to_str) {
            keys.push(key.to_string());
        }
    }
    Ok(())
}

/// Makes the names on the way from `directory` up to `root` durable. Each time anew: who made a directory may not have
/// come to that before it was killed.
fn sync_dirs(root: &Path, directory: &Path) -> io::Result<()> {
    let inside = |path: &&Path| path.starts_with(root);
    directory.ancestors().take_while(inside).try_for_each(sync_dir)
}

pub(super) fn sync_dir(path: &Path) -> io::Result<()> {
    fs::File::open(path)?.sync_all()
}

fn explain(key: &str, error: &io::Error) -> ObjectError {
    match error.kind() {
        // Below a file there is nothing either.
        ErrorKind::NotFound | ErrorKind::NotADirectory => ObjectError::NotFound(key.to_string()),
        ErrorKind::AlreadyExists => ObjectError::Exists(key.to_string()),
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => ObjectError::NoSpace,
        ErrorKind::PermissionDenied => ObjectError::Unreadable(format!("'{key}': {error}")),
        _ if error.raw_os_error() == Some(EIO) => {
            ObjectError::Unreadable(format!("'{key}': {error}"))
        }
        _ => ObjectError::Other(format!("'{key}': {error}")),
    }
}

/// What is wrong with a file that is no object.
pub(super) fn local(path: &Path, error: &io::Error) -> ObjectError {
    match error.kind() {
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => ObjectError::NoSpace,
        _ => ObjectError::Other(format!("{}: {error}", path.display())),
    }
}

pub(super) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, ObjectError> + Send + 'static,
) -> Result<T, ObjectError> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(|error| ObjectError::Other(error.to_string()))?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_system_refuses_is_told_apart() {
        let of = |number| explain("files/a", &io::Error::from_raw_os_error(number));
        assert!(matches!(of(28), ObjectError::NoSpace), "ENOSPC");
        assert!(matches!(of(13), ObjectError::Unreadable(_)), "EACCES");
        assert!(matches!(of(EIO), ObjectError::Unreadable(_)), "EIO");
        assert!(matches!(of(2), ObjectError::NotFound(_)), "ENOENT");
        assert!(matches!(of(24), ObjectError::Other(_)), "EMFILE");
    }
}

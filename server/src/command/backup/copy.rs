//! Copying files so that they are whole, durable and hashed.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::Path;

use sha2::{Digest, Sha256};

use super::manifest::Entry;

/// Bytes read at once.
const PIECE_BYTES: usize = 256 * 1024;

/// Copies a file; nothing is under the target's name before all of it is durable.
pub(crate) fn copy(source: &Path, target: &Path) -> io::Result<Entry> {
    let from = File::open(source)?;
    let parent = target.parent().unwrap_or(Path::new("."));
    fs::create_dir_all(parent)?;
    let name = target.file_name().and_then(|name| name.to_str()).unwrap_or("file");
    // No key begins with a dot.
    let unfinished = target.with_file_name(format!(".{name}.part"));
    let mut to = File::create(&unfinished)?;
    let entry = hashed(from, |piece| to.write_all(piece))?;
    to.sync_all()?;
    fs::rename(&unfinished, target)?;
    Ok(entry)
}

/// Size and SHA-256 of a file.
pub(crate) fn entry_of(path: &Path) -> io::Result<Entry> {
    hashed(File::open(path)?, |_| Ok(()))
}

fn hashed(mut from: File, mut sink: impl FnMut(&[u8]) -> io::Result<()>) -> io::Result<Entry> {
    let (mut digest, mut bytes, mut piece) = (Sha256::new(), 0, vec![0; PIECE_BYTES]);
    loop {
        let read = match from.read(&mut piece) {
            Ok(0) => return Ok(Entry { bytes, sha256: hex::encode(digest.finalize()) }),
            Ok(read) => read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        digest.update(&piece[..read]);
        sink(&piece[..read])?;
        bytes += read as u64;
    }
}

/// Every file below `root`, by its path from there.
pub(crate) fn walk(root: &Path) -> io::Result<Vec<String>> {
    let (mut open, mut files) = (vec![root.to_path_buf()], Vec::new());
    while let Some(directory) = open.pop() {
        for entry in fs::read_dir(&directory)? {
            let path = entry?.path();
            if path.is_dir() {
                open.push(path);
            } else if let Some(name) = path.strip_prefix(root).ok().and_then(Path::to_str) {
                files.push(name.to_string());
            }
        }
    }
    Ok(files)
}

/// Makes every name below `root` durable; the files' contents are.
pub(crate) fn sync_tree(root: &Path) -> io::Result<()> {
    for entry in fs::read_dir(root)? {
        let path = entry?.path();
        if path.is_dir() {
            sync_tree(&path)?;
        }
    }
    File::open(root)?.sync_all()
}

//! A redis-server that can lose its power: what no fsync covered is gone then (`synced.c` keeps book). A kill alone would show
//! nothing, because the kernel keeps what a dead process has written.

use std::fs::{self, File};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use trainyard_tests::redis::{self, Settings};

/// A server with the book of what it synced.
#[derive(Debug)]
pub struct Redis {
    /// The server itself.
    pub server: redis::Redis,
    /// The book: a file for each file of the log, named by its inode.
    synced: PathBuf,
}

impl Redis {
    /// Starts one below `directory` that syncs its log as `appendfsync` says: `always`, `everysec` or `no`.
    ///
    /// # Panics
    /// Where none starts.
    pub fn start(directory: &Path, appendfsync: &'static str) -> Self {
        let (synced, library) = (directory.join("synced"), directory.join("synced.so"));
        fs::create_dir(&synced).expect("a directory");
        let source = concat!(env!("CARGO_MANIFEST_DIR"), "/src/services/synced.c");
        let mut compile = Command::new("cc");
        compile.args(["-shared", "-fPIC", "-O1", "-o"]).arg(&library).arg(source);
        assert!(compile.status().expect("a C compiler").success());
        let settings = Settings {
            appendfsync,
            // One file that only grows: its synced part is its beginning.
            args: ["--auto-aof-rewrite-percentage", "0"].map(String::from).to_vec(),
            environment: vec![("LD_PRELOAD", library), ("SYNCED", synced.clone())],
        };
        Self { server: redis::Redis::start_with(directory, settings), synced }
    }

    /// Takes what no fsync covered from the log of a killed server; gives how many bytes that was.
    ///
    /// # Panics
    /// Where the log or its book cannot be read.
    pub fn forget_unsynced(&self) -> u64 {
        let mut lost = 0;
        for entry in fs::read_dir(self.server.directory().join("appendonlydir")).expect("the log") {
            let path = entry.expect("an entry").path();
            // The base and the manifest were made, and synced, at the first start.
            if !path.to_string_lossy().ends_with(".incr.aof") {
                continue;
            }
            let about = fs::metadata(&path).expect("the log");
            let book = self.synced.join(about.ino().to_string());
            // A file that was never synced has no entry.
            let covered: u64 =
                fs::read_to_string(book).map_or(0, |text| text.trim().parse().expect("a size"));
            if covered < about.len() {
                lost += about.len() - covered;
                let file = File::options().write(true).open(&path).expect("the log");
                file.set_len(covered).expect("cut");
            }
        }
        lost
    }
}

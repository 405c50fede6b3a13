//! What the service has promised, written down where it outlives everything: one line for each answer of success, on the disk
//! before anybody counts on it.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use serde::Serialize;

/// What was acknowledged.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case", tag = "what")]
pub enum Entry {
    /// A job was made, or found, under a key.
    Submitted {
        /// The client's key.
        key: String,
        /// The job's seed, which is its own.
        seed: u64,
        /// Its id.
        job: String,
    },
    /// A request that is right was refused.
    Refused {
        /// The client's key.
        key: String,
        /// What was said.
        answer: String,
    },
    /// The owner is about to ask that a job ends: it may, whatever comes of the answers.
    Unwanted {
        /// Its id.
        job: String,
    },
    /// A job will end by the owner's wish.
    Cancelled {
        /// Its id.
        job: String,
    },
    /// The last claim of a job is the agent's whose runs are below this directory.
    Claimed {
        /// Its id.
        job: String,
        /// The agent's directory.
        directory: String,
    },
}

/// The ledger of one run.
#[derive(Debug)]
pub struct Ledger {
    file: Mutex<File>,
    entries: Mutex<Vec<Entry>>,
}

impl Ledger {
    /// A new one at `path`.
    pub fn create(path: &Path) -> Self {
        let file = Mutex::new(File::create(path).expect("a ledger"));
        Self { file, entries: Mutex::default() }
    }

    /// Writes an entry down; it is on the disk when this returns.
    pub fn write(&self, entry: Entry) {
        let line = serde_json::to_string(&entry).expect("JSON");
        let mut file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        writeln!(file, "{line}").and_then(|()| file.sync_data()).expect("written");
        self.entries.lock().unwrap_or_else(PoisonError::into_inner).push(entry);
    }

    /// Every entry so far.
    pub fn entries(&self) -> Vec<Entry> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Jobs by the key that they were acknowledged under, with their seeds.
    pub fn submitted(&self) -> BTreeMap<String, (u64, String)> {
        let submitted = |entry| match entry {
            Entry::Submitted { key, seed, job } => Some((key, (seed, job))),
            Entry::Unwanted { .. }
            | Entry::Cancelled { .. }
            | Entry::Refused { .. }
            | Entry::Claimed { .. } => None,
        };
        self.entries().into_iter().filter_map(submitted).collect()
    }
}

//! Erasures, as they are recorded.
//!
//! An erasure is a document with a state of its own, so that it goes on after a crash. What it removes is written down before it
//! is removed, one document for each thing, which makes every step of it one that can be done again.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use trainyard_openapi::erasure::Removed;
use trainyard_openapi::id::{ErasureId, FileId, TenantId};

use crate::port::document::{Document, Kind};

/// The scope of the erasures that are not settled.
pub(crate) const PENDING: &str = "pending";

/// What is to be erased.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Subject {
    /// A file, and all that came of it.
    File {
        /// The file.
        file: FileId,
        /// SHA-256 of its content, where it was still there.
        sha256: Option<String>,
    },
    /// A tenant, and all that it has.
    Tenant {
        /// The tenant.
        tenant: TenantId,
    },
}

impl Subject {
    /// The word on the wire.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::File { .. } => "file",
            Self::Tenant { .. } => "tenant",
        }
    }

    /// The id of what is erased.
    pub fn id(&self) -> &str {
        match self {
            Self::File { file, .. } => file.as_str(),
            Self::Tenant { tenant } => tenant.as_str(),
        }
    }
}

/// An erasure.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ErasureRecord {
    /// The id: its random part is that of what is erased.
    pub id: ErasureId,
    /// Who may read the receipt: the tenant that asked for it.
    pub owner: TenantId,
    /// What the audit log calls who asked.
    pub actor: String,
    /// What is erased.
    pub subject: Subject,
    /// When it was asked for, in Unix milliseconds.
    pub begun_at_ms: i64,
    /// When the last of it was gone, in Unix milliseconds.
    pub ended_at_ms: Option<i64>,
    /// Whether nothing can come after it any more.
    pub settled: bool,
}

impl Document for ErasureRecord {
    const KIND: Kind = Kind::Erasure;

    fn id(&self) -> String {
        self.id.to_string()
    }

    /// Those that are not settled are in one list, for the sweep; the others are in that of their owner.
    fn scope(&self) -> String {
        if self.settled { self.owner.to_string() } else { PENDING.to_string() }
    }
}

/// What an erasure removes of one thing. It is never changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ErasedRecord {
    /// The erasure.
    pub erasure: ErasureId,
    /// The thing: a job, or a word for it.
    pub thing: String,
    /// What there was of it.
    pub removed: Vec<Removed>,
}

impl ErasedRecord {
    /// The id of what `erasure` removes of `thing`.
    pub(crate) fn id_of(erasure: &ErasureId, thing: &str) -> String {
        format!("{erasure} {thing}")
    }
}

impl Document for ErasedRecord {
    const KIND: Kind = Kind::Erased;

    fn id(&self) -> String {
        Self::id_of(&self.erasure, &self.thing)
    }

    fn scope(&self) -> String {
        self.erasure.to_string()
    }
}

/// How many of each kind there are, and their bytes together.
pub(crate) fn totals(removed: &[Removed]) -> (BTreeMap<String, u64>, u64) {
    let mut counts = BTreeMap::new();
    for one in removed {
        *counts.entry(one.kind.as_str().to_string()).or_insert(0) += one.count;
    }
    (counts, removed.iter().map(|one| one.bytes).sum())
}

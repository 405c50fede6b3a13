//! Records that are changed one by one: tenants, keys, uploads and the like. The store compares revisions and knows no more of them.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::audit::AuditEntry;

/// What a document is. To add a kind, add a variant and implement [`Document`] for its record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// A tenant.
    Tenant,
    /// An API key; its scope is the tenant.
    Key,
    /// An upload in parts; its scope is the tenant.
    Upload,
    /// A part of an upload; its scope is the upload.
    UploadPart,
    /// A request under an idempotency key; its scope is the tenant.
    Request,
    /// An endpoint that is told of events; its scope is the tenant, or the one job that it hears of.
    Webhook,
    /// An event on its way to an endpoint; its scope is the endpoint.
    Delivery,
    /// When such an event is looked at next; its scope is a lane of timers that wait equally long.
    DeliveryTimer,
    /// The erasure of a file or tenant; see [`crate::erasure`] for its scope.
    Erasure,
    /// What an erasure removed of one thing; its scope is the erasure.
    Erased,
    /// An executor that said that it is there; the scope is empty.
    Executor,
    /// The secret that lease tokens are made with: one in a record, without a scope.
    LeaseSecret,
    /// That the first key was made: one in a record, without a scope.
    FirstKey,
    /// Which tenants wait for which pool, and what is added to their shares there.
    Waiting,
    /// What was spent of the privacy of a file's content; its scope is the tenant.
    PrivacyLedger,
}

impl Kind {
    /// The word in the store.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Tenant => "tenant",
            Self::Key => "key",
            Self::Upload => "upload",
            Self::UploadPart => "upload_part",
            Self::Request => "request",
            Self::Webhook => "webhook",
            Self::Delivery => "delivery",
            Self::DeliveryTimer => "delivery_timer",
            Self::Erasure => "erasure",
            Self::Erased => "erased",
            Self::Executor => "executor",
            Self::LeaseSecret => "lease_secret",
            Self::FirstKey => "first_key",
            Self::Waiting => "waiting",
            Self::PrivacyLedger => "privacy_ledger",
        }
    }
}

/// A record that is stored as a document.
pub trait Document: Serialize + DeserializeOwned + Clone + Send + Sync {
    /// What it is.
    const KIND: Kind;
    /// Its id: unique among its kind.
    fn id(&self) -> String;
    /// What it belongs to; lists are of one scope.
    fn scope(&self) -> String;
}

/// A document as it is stored.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Stored {
    /// What it is.
    pub kind: Kind,
    /// Unique among its kind.
    pub id: String,
    /// What it belongs to.
    pub scope: String,
    /// Counts its changes, from 1.
    pub rev: u64,
    /// The record.
    pub record: Value,
}

/// One write of one document.
#[derive(Debug, Clone, PartialEq)]
pub enum Write {
    /// Puts it at `rev`, which must be one above what is there: 1 for a new one.
    Put(Stored),
    /// Removes it where it has this revision.
    Delete {
        /// What it is.
        kind: Kind,
        /// Which.
        id: String,
        /// The revision that was read.
        rev: u64,
    },
}

/// Writes that happen together, or not at all.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Change {
    /// Documents.
    pub writes: Vec<Write>,
    /// What the audit log says of it.
    pub audit: Vec<AuditEntry>,
}

impl Change {
    /// Nothing.
    pub fn none() -> Self {
        Self::default()
    }

    /// Nothing but an entry of the audit log.
    pub fn audited(entry: AuditEntry) -> Self {
        Self { writes: Vec::new(), audit: vec![entry] }
    }

    /// Adds the write of a document at `rev`.
    ///
    /// # Errors
    /// Where it cannot be written as JSON.
    pub fn put<D: Document>(mut self, document: &D, rev: u64) -> Result<Self, serde_json::Error> {
        self.writes.push(Write::Put(Stored {
            kind: D::KIND,
            id: document.id(),
            scope: document.scope(),
            rev,
            record: serde_json::to_value(document)?,
        }));
        Ok(self)
    }

    /// Adds the removal of a document that was read at `rev`.
    pub fn delete<D: Document>(mut self, document: &D, rev: u64) -> Self {
        self.writes.push(Write::Delete { kind: D::KIND, id: document.id(), rev });
        self
    }
}

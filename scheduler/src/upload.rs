//! Uploads in parts, as they are recorded.

use serde::{Deserialize, Serialize};
use trainyard_openapi::id::{FileId, PartId, TenantId, UploadId};
use trainyard_openapi::upload::UploadStatus;

use crate::port::document::{Document, Kind};

/// An upload.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UploadRecord {
    /// The id.
    pub id: UploadId,
    /// Whose it is.
    pub tenant: TenantId,
    /// The name that the file shall have.
    pub filename: String,
    /// What the parts shall add up to, in bytes.
    pub bytes: u64,
    /// As the client gave it.
    pub mime_type: String,
    /// How long the file lives, in milliseconds.
    pub life_ms: Option<i64>,
    /// How far it is.
    pub status: UploadStatus,
    /// Bytes of all parts, those included that are not part of the file.
    pub stored_bytes: u64,
    /// How many parts there are.
    pub parts: u64,
    /// The file that it became.
    pub file: Option<FileId>,
    /// The parts that it became a file of.
    pub part_ids: Vec<PartId>,
    /// When, in Unix milliseconds.
    pub created_at_ms: i64,
    /// When it is given up, in Unix milliseconds.
    pub expires_at_ms: i64,
}

impl UploadRecord {
    /// How far it is at `now_ms`: one whose time has come has expired before anybody writes that down.
    pub fn status_at(&self, now_ms: i64) -> UploadStatus {
        match self.status {
            UploadStatus::Pending if self.expires_at_ms <= now_ms => UploadStatus::Expired,
            status => status,
        }
    }
}

impl Document for UploadRecord {
    const KIND: Kind = Kind::Upload;

    fn id(&self) -> String {
        self.id.to_string()
    }

    fn scope(&self) -> String {
        self.tenant.to_string()
    }
}

/// A part. Its content lies in the object store under `key`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PartRecord {
    /// The id.
    pub id: PartId,
    /// The upload.
    pub upload: UploadId,
    /// Size in bytes.
    pub bytes: u64,
    /// The key in the object store.
    pub key: String,
    /// When, in Unix milliseconds.
    pub created_at_ms: i64,
}

impl Document for PartRecord {
    const KIND: Kind = Kind::UploadPart;

    fn id(&self) -> String {
        self.id.to_string()
    }

    fn scope(&self) -> String {
        self.upload.to_string()
    }
}

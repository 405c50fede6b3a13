//! Uploads in parts, for files that are too large for one request.

use serde::{Deserialize, Serialize};

use crate::error::{ApiError, ErrorCode};
use crate::file::File;
use crate::id::{PartId, UploadId};
use crate::limits::{EXPIRES_AFTER_SECONDS_MAX, EXPIRES_AFTER_SECONDS_MIN};

/// A file on its way in, in parts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Upload {
    /// The id.
    pub id: UploadId,
    /// Always `upload`.
    #[schema(example = "upload")]
    pub object: String,
    /// The bytes that the parts shall add up to.
    pub bytes: u64,
    /// When it was begun, in Unix seconds.
    pub created_at: i64,
    /// The name that the file shall have.
    pub filename: String,
    /// What the file shall be for.
    pub purpose: String,
    /// How far it is.
    pub status: UploadStatus,
    /// When it is given up unless it is completed before, in Unix seconds.
    pub expires_at: i64,
    /// The file, once the upload is completed.
    #[schema(required = true)]
    pub file: Option<File>,
}

/// How far an upload is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum UploadStatus {
    /// Parts may be added.
    Pending,
    /// The parts are a file now.
    Completed,
    /// Its owner gave it up.
    Cancelled,
    /// It was not completed in time.
    Expired,
}

impl UploadStatus {
    /// The word on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Completed => "completed",
            Self::Cancelled => "cancelled",
            Self::Expired => "expired",
        }
    }
}

/// A part of an upload.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct UploadPart {
    /// The id.
    pub id: PartId,
    /// Always `upload.part`.
    #[schema(example = "upload.part")]
    pub object: String,
    /// When it was added, in Unix seconds.
    pub created_at: i64,
    /// The upload that it belongs to.
    pub upload_id: UploadId,
}

/// The request to begin an upload.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CreateUpload {
    /// The name of the file.
    #[schema(min_length = 1, max_length = 255)]
    pub filename: String,
    /// Always `fine-tune`.
    #[schema(example = "fine-tune", pattern = "^fine-tune$")]
    pub purpose: String,
    /// The size of the file in bytes: 1 to 8,589,934,592.
    #[schema(minimum = 1, maximum = 8_589_934_592_u64)]
    pub bytes: u64,
    /// The MIME type of the file; lines are read as JSON whatever it says.
    #[schema(example = "text/jsonl", min_length = 1, max_length = 255, pattern = "^[ -~]+$")]
    pub mime_type: String,
    /// When the file is deleted by itself; never where left out.
    #[serde(default)]
    pub expires_after: Option<ExpiresAfter>,
}

/// The request to make a file of the parts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CompleteUpload {
    /// The parts in the order of the file.
    #[schema(min_items = 1, max_items = 4096)]
    pub part_ids: Vec<String>,
    /// MD5 of the whole file in hexadecimal; where given, it must be right.
    #[serde(default)]
    #[schema(pattern = "^[0-9A-Fa-f]{32}$")]
    pub md5: Option<String>,
}

/// When a file is deleted by itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ExpiresAfter {
    /// Always `created_at`.
    #[schema(example = "created_at")]
    pub anchor: String,
    /// Seconds after that: 3,600 to 2,592,000.
    #[schema(minimum = 3_600, maximum = 2_592_000)]
    pub seconds: u64,
}

impl ExpiresAfter {
    /// The time from the file's creation to its deletion, in milliseconds.
    ///
    /// # Errors
    /// An anchor that is none, or a time outside the limits.
    pub fn milliseconds(&self) -> Result<i64, ApiError> {
        if self.anchor != "created_at" {
            let shown: String = self.anchor.chars().take(40).collect();
            let param = "expires_after.anchor";
            let text =
                format!("invalid value for '{param}': '{shown}' (only 'created_at' is supported)");
            return Err(ApiError::field(ErrorCode::InvalidValue, param, text));
        }
        if !(EXPIRES_AFTER_SECONDS_MIN..=EXPIRES_AFTER_SECONDS_MAX).contains(&self.seconds) {
            let param = "expires_after.seconds";
            let text = format!(
                "invalid value for '{param}': {} (must be {EXPIRES_AFTER_SECONDS_MIN} to {EXPIRES_AFTER_SECONDS_MAX})",
                self.seconds
            );
            return Err(ApiError::field(ErrorCode::InvalidValue, param, text));
        }
        Ok(i64::try_from(self.seconds).unwrap_or(i64::MAX / 1000) * 1000)
    }
}

//! Uploads in parts: begun, completed into a file that its parts are streamed into, or given up.

use futures::StreamExt;
use md5::{Digest, Md5};
use trainyard_openapi::error::{ApiError, ErrorCode};
use trainyard_openapi::file::{File, Purpose};
use trainyard_openapi::id::{PartId, UploadId};
use trainyard_openapi::limits::{MIME_TYPE_CHARS_MAX, UPLOAD_BYTES_MAX};
use trainyard_openapi::upload::{CompleteUpload, CreateUpload, Upload, UploadStatus};

use super::Scheduler;
use super::documents::{Altered, json};
use super::files::check_filename;
use crate::error::Result;
use crate::port::document::Change;
use crate::port::store::StoreError;
use crate::tenant::TenantContext;
use crate::upload::{PartRecord, UploadRecord};

/// How long an upload may take, in milliseconds: OpenAI's hour.
const LIFE_MS: i64 = 3_600_000;
impl Scheduler {
    /// Begins an upload in parts.
    ///
    /// # Errors
    /// An error of the contract with `param` set.
    pub async fn create_upload(&self, ctx: &TenantContext, new: &CreateUpload) -> Result<Upload> {
        check_filename(&new.filename, "filename")?;
        if new.purpose != "fine-tune" {
            let shown: String = new.purpose.chars().take(40).collect();
            let text = format!("'{shown}' cannot be uploaded here (expected 'fine-tune')");
            return Err(ApiError::field(ErrorCode::InvalidPurpose, "purpose", text).into());
        }
        if !(1..=UPLOAD_BYTES_MAX).contains(&new.bytes) {
            let text = format!(
                "invalid value for 'bytes': {} (must be 1 to {UPLOAD_BYTES_MAX})",
                new.bytes
            );
            return Err(ApiError::field(ErrorCode::InvalidValue, "bytes", text).into());
        }
        let chars = new.mime_type.chars().count();
        if chars == 0
            || chars > MIME_TYPE_CHARS_MAX
            || new.mime_type.chars().any(|c| !c.is_ascii() || c.is_ascii_control())
        {
            let text = format!(
                "invalid value for 'mime_type': it must have 1 to {MIME_TYPE_CHARS_MAX} printable ASCII characters, not {chars}"
            );
            return Err(ApiError::field(ErrorCode::InvalidValue, "mime_type", text).into());
        }
        let life_ms = new.expires_after.as_ref().map(|after| after.milliseconds()).transpose()?;
        let now_ms = self.store().now_ms().await?;
        let record = UploadRecord {
            id: UploadId::generate()?,
            tenant: ctx.tenant().clone(),
            filename: new.filename.clone(),
            bytes: new.bytes,
            mime_type: new.mime_type.clone(),
            life_ms,
            status: UploadStatus::Pending,
            stored_bytes: 0,
            parts: 0,
            file: None,
            part_ids: Vec::new(),
            created_at_ms: now_ms,
            expires_at_ms: now_ms + LIFE_MS,
        };
        self.store().apply(&Change::none().put(&record, 1).map_err(json)?).await?;
        Ok(upload_of(&record, now_ms, None))
    }

    /// An upload.
    ///
    /// # Errors
    /// `not_found`.
    pub async fn upload(&self, ctx: &TenantContext, id: &UploadId) -> Result<Upload> {
        let (record, _) = self.upload_record(ctx, id).await?;
        let file = match &record.file {
            Some(file) => Some(self.file(ctx, file).await?),
            None => None,
        };
        Ok(upload_of(&record, self.store().now_ms().await?, file))
    }

    /// Makes a file of the parts. A repeat with the same parts answers the same.
    ///
    /// # Errors
    /// `not_found`; `invalid_state` where the upload is not pending; parts that are not the upload's, or that do not make the
    /// file that was announced.
    pub async fn complete_upload(
        &self,
        ctx: &TenantContext,
        id: &UploadId,
        request: &CompleteUpload,
    ) -> Result<Upload> {
        let md5 = request.md5.as_deref().map(wanted_md5).transpose()?;
        let (record, rev) = self.upload_record(ctx, id).await?;
        let now_ms = self.store().now_ms().await?;
        if let Some(done) = self.completed_before(ctx, &record, request, now_ms).await? {
            return Ok(done);
        }
        check_pending(&record, now_ms)?;
        let parts = self.parts_of(&record, &request.part_ids).await?;
        let (name, bytes) = (&record.filename, record.bytes);
        let mut file = self.begin_file(ctx, name, Purpose::FineTune, bytes, Some(id)).await?;
        if let Some(life_ms) = record.life_ms {
            file.expire_after(life_ms);
        }
        let mut hash = Md5::new();
        for part in &parts {
            let (_, mut pieces) = self.objects().read(&part.key, None).await?;
            while let Some(piece) = pieces.next().await {
                let piece = piece?;
                if md5.is_some() {
                    hash.update(&piece);
                }
                file.write(piece).await?;
            }
        }
        if let Some(wanted) = md5 {
            let found = hex::encode(hash.finalize());
            if found != wanted {
                let text = format!("'md5' is {wanted}, the parts' is {found}");
                return Err(ApiError::field(ErrorCode::InvalidValue, "md5", text).into());
            }
        }
        let mut done = record.clone();
        done.status = UploadStatus::Completed;
        done.part_ids = parts.into_iter().map(|part| part.id).collect();
        let finished = file.finish_with(|file| {
            done.file = Some(file.id.clone());
            Change::none().put(&done, rev + 1).map_err(json)
        });
        let file = match finished.await {
            Ok(file) => file,
            Err(crate::SchedulerError::Store(StoreError::Conflict)) => {
                // Another request changed it meanwhile; if it completed it with the same parts, this is a repeat.
                let (record, _) = self.upload_record(ctx, id).await?;
                if let Some(done) = self.completed_before(ctx, &record, request, now_ms).await? {
                    return Ok(done);
                }
                check_pending(&record, now_ms)?;
                return Err(StoreError::Conflict.into());
            }
            Err(error) => return Err(error),
        };
        self.clear_parts_or_warn(id).await;
        Ok(upload_of(&done, now_ms, Some(file)))
    }

    /// The answer where the upload was completed with these parts before.
    async fn completed_before(
        &self,
        ctx: &TenantContext,
        record: &UploadRecord,
        request: &CompleteUpload,
        now_ms: i64,
    ) -> Result<Option<Upload>> {
        let same = record.part_ids.iter().map(PartId::as_str).eq(request.part_ids.iter());
        match &record.file {
            Some(file) if same => {
                Ok(Some(upload_of(record, now_ms, Some(self.file(ctx, file).await?))))
            }
            _ => Ok(None),
        }
    }

    /// Gives an upload up. A repeat answers the same.
    ///
    /// # Errors
    /// `not_found`; `invalid_state` where it is completed or has expired.
    pub async fn cancel_upload(&self, ctx: &TenantContext, id: &UploadId) -> Result<Upload> {
        self.upload_record(ctx, id).await?;
        let altered = self.alter::<UploadRecord>(id.as_str(), |record, now_ms| {
            if record.status == UploadStatus::Cancelled {
                return Ok(Altered::No);
            }
            check_pending(record, now_ms)?;
            record.status = UploadStatus::Cancelled;
            Ok(Altered::Quietly)
        });
        let record = altered.await?.ok_or_else(|| not_found(id))?;
        self.clear_parts_or_warn(id).await;
        Ok(upload_of(&record, record.created_at_ms, None))
    }

    async fn clear_parts_or_warn(&self, id: &UploadId) {
        if let Err(error) = self.clear_parts(id).await {
            // The sweep comes for them.
            tracing::warn!(upload = %id, error = &error as &dyn std::error::Error, "parts were not removed");
        }
    }

    /// The parts in the order asked for: each of this upload, none twice, together as large as was announced.
    async fn parts_of(&self, upload: &UploadRecord, ids: &[String]) -> Result<Vec<PartRecord>> {
        let refuse = |param: String, text: String| {
            Err(ApiError::field(ErrorCode::InvalidValue, param, text).into())
        };
        let mut parts: Vec<PartRecord> = Vec::new();
        let mut seen = std::collections::HashSet::new();
        for (index, text) in ids.iter().enumerate() {
            let (param, shown) =
                (format!("part_ids[{index}]"), text.chars().take(80).collect::<String>());
            let part = match text.parse::<PartId>() {
                Ok(id) => self.document::<PartRecord>(id.as_str()).await?,
                Err(_) => None,
            };
            match part {
                Some((part, _)) if part.upload == upload.id => {
                    if !seen.insert(part.id.clone()) {
                        return refuse(param, format!("part '{shown}' is named more than once"));
                    }
                    parts.push(part);
                }
                _ => return refuse(param, format!("'{shown}' is no part of this upload")),
            }
        }
        let sum: u64 = parts.iter().map(|part| part.bytes).sum();
        if sum != upload.bytes {
            let text = format!(
                "the parts have {sum} bytes together, the upload was begun with {}",
                upload.bytes
            );
            return refuse("part_ids".to_string(), text);
        }
        Ok(parts)
    }

    pub(super) async fn upload_record(
        &self,
        ctx: &TenantContext,
        id: &UploadId,
    ) -> Result<(UploadRecord, u64)> {
        let found = self.document::<UploadRecord>(id.as_str()).await?;
        let own = found.filter(|(record, _)| record.tenant == *ctx.tenant());
        Ok(own.ok_or_else(|| not_found(id))?)
    }
}

fn upload_of(record: &UploadRecord, now_ms: i64, file: Option<File>) -> Upload {
    Upload {
        id: record.id.clone(),
        object: "upload".to_string(),
        bytes: record.bytes,
        created_at: record.created_at_ms / 1000,
        filename: record.filename.clone(),
        purpose: "fine-tune".to_string(),
        status: record.status_at(now_ms),
        expires_at: record.expires_at_ms / 1000,
        file,
    }
}

pub(super) fn check_pending(record: &UploadRecord, now_ms: i64) -> Result<(), ApiError> {
    match record.status_at(now_ms) {
        UploadStatus::Pending => Ok(()),
        status => {
            let text = format!("the upload is {}, no longer pending", status.as_str());
            Err(ApiError::new(ErrorCode::InvalidState, text))
        }
    }
}

fn wanted_md5(text: &str) -> Result<String, ApiError> {
    if text.len() == 32 && text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Ok(text.to_ascii_lowercase());
    }
    let shown: String = text.chars().take(80).collect();
    let text = format!("invalid value for 'md5': '{shown}' is not 32 hexadecimal digits");
    Err(ApiError::field(ErrorCode::InvalidValue, "md5", text))
}

pub(super) fn not_found(id: &UploadId) -> ApiError {
    ApiError::field(ErrorCode::NotFound, "id", format!("No such Upload object: {id}"))
}

//! Files: streamed in, counted and hashed on the way, streamed out.

use bytes::Bytes;
use futures::stream::BoxStream;
use serde_json::json;
use sha2::{Digest, Sha256};
use trainyard_openapi::erasure::{DeletedFile, FileDeletion, Trained};
use trainyard_openapi::error::{ApiError, ErrorCode};
use trainyard_openapi::file::{File, Purpose};
use trainyard_openapi::id::{FileId, JobId, UploadId};
use trainyard_openapi::limits::{FILE_BYTES_MAX, FILENAME_CHARS_MAX};
use trainyard_openapi::page::{Page, PageRequest};

use super::Scheduler;
use super::quota::Room;
use super::view::file_of;
use crate::audit::AuditEntry;
use crate::error::Result;
use crate::port::document::Change;
use crate::port::objects::{ObjectError, ObjectWriter};
use crate::port::store::FileRecord;
use crate::tenant::TenantContext;

/// A file on its way in. Dropped before [`FileUpload::finish`] it leaves nothing.
pub struct FileUpload {
    scheduler: Scheduler,
    writer: Box<dyn ObjectWriter>,
    record: FileRecord,
    /// Bytes that it may have.
    bytes_max: u64,
    /// How long it lives, in milliseconds.
    life_ms: Option<i64>,
    hash: Sha256,
    /// Whether the current line has something on it.
    line_begun: bool,
    /// What its tenant may store, where that is limited.
    room: Option<Room>,
    /// The upload whose parts it is made of.
    parts: Option<UploadId>,
    /// What the audit log will say of it; time and detail come at the end.
    audit: AuditEntry,
}

impl FileUpload {
    /// The next piece.
    ///
    /// # Errors
    /// `request_too_large` beyond the limit; no space.
    pub async fn write(&mut self, bytes: Bytes) -> Result<()> {
        self.record.bytes += bytes.len() as u64;
        if self.record.bytes > self.bytes_max {
            let message = format!("the file may have at most {} bytes", self.bytes_max);
            return Err(ApiError::field(ErrorCode::TooLarge, "file", message).into());
        }
        if let Some(room) = self.room {
            room.check(self.record.bytes)?;
        }
        self.hash.update(&bytes);
        for byte in &bytes {
            if *byte == b'\n' {
                self.line_begun = false;
            } else if !byte.is_ascii_whitespace() && !self.line_begun {
                self.line_begun = true;
                self.record.lines += 1;
            }
        }
        Ok(self.writer.write(bytes).await?)
    }

    /// Makes it a file of the tenant.
    ///
    /// # Errors
    /// Where store or objects do not answer.
    pub async fn finish(self) -> Result<File> {
        self.finish_with(|_| Ok(Change::none())).await
    }

    /// Lets the file be deleted by itself so long after it is finished, in milliseconds.
    pub fn expire_after(&mut self, milliseconds: i64) {
        self.life_ms = Some(milliseconds);
    }

    /// Makes it a file together with the change that `also` makes of the finished record.
    pub(super) async fn finish_with(
        self,
        also: impl FnOnce(&FileRecord) -> Result<Change>,
    ) -> Result<File> {
        let Self { scheduler, writer, mut record, life_ms, hash, room, parts, audit, .. } = self;
        writer.finish().await?;
        record.sha256 = hex::encode(hash.finalize());
        record.created_at_ms = scheduler.store().now_ms().await?;
        record.expires_at_ms = life_ms.map(|life_ms| record.created_at_ms + life_ms);
        let entry = AuditEntry {
            at_ms: record.created_at_ms,
            detail: json!({"filename": record.filename, "bytes": record.bytes, "sha256": record.sha256}),
            ..audit
        };
        // One after the other where a limit holds: what fitted at the beginning may not fit beside what has come since.
        let _storage = match room {
            Some(Room { limit, .. }) => {
                let guard = scheduler.inner.storage.lock().await;
                let stored = scheduler.stored_bytes(&record.tenant, parts.as_ref()).await?;
                if let Err(full) = (Room { limit, stored }).check(record.bytes) {
                    scheduler.objects().delete(&record.key).await?;
                    return Err(full.into());
                }
                Some(guard)
            }
            None => None,
        };
        let mut change = also(&record)?;
        change.audit.push(entry);
        if let Err(error) = scheduler.store().put_file(&record, &change).await {
            // No answer is not a no: the content of a file that is there stays. Without a record nobody could delete it.
            match scheduler.store().file(&record.tenant, &record.id).await {
                Ok(Some(_)) => return Ok(file_of(&record)),
                Ok(None) => scheduler.objects().delete(&record.key).await?,
                Err(_) => {}
            }
            return Err(error.into());
        }
        Ok(file_of(&record))
    }
}

impl Scheduler {
    /// Begins an upload.
    ///
    /// # Errors
    /// A bad file name or purpose.
    pub async fn begin_upload(
        &self,
        ctx: &TenantContext,
        filename: &str,
        purpose: Purpose,
    ) -> Result<FileUpload> {
        self.begin_file(ctx, filename, purpose, FILE_BYTES_MAX, None).await
    }

    /// Begins a file of at most `bytes_max` bytes, which `parts` is completed with.
    pub(super) async fn begin_file(
        &self,
        ctx: &TenantContext,
        filename: &str,
        purpose: Purpose,
        bytes_max: u64,
        parts: Option<&UploadId>,
    ) -> Result<FileUpload> {
        check_filename(filename, "file")?;
        if purpose != Purpose::FineTune {
            let message = "only files with purpose 'fine-tune' can be uploaded";
            return Err(ApiError::field(ErrorCode::InvalidPurpose, "purpose", message).into());
        }
        let room = self.room(ctx, parts).await?;
        if let Some(room) = room {
            room.check(1)?;
        }
        let id = FileId::generate()?;
        let key = format!("files/{id}");
        let writer = self.objects().create(&key).await?;
        let record = FileRecord {
            id,
            tenant: ctx.tenant().clone(),
            filename: filename.to_string(),
            purpose,
            bytes: 0,
            lines: 0,
            sha256: String::new(),
            key,
            created_at_ms: 0,
            expires_at_ms: None,
        };
        let audit = Self::audited(ctx, 0, "file.created", &record.id, json!({}));
        Ok(FileUpload {
            scheduler: self.clone(),
            writer,
            record,
            bytes_max,
            life_ms: None,
            hash: Sha256::new(),
            line_begun: false,
            room,
            parts: parts.cloned(),
            audit,
        })
    }

    /// A file.
    ///
    /// # Errors
    /// `file_not_found`.
    pub async fn file(&self, ctx: &TenantContext, id: &FileId) -> Result<File> {
        Ok(file_of(&self.file_record(ctx, id).await?))
    }

    /// Files, newest first unless asked otherwise.
    ///
    /// # Errors
    /// A bad cursor.
    pub async fn files(
        &self,
        ctx: &TenantContext,
        purpose: Option<Purpose>,
        page: &PageRequest,
    ) -> Result<Page<File>> {
        let (records, has_more) = self.store().files(ctx.tenant(), purpose, page).await?;
        Ok(Page::new(records.iter().map(file_of).collect(), has_more, |file: &File| {
            file.id.to_string()
        }))
    }

    /// Deletes a file that no unfinished job reads, and says what was made of it, which stays. So does what was spent of its privacy.
    ///
    /// # Errors
    /// `file_not_found`, `in_use`.
    pub async fn delete_file(&self, ctx: &TenantContext, id: &FileId) -> Result<DeletedFile> {
        let record = self.file_record(ctx, id).await?;
        self.check_unused(ctx, id).await?;
        let trained = Trained::from(&self.lineage(ctx, id).await?);
        let now_ms = self.store().now_ms().await?;
        let detail = json!({"filename": record.filename, "sha256": record.sha256});
        let entry = Self::audited(ctx, now_ms, "file.deleted", id, detail);
        self.store().delete_file(ctx.tenant(), id, &Change::audited(entry)).await?;
        match (record.purpose, job_of_key(&record.key)) {
            // The content is one of its model's files too, and stays as long as that.
            (Purpose::FineTuneResults, Some(job)) => self.collect(&job).await,
            _ => self.objects().delete(&record.key).await?,
        }
        let trainyard = FileDeletion { trained, erasure: None };
        Ok(DeletedFile { id: id.clone(), object: "file".to_string(), deleted: true, trainyard })
    }

    /// Refuses to take away what a job still reads.
    pub(super) async fn check_unused(&self, ctx: &TenantContext, id: &FileId) -> Result<()> {
        if !self.store().file_in_use(ctx.tenant(), id).await? {
            return Ok(());
        }
        let text = format!("'{id}' is read by a job that has not ended; cancel the job first");
        Err(ApiError::new(ErrorCode::InUse, text).into())
    }

    /// A file's record and content.
    ///
    /// # Errors
    /// `file_not_found`.
    pub async fn read_file(
        &self,
        ctx: &TenantContext,
        id: &FileId,
    ) -> Result<(FileRecord, BoxStream<'static, Result<Bytes, ObjectError>>)> {
        let record = self.file_record(ctx, id).await?;
        match self.objects().read(&record.key, None).await {
            Ok((_, stream)) => Ok((record, stream)),
            Err(ObjectError::NotFound(_)) => Err(not_found(id).into()),
            Err(error) => Err(error.into()),
        }
    }

    pub(super) async fn file_record(&self, ctx: &TenantContext, id: &FileId) -> Result<FileRecord> {
        let record = self.store().file(ctx.tenant(), id).await?;
        Ok(record.ok_or_else(|| not_found(id))?)
    }
}

/// The job that wrote `jobs/{id}/...`.
fn job_of_key(key: &str) -> Option<JobId> {
    key.strip_prefix("jobs/")?.split('/').next()?.parse().ok()
}

pub(super) fn not_found(id: &FileId) -> ApiError {
    ApiError::field(ErrorCode::FileNotFound, "id", format!("No such File object: {id}"))
}

pub(super) fn check_filename(name: &str, param: &str) -> Result<(), ApiError> {
    let chars = name.chars().count();
    let refuse = |why: String| {
        Err(ApiError::field(ErrorCode::InvalidValue, param, format!("the file name {why}")))
    };
    if chars == 0 || chars > FILENAME_CHARS_MAX {
        return refuse(format!("must have 1 to {FILENAME_CHARS_MAX} characters, not {chars}"));
    }
    if name.chars().any(|c| c.is_control() || matches!(c, '/' | '\\' | '"') || is_direction_mark(c))
    {
        return refuse(
            "must not contain control characters, slashes, quotation marks or direction marks"
                .into(),
        );
    }
    if name == "." || name == ".." {
        return refuse("must not be '.' or '..'".to_string());
    }
    Ok(())
}

/// Characters that turn the direction of text: they make a name look like another.
fn is_direction_mark(c: char) -> bool {
    matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

//! Parts of uploads: each is an object of its own, which its upload's record counts.

use bytes::Bytes;
use trainyard_openapi::error::{ApiError, ErrorCode};
use trainyard_openapi::id::{PartId, TenantId, UploadId};
use trainyard_openapi::limits::{UPLOAD_PART_BYTES_MAX, UPLOAD_PARTS_MAX};
use trainyard_openapi::upload::UploadPart;

use super::documents::json;
use super::quota::Room;
use super::uploads::{check_pending, not_found};
use super::{CONFLICTS_MAX, Scheduler};
use crate::error::Result;
use crate::port::document::Change;
use crate::port::objects::ObjectWriter;
use crate::port::store::StoreError;
use crate::tenant::TenantContext;
use crate::upload::{PartRecord, UploadRecord};

/// What the parts may hold beyond twice the file's size, in bytes: lost answers make clients send parts again.
const SLACK_BYTES: u64 = UPLOAD_PART_BYTES_MAX;

/// A part on its way in. Dropped before [`PartUpload::finish`] it leaves nothing.
pub struct PartUpload {
    scheduler: Scheduler,
    writer: Box<dyn ObjectWriter>,
    record: PartRecord,
    tenant: TenantId,
    /// What its tenant may store, where that is limited.
    room: Option<Room>,
}

impl PartUpload {
    /// The next piece.
    ///
    /// # Errors
    /// `request_too_large` beyond the limit; `quota_exceeded`; no space.
    pub async fn write(&mut self, bytes: Bytes) -> Result<()> {
        self.record.bytes += bytes.len() as u64;
        if self.record.bytes > UPLOAD_PART_BYTES_MAX {
            let text = format!("a part may have at most {UPLOAD_PART_BYTES_MAX} bytes");
            return Err(ApiError::field(ErrorCode::TooLarge, "data", text).into());
        }
        if let Some(room) = self.room {
            room.check(self.record.bytes)?;
        }
        Ok(self.writer.write(bytes).await?)
    }

    /// Makes it a part of its upload.
    ///
    /// # Errors
    /// An empty part; `invalid_state` where the upload is no longer pending.
    pub async fn finish(self) -> Result<UploadPart> {
        let Self { scheduler, writer, mut record, tenant, room } = self;
        if record.bytes == 0 {
            let text = "a part must have at least 1 byte, not 0";
            return Err(ApiError::field(ErrorCode::InvalidValue, "data", text).into());
        }
        writer.finish().await?;
        let added = scheduler.add_part_within(room, &tenant, &mut record).await;
        if added.is_err() {
            // Without a record nothing would come for it before the upload is forgotten.
            scheduler.objects().delete(&record.key).await?;
        }
        added?;
        Ok(UploadPart {
            id: record.id,
            object: "upload.part".to_string(),
            created_at: record.created_at_ms / 1000,
            upload_id: record.upload,
        })
    }
}

impl Scheduler {
    /// Begins a part.
    ///
    /// # Errors
    /// `not_found`; `invalid_state` where the upload is not pending.
    pub async fn begin_part(&self, ctx: &TenantContext, upload: &UploadId) -> Result<PartUpload> {
        let (record, _) = self.upload_record(ctx, upload).await?;
        let now_ms = self.store().now_ms().await?;
        check_pending(&record, now_ms)?;
        check_room(&record, 1)?;
        let room = self.room(ctx, None).await?;
        if let Some(room) = room {
            room.check(1)?;
        }
        let id = PartId::generate()?;
        let key = format!("uploads/{upload}/{id}");
        let writer = self.objects().create(&key).await?;
        let record =
            PartRecord { id, upload: upload.clone(), bytes: 0, key, created_at_ms: now_ms };
        Ok(PartUpload {
            scheduler: self.clone(),
            writer,
            record,
            tenant: ctx.tenant().clone(),
            room,
        })
    }

    /// Records a part where its tenant may still store it. One after the other where a limit holds: what fitted at the beginning
    /// may not fit beside what has come since.
    async fn add_part_within(
        &self,
        room: Option<Room>,
        tenant: &TenantId,
        part: &mut PartRecord,
    ) -> Result<()> {
        let Some(Room { limit, .. }) = room else { return self.add_part(part).await };
        let _storage = self.inner.storage.lock().await;
        let stored = self.stored_bytes(tenant, None).await?;
        Room { limit, stored }.check(part.bytes)?;
        self.add_part(part).await
    }

    /// Records a part whose content is there, if its upload still takes it.
    async fn add_part(&self, part: &mut PartRecord) -> Result<()> {
        for _ in 0..CONFLICTS_MAX {
            let found = self.document::<UploadRecord>(part.upload.as_str()).await?;
            let (mut upload, rev) = found.ok_or_else(|| not_found(&part.upload))?;
            let now_ms = self.store().now_ms().await?;
            check_pending(&upload, now_ms)?;
            check_room(&upload, part.bytes)?;
            upload.stored_bytes += part.bytes;
            upload.parts += 1;
            part.created_at_ms = now_ms;
            // The upload's new revision keeps the part out of one that is completed meanwhile.
            let change = Change::none().put(&upload, rev + 1).and_then(|c| c.put(part, 1));
            match self.store().apply(&change.map_err(json)?).await {
                Err(StoreError::Conflict) => {}
                ended => return Ok(ended?),
            }
        }
        Err(StoreError::Unavailable(format!("{} changes too fast", part.upload)).into())
    }
}

/// Whether `bytes` more may be stored for the upload.
fn check_room(record: &UploadRecord, bytes: u64) -> Result<(), ApiError> {
    let refuse = |text: String| Err(ApiError::field(ErrorCode::TooLarge, "data", text));
    if record.parts >= UPLOAD_PARTS_MAX {
        return refuse(format!("an upload may have at most {UPLOAD_PARTS_MAX} parts"));
    }
    let (most, there) = (2 * record.bytes + SLACK_BYTES, record.stored_bytes + bytes);
    if there > most {
        return refuse(format!(
            "the parts of this upload would have {there} bytes together; it was begun for {} and may store {most}",
            record.bytes
        ));
    }
    Ok(())
}

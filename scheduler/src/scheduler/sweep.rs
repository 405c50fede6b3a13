//! What time alone removes: files that expire, uploads that nobody completed, idempotency keys after a day.

use std::time::Duration;

use serde_json::json;
use tokio_util::sync::CancellationToken;
use trainyard_openapi::file::Purpose;
use trainyard_openapi::id::UploadId;
use trainyard_openapi::page::{Order, PageRequest};
use trainyard_openapi::upload::UploadStatus;

use super::Scheduler;
use super::documents::Altered;
use crate::audit::AuditEntry;
use crate::error::Result;
use crate::port::document::{Change, Document};
use crate::port::store::{FileRecord, StoreError};
use crate::request::{KEPT_MS, RequestRecord};
use crate::tenant::TenantRecord;
use crate::upload::{PartRecord, UploadRecord};

/// Time between two sweeps.
const PAUSE: Duration = Duration::from_secs(30);
/// How long an upload that has ended is remembered, in milliseconds: a repeat of its last request finds it.
const ENDED_UPLOAD_MS: i64 = 86_400_000;
/// Files that are looked at in one sweep.
const FILES_MAX: u32 = 10_000;

impl Scheduler {
    /// Sweeps every while until `shutdown`.
    pub(super) async fn sweep_until(&self, shutdown: &CancellationToken) {
        loop {
            // Every step of a sweep is one commit, so it may end anywhere.
            let ended = tokio::select! {
                ended = self.sweep() => ended,
                () = shutdown.cancelled() => return,
            };
            if let Err(error) = ended {
                tracing::error!(error = &error as &dyn std::error::Error, "sweep failed");
            }
            tokio::select! {
                () = shutdown.cancelled() => return,
                () = tokio::time::sleep(PAUSE) => {}
            }
        }
    }

    /// Removes what is due.
    pub(super) async fn sweep(&self) -> Result<()> {
        let now_ms = self.store().now_ms().await?;
        for file in self.store().expired_files(now_ms, FILES_MAX).await? {
            self.expire(&file, now_ms).await?;
        }
        self.store().forget_answers(now_ms - KEPT_MS).await?;
        self.sweep_erasures(now_ms).await?;
        self.sweep_executors(now_ms).await?;
        let mut page = PageRequest { after: None, limit: 1000, order: Order::Asc };
        loop {
            let (tenants, more) = self.documents::<TenantRecord>("", &page).await?;
            for tenant in &tenants {
                self.sweep_requests(tenant, now_ms).await?;
                self.sweep_uploads(tenant, now_ms).await?;
            }
            page.after = tenants.last().map(|tenant| tenant.id.to_string());
            if !more {
                return Ok(());
            }
        }
    }

    /// Deletes a file whose time has come, unless a job that has not ended reads it: then a later sweep does.
    async fn expire(&self, file: &FileRecord, now_ms: i64) -> Result<()> {
        if self.store().file_in_use(&file.tenant, &file.id).await? {
            return Ok(());
        }
        let entry = AuditEntry {
            tenant: file.tenant.clone(),
            at_ms: now_ms,
            actor: "system".to_string(),
            action: "file.expired".to_string(),
            target: file.id.to_string(),
            detail: json!({"filename": file.filename, "sha256": file.sha256, "expires_at_ms": file.expires_at_ms}),
        };
        self.store().delete_file(&file.tenant, &file.id, &Change::audited(entry)).await?;
        // Result files do not expire; their content would be their model's.
        if file.purpose == Purpose::FineTune {
            self.objects().delete(&file.key).await?;
        }
        Ok(())
    }

    async fn sweep_requests(&self, tenant: &TenantRecord, now_ms: i64) -> Result<()> {
        self.oldest(tenant, |request: &RequestRecord| request.created_at_ms + KEPT_MS <= now_ms)
            .await
    }

    async fn sweep_uploads(&self, tenant: &TenantRecord, now_ms: i64) -> Result<()> {
        let mut page = PageRequest { after: None, limit: 1000, order: Order::Asc };
        loop {
            let (uploads, more) = self.documents::<UploadRecord>(tenant.id.as_str(), &page).await?;
            for upload in &uploads {
                // They are in the order of their making, and all live equally long.
                if upload.expires_at_ms > now_ms {
                    return Ok(());
                }
                if upload.status == UploadStatus::Pending {
                    let expired = self.alter::<UploadRecord>(upload.id.as_str(), |record, _| {
                        if record.status != UploadStatus::Pending {
                            return Ok(Altered::No);
                        }
                        record.status = UploadStatus::Expired;
                        Ok(Altered::Quietly)
                    });
                    expired.await?;
                    self.clear_parts(&upload.id).await?;
                } else if upload.expires_at_ms + ENDED_UPLOAD_MS <= now_ms {
                    self.clear_parts(&upload.id).await?;
                    self.forget(upload).await?;
                }
            }
            page.after = uploads.last().map(|upload| upload.id.to_string());
            if !more {
                return Ok(());
            }
        }
    }

    /// Removes the parts of an upload that takes no more of them.
    pub(super) async fn clear_parts(&self, id: &UploadId) -> Result<()> {
        let page = PageRequest { after: None, limit: 1000, order: Order::Asc };
        loop {
            let (parts, more) = self.documents::<PartRecord>(id.as_str(), &page).await?;
            let change = parts.iter().fold(Change::none(), |change, part| change.delete(part, 1));
            match self.store().apply(&change).await {
                // Somebody else clears them too.
                Ok(()) | Err(StoreError::Conflict) => {}
                Err(error) => return Err(error.into()),
            }
            if !more {
                break;
            }
        }
        for key in self.objects().list(&format!("uploads/{id}")).await? {
            self.objects().delete(&key).await?;
        }
        Ok(())
    }

    /// Forgets the tenant's oldest records as long as they are `due`.
    async fn oldest<D: Document>(
        &self,
        tenant: &TenantRecord,
        due: impl Fn(&D) -> bool,
    ) -> Result<()> {
        let page = PageRequest { after: None, limit: 1000, order: Order::Asc };
        loop {
            let (records, more) = self.documents::<D>(tenant.id.as_str(), &page).await?;
            for record in &records {
                if !due(record) {
                    return Ok(());
                }
                self.forget(record).await?;
            }
            if !more {
                return Ok(());
            }
        }
    }

    /// Removes a record, unless it is changed at that moment.
    pub(super) async fn forget<D: Document>(&self, record: &D) -> Result<()> {
        let Some((record, rev)) = self.document::<D>(&record.id()).await? else { return Ok(()) };
        match self.store().apply(&Change::none().delete(&record, rev)).await {
            // It was used again meanwhile.
            Ok(()) | Err(StoreError::Conflict) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }
}

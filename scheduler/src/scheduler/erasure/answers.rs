//! What was kept of requests: answers under idempotency keys, and uploads.

use sha2::{Digest, Sha256};
use trainyard_openapi::erasure::{Removed, RemovedKind};
use trainyard_openapi::id::FileId;
use trainyard_openapi::page::{Order, PageRequest};

use super::super::Scheduler;
use super::super::documents::Altered;
use super::super::requests::SILENT_MS;
use super::tenant_of;
use crate::erasure::ErasureRecord;
use crate::error::Result;
use crate::port::document::Document;
use crate::request::{Body, RequestRecord, RequestState};
use crate::upload::UploadRecord;

impl Scheduler {
    /// Erases the kept answers in which `name` stands; their keys stay used, so that no repeat is carried out anew. Whether no answer
    /// can come after that: one that is being worked on may still be told what was there before.
    pub(super) async fn erase_answers_that_show(
        &self,
        erasure: &ErasureRecord,
        name: &str,
    ) -> Result<bool> {
        let now_ms = self.store().now_ms().await?;
        let (mut page, mut all) =
            (PageRequest { after: None, limit: 1000, order: Order::Asc }, true);
        loop {
            let scope = tenant_of(erasure).as_str();
            let (requests, has_more) = self.documents::<RequestRecord>(scope, &page).await?;
            for request in &requests {
                match &request.state {
                    RequestState::InProgress { seen_at_ms } => {
                        let of_before = request.created_at_ms <= erasure.begun_at_ms;
                        all &= !(of_before && seen_at_ms + SILENT_MS > now_ms);
                    }
                    RequestState::Answered(answer) => {
                        if let Body::Json(text) = &answer.body
                            && text.contains(name)
                        {
                            self.erase_answer(erasure, request, text).await?;
                        }
                    }
                }
            }
            page.after = requests.last().map(Document::id);
            if !has_more {
                return Ok(all);
            }
        }
    }

    async fn erase_answer(
        &self,
        erasure: &ErasureRecord,
        request: &RequestRecord,
        text: &str,
    ) -> Result<()> {
        let sha256 = hex::encode(Sha256::digest(text));
        let removed = Removed {
            kind: RemovedKind::Answer,
            id: None,
            job_id: None,
            count: 1,
            bytes: text.len() as u64,
            sha256: Some(sha256.clone()),
        };
        // A key is the client's own text: it is told apart by its hash.
        let thing = format!("answer {}", hex::encode(Sha256::digest(request.id())));
        self.note(&erasure.id, &thing, vec![removed]).await?;
        self.alter::<RequestRecord>(&request.id(), |record, _| match &mut record.state {
            RequestState::Answered(answer) if answer.body == Body::Json(text.to_string()) => {
                answer.body = Body::Erased;
                Ok(Altered::Quietly)
            }
            _ => Ok(Altered::No),
        })
        .await?;
        Ok(())
    }

    /// Erases the uploads that became the file, with parts that are left of them.
    pub(super) async fn erase_uploads_of(
        &self,
        erasure: &ErasureRecord,
        file: &FileId,
    ) -> Result<()> {
        let mut page = PageRequest { after: None, limit: 1000, order: Order::Asc };
        let mut of_file = Vec::new();
        loop {
            let scope = tenant_of(erasure).as_str();
            let (uploads, has_more) = self.documents::<UploadRecord>(scope, &page).await?;
            page.after = uploads.last().map(Document::id);
            of_file.extend(uploads.into_iter().filter(|one| one.file.as_ref() == Some(file)));
            if !has_more {
                break;
            }
        }
        for upload in &of_file {
            self.erase_upload(erasure, upload).await?;
        }
        Ok(())
    }

    pub(super) async fn erase_upload(
        &self,
        erasure: &ErasureRecord,
        upload: &UploadRecord,
    ) -> Result<()> {
        let removed = Removed {
            kind: RemovedKind::Upload,
            id: Some(upload.id.to_string()),
            job_id: None,
            count: 1,
            bytes: 0,
            sha256: None,
        };
        self.note(&erasure.id, upload.id.as_str(), vec![removed]).await?;
        self.clear_parts(&upload.id).await?;
        self.forget(upload).await
    }
}

//! The receipt: what an erasure has written down, put together.

use sha2::{Digest, Sha256};
use trainyard_openapi::erasure::{
    ErasureReceipt, ErasureStatus, ErasureSubject, Kept, KeptKind, Removed,
};
use trainyard_openapi::id::{ErasureId, JobId};
use trainyard_openapi::page::{Order, PageRequest};

use super::super::Scheduler;
use super::super::documents::json as as_internal;
use crate::erasure::{ErasedRecord, ErasureRecord, Subject, totals};
use crate::error::Result;
use crate::ledger::PrivacyLedger;

/// What the record of an erased job still says.
const JOB_KEPT: &str = "the job stays listed: status, settings, times, counts of tokens and rows, hashes, and the client's own metadata";
/// What the ledger of the content's privacy still says.
const LEDGER_KEPT: &str = "what was spent of the content's privacy: its SHA-256, its budget, and the steps of each job; the same content, uploaded again, has no more to spend";
/// What the audit log still says.
const AUDIT_KEPT: &str =
    "the audit log is append-only: it keeps names, sizes and SHA-256 of files, and no content";
/// What the usage still says.
const USAGE_KEPT: &str = "daily sums of accelerator-seconds, tokens and jobs";
/// What backups still hold.
const BACKUPS_KEPT: &str =
    "backups made before this erasure still hold what it removed; the operator deletes them";
/// What the log may hold.
const LOG_KEPT: &str = "the operator's log may hold the message of an attempt that failed on a line of the data; it ages out as the operator rotates it";

impl Scheduler {
    /// The receipt as far as the erasure is.
    pub(super) async fn receipt(&self, record: &ErasureRecord) -> Result<ErasureReceipt> {
        let removed = self.removed_by(&record.id).await?;
        let (counts, bytes) = totals(&removed);
        let kept = self.kept_by(record).await?;
        Ok(ErasureReceipt {
            id: record.id.clone(),
            object: "erasure.receipt".to_string(),
            created_at: record.begun_at_ms / 1000,
            completed_at: record.ended_at_ms.map(|at_ms| at_ms / 1000),
            status: match record.ended_at_ms {
                None => ErasureStatus::InProgress,
                Some(_) => ErasureStatus::Completed,
            },
            subject: ErasureSubject {
                kind: record.subject.kind().to_string(),
                id: record.subject.id().to_string(),
            },
            counts,
            bytes,
            removed,
            kept,
        })
    }

    /// Everything that the erasure has removed or is about to.
    pub(super) async fn removed_by(&self, id: &ErasureId) -> Result<Vec<Removed>> {
        let all = self.erased_records(id).await?;
        Ok(all.into_iter().flat_map(|record| record.removed).collect())
    }

    /// What the erasure has written something down of.
    pub(super) async fn erased_things(&self, id: &ErasureId) -> Result<Vec<String>> {
        Ok(self.erased_records(id).await?.into_iter().map(|record| record.thing).collect())
    }

    async fn erased_records(&self, id: &ErasureId) -> Result<Vec<ErasedRecord>> {
        let mut all = Vec::new();
        let mut page = PageRequest { after: None, limit: 1000, order: Order::Asc };
        loop {
            let (records, has_more) = self.documents::<ErasedRecord>(id.as_str(), &page).await?;
            page.after = records.last().map(crate::port::document::Document::id);
            all.extend(records);
            if !has_more {
                return Ok(all);
            }
        }
    }

    async fn kept_by(&self, record: &ErasureRecord) -> Result<Vec<Kept>> {
        let mut kept = Vec::new();
        let mut keep = |kind: KeptKind, id: Option<String>, reason: &str| {
            kept.push(Kept { kind, id, reason: reason.to_string() });
        };
        if let Subject::File { file, sha256 } = &record.subject {
            for thing in self.erased_things(&record.id).await? {
                if thing.parse::<JobId>().is_ok() {
                    keep(KeptKind::JobRecord, Some(thing), JOB_KEPT);
                }
            }
            if let Some(sha256) = sha256 {
                let ledger = PrivacyLedger::id_of(&record.owner, sha256);
                if self.document::<PrivacyLedger>(&ledger).await?.is_some() {
                    keep(KeptKind::PrivacyLedger, None, LEDGER_KEPT);
                }
                let same = self.store().files_of_content(&record.owner, sha256).await?;
                for other in same.into_iter().filter(|other| other.id != *file) {
                    let reason = "another file with the same content: it was not asked for";
                    keep(KeptKind::SameContent, Some(other.id.to_string()), reason);
                }
            }
        }
        keep(KeptKind::AuditLog, None, AUDIT_KEPT);
        if matches!(record.subject, Subject::File { .. }) {
            keep(KeptKind::Usage, None, USAGE_KEPT);
        }
        keep(KeptKind::Backups, None, BACKUPS_KEPT);
        keep(KeptKind::ServerLog, None, LOG_KEPT);
        Ok(kept)
    }
}

/// SHA-256 of what was removed, as the receipt lists it.
pub(super) fn sha256_of(removed: &[Removed]) -> Result<String> {
    Ok(hex::encode(Sha256::digest(serde_json::to_vec(removed).map_err(as_internal)?)))
}

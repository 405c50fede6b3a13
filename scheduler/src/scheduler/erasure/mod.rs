//! Erasure: a file goes, and with it all that was made of it. A receipt stays.
//!
//! Each step first writes down what it removes, then removes it, and finds it done when it comes again. The sweep goes on with an
//! erasure that a crash or a failing port has stopped.

mod answers;
mod job;
mod receipt;
mod tenant;

use serde_json::json;
use trainyard_openapi::erasure::{
    DeletedFile, ErasureReceipt, FileDeletion, Removed, RemovedKind, Trained,
};
use trainyard_openapi::error::{ApiError, ErrorCode};
use trainyard_openapi::file::Purpose;
use trainyard_openapi::id::{ErasureId, FileId, JobId, TenantId};
use trainyard_openapi::page::{Order, PageRequest};
use trainyard_openapi::tenant::Scope;

use super::documents::{Altered, json as as_internal};
use super::files::not_found;
use super::{CONFLICTS_MAX, Scheduler};
use crate::audit::AuditEntry;
use crate::erasure::{ErasedRecord, ErasureRecord, PENDING, Subject, totals};
use crate::error::{Result, SchedulerError};
use crate::job::JobRecord;
use crate::port::document::Change;
use crate::port::store::StoreError;
use crate::tenant::TenantContext;

/// For how long after its end files are looked for that a run wrote which did not know of it, in milliseconds: an hour, many times
/// a lease.
const RECHECK_MS: i64 = 3_600_000;

impl Scheduler {
    /// Deletes a file with everything that was made of it: of each job that read it the checkpoints, model, result file, events and
    /// error message; the answers that were kept and show it; the parts it was uploaded in. A repeat answers the same.
    ///
    /// # Errors
    /// `file_not_found`; `in_use` while a job that has not ended reads it; `insufficient_scope` where the caller may not delete models
    /// or change jobs; `invalid_file_purpose` for a result file.
    pub async fn erase_file(&self, ctx: &TenantContext, id: &FileId) -> Result<DeletedFile> {
        for scope in [Scope::ModelsWrite, Scope::JobsWrite] {
            if !ctx.may(scope) {
                let text = format!(
                    "this API key may not do this: 'cascade' deletes models and events too, and the key has no scope '{}'",
                    scope.as_str()
                );
                return Err(ApiError::new(ErrorCode::InsufficientScope, text).into());
            }
        }
        let begun = self.begin_file_erasure(ctx, id).await?;
        let receipt = self.pursue(begun).await?;
        let trained = Trained::from(&receipt);
        let trainyard = FileDeletion { trained, erasure: Some(receipt) };
        Ok(DeletedFile { id: id.clone(), object: "file".to_string(), deleted: true, trainyard })
    }

    /// The receipt of an erasure that the tenant asked for.
    ///
    /// # Errors
    /// `not_found`.
    pub async fn erasure(&self, ctx: &TenantContext, id: &ErasureId) -> Result<ErasureReceipt> {
        let found = self.document::<ErasureRecord>(id.as_str()).await?.map(|(record, _)| record);
        let own = found.filter(|record| record.owner == *ctx.tenant());
        let missing =
            || ApiError::field(ErrorCode::NotFound, "id", format!("No such erasure: {id}"));
        self.receipt(&own.ok_or_else(missing)?).await
    }

    /// Takes the file from its tenant and writes down that the rest follows, in one step. Gives the erasure, new or not.
    async fn begin_file_erasure(&self, ctx: &TenantContext, id: &FileId) -> Result<ErasureRecord> {
        let erasure = erasure_id(id.as_str(), FileId::PREFIX)?;
        for _ in 0..CONFLICTS_MAX {
            if let Some((there, _)) = self.document::<ErasureRecord>(erasure.as_str()).await?
                && there.owner == *ctx.tenant()
            {
                return Ok(there);
            }
            let file = self.store().file(ctx.tenant(), id).await?;
            let one = PageRequest { after: None, limit: 1, order: Order::Desc };
            if file.is_none() && self.readers_of(ctx.tenant(), id, &one).await?.0.is_empty() {
                return Err(not_found(id).into());
            }
            if file.as_ref().is_some_and(|file| file.purpose == Purpose::FineTuneResults) {
                let text = format!(
                    "'{id}' is the result of a job: erase the file that the job was trained on, or delete this one without 'cascade'"
                );
                return Err(ApiError::field(ErrorCode::InvalidPurpose, "cascade", text).into());
            }
            self.check_unused(ctx, id).await?;
            self.check_no_live_heir(ctx, id).await?;
            let now_ms = self.store().now_ms().await?;
            let sha256 = file.as_ref().map(|file| file.sha256.clone());
            let record = ErasureRecord {
                id: erasure.clone(),
                owner: ctx.tenant().clone(),
                actor: ctx.actor(),
                subject: Subject::File { file: id.clone(), sha256: sha256.clone() },
                begun_at_ms: now_ms,
                ended_at_ms: None,
                settled: false,
            };
            let detail = json!({"sha256": sha256, "erasure": erasure});
            let entry = Self::audited(ctx, now_ms, "file.erased", id, detail);
            let mut change = Change::audited(entry).put(&record, 1).map_err(as_internal)?;
            let begun = match &file {
                None => self.store().apply(&change).await.map(|()| true),
                Some(file) => {
                    let removed = Removed {
                        kind: RemovedKind::File,
                        id: Some(id.to_string()),
                        job_id: None,
                        count: 1,
                        bytes: file.bytes,
                        sha256,
                    };
                    let (erasure, thing) = (erasure.clone(), "file".to_string());
                    let erased = ErasedRecord { erasure, thing, removed: vec![removed] };
                    change = change.put(&erased, 1).map_err(as_internal)?;
                    self.store().delete_file(ctx.tenant(), id, &change).await
                }
            };
            match begun {
                Ok(true) => return Ok(record),
                // Somebody else deletes it too, this way or the other.
                Ok(false) | Err(StoreError::Conflict) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Err(StoreError::Unavailable(format!("{id} changes too fast")).into())
    }

    /// Goes on with an erasure as far as it can be done now. What cannot is left to the sweep, and the receipt says so.
    async fn pursue(&self, record: ErasureRecord) -> Result<ErasureReceipt> {
        if record.ended_at_ms.is_none()
            && let Err(error) = self.advance(&record).await
        {
            tracing::warn!(erasure = %record.id, error = &error as &dyn std::error::Error, "an erasure is not complete; the sweep goes on with it");
        }
        let now = self.document::<ErasureRecord>(record.id.as_str()).await?;
        self.receipt(&now.map_or(record, |(record, _)| record)).await
    }

    /// Does every step of an erasure that is left. Whether that was the end of it.
    async fn advance(&self, record: &ErasureRecord) -> Result<bool> {
        let done = match &record.subject {
            Subject::File { file, .. } => self.erase_traces_of_file(record, file).await?,
            Subject::Tenant { tenant } => self.erase_traces_of_tenant(record, tenant).await?,
        };
        if !done {
            return Ok(false);
        }
        // Only what is nowhere on the disk any more is told to be gone.
        self.store().scrub().await?;
        self.conclude(record).await?;
        Ok(true)
    }

    async fn erase_traces_of_file(&self, record: &ErasureRecord, file: &FileId) -> Result<bool> {
        self.objects().delete(&format!("files/{file}")).await?;
        self.erase_uploads_of(record, file).await?;
        let mut page = PageRequest { after: None, limit: 100, order: Order::Asc };
        loop {
            let (jobs, has_more) = self.readers_of(&record.owner, file, &page).await?;
            for job in &jobs {
                self.end_reader(job, file).await?;
                self.erase_job(record, &job.id).await?;
                for heir in self.heirs_of(&record.owner, job).await? {
                    self.end_reader(&heir, file).await?;
                    self.erase_job(record, &heir.id).await?;
                }
            }
            page.after = jobs.last().map(|job| job.id.to_string());
            if !has_more {
                break;
            }
        }
        self.erase_answers_that_show(record, file.as_str()).await
    }

    /// Jobs that go on from what a job made, and those that go on from what these made, and so on: all of it came of what the first one read.
    async fn heirs_of(&self, tenant: &TenantId, job: &JobRecord) -> Result<Vec<JobRecord>> {
        let (mut heirs, mut next) = (Vec::new(), vec![job.id.clone()]);
        while let Some(id) = next.pop() {
            for child in self.children_of(tenant, &id).await? {
                next.push(child.id.clone());
                heirs.push(child);
            }
        }
        Ok(heirs)
    }

    /// Refuses to erase what a job that has not ended goes on from.
    async fn check_no_live_heir(&self, ctx: &TenantContext, file: &FileId) -> Result<()> {
        let mut page = PageRequest { after: None, limit: 100, order: Order::Asc };
        loop {
            let (jobs, has_more) = self.readers_of(ctx.tenant(), file, &page).await?;
            for job in &jobs {
                let heirs = self.heirs_of(ctx.tenant(), job).await?;
                if let Some(heir) = heirs.iter().find(|heir| !heir.state.status().is_terminal()) {
                    let text = format!(
                        "job {}, which has not ended, goes on from what came of '{file}'; cancel the job first",
                        heir.id
                    );
                    return Err(ApiError::new(ErrorCode::InUse, text).into());
                }
            }
            page.after = jobs.last().map(|job| job.id.to_string());
            if !has_more {
                return Ok(());
            }
        }
    }

    /// Writes down what is about to be removed of one thing. What was written down before stays as it is.
    async fn note(&self, erasure: &ErasureId, thing: &str, removed: Vec<Removed>) -> Result<()> {
        let record = ErasedRecord { erasure: erasure.clone(), thing: thing.to_string(), removed };
        match self.store().apply(&Change::none().put(&record, 1).map_err(as_internal)?).await {
            Ok(()) | Err(StoreError::Conflict) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// Writes down that all of it is gone.
    async fn conclude(&self, record: &ErasureRecord) -> Result<()> {
        let removed = self.removed_by(&record.id).await?;
        let (counts, bytes) = totals(&removed);
        let hash = receipt::sha256_of(&removed)?;
        self.alter::<ErasureRecord>(record.id.as_str(), |record, now_ms| {
            if record.ended_at_ms.is_some() {
                return Ok(Altered::No);
            }
            record.ended_at_ms = Some(now_ms);
            Ok(Altered::Audited(AuditEntry {
                tenant: record.owner.clone(),
                at_ms: now_ms,
                actor: record.actor.clone(),
                action: "erasure.completed".to_string(),
                target: record.id.to_string(),
                detail: json!({
                    "subject": record.subject.id(), "counts": counts, "bytes": bytes, "removed_sha256": hash,
                }),
            }))
        })
        .await?;
        Ok(())
    }

    /// Goes on with erasures that are not at their end, and removes what came after the end of others.
    pub(super) async fn sweep_erasures(&self, now_ms: i64) -> Result<()> {
        let page = PageRequest { after: None, limit: 1000, order: Order::Asc };
        let (pending, _) = self.documents::<ErasureRecord>(PENDING, &page).await?;
        for record in &pending {
            let ended = match record.ended_at_ms {
                None => self.advance(record).await.map(|_| ()),
                Some(at_ms) => self.look_again(record, now_ms >= at_ms + RECHECK_MS).await,
            };
            // One that cannot go on holds up no other.
            if let Err(error) = ended {
                tracing::error!(erasure = %record.id, error = &error as &dyn std::error::Error, "an erasure does not go on");
            }
        }
        Ok(())
    }

    /// Removes what runs wrote that did not know of the erasure; `last` says that none can be left.
    async fn look_again(&self, record: &ErasureRecord, last: bool) -> Result<()> {
        for thing in self.erased_things(&record.id).await? {
            if let Ok(job) = thing.parse::<JobId>() {
                self.clear_run_files(&job).await?;
            }
        }
        if let Subject::Tenant { tenant } = &record.subject {
            // A request that was under way may have made something after the end.
            self.erase_traces_of_tenant(record, tenant).await?;
        }
        if last {
            self.alter::<ErasureRecord>(record.id.as_str(), |record, _| {
                record.settled = true;
                Ok(Altered::Quietly)
            })
            .await?;
        }
        Ok(())
    }
}

/// The erasure of what has this id: its random part is the same, so that each can be erased once.
fn erasure_id(id: &str, prefix: &str) -> Result<ErasureId> {
    let random = id.strip_prefix(prefix).unwrap_or(id);
    let erasure = format!("{}{random}", ErasureId::PREFIX).parse::<ErasureId>();
    erasure.map_err(|error| SchedulerError::Internal(error.to_string()))
}

/// The tenant whose records an erasure looks through.
fn tenant_of(record: &ErasureRecord) -> &TenantId {
    match &record.subject {
        Subject::File { .. } => &record.owner,
        Subject::Tenant { tenant } => tenant,
    }
}

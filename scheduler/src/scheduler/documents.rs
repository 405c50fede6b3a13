//! Documents as the records they hold.

use serde_json::Value;
use trainyard_openapi::page::{Order, PageRequest};

use super::{CONFLICTS_MAX, Scheduler};
use crate::audit::AuditEntry;
use crate::error::{Result, SchedulerError};
use crate::port::document::{Change, Document, Stored};
use crate::port::store::{Slice, StoreError};
use crate::tenant::TenantContext;

impl Scheduler {
    /// A record and its revision.
    pub(super) async fn document<D: Document>(&self, id: &str) -> Result<Option<(D, u64)>> {
        let stored = self.store().document(D::KIND, id).await?;
        stored.map(|stored| Ok((read(&stored)?, stored.rev))).transpose()
    }

    /// Records of one scope.
    pub(super) async fn documents<D: Document>(
        &self,
        scope: &str,
        page: &PageRequest,
    ) -> Result<Slice<D>> {
        let (stored, has_more) = self.store().documents(D::KIND, scope, page).await?;
        Ok((stored.iter().map(read).collect::<Result<_>>()?, has_more))
    }

    /// All records of one scope.
    pub(super) async fn all_documents<D: Document>(&self, scope: &str) -> Result<Vec<D>> {
        let mut all = Vec::new();
        let mut page = PageRequest { after: None, limit: 1000, order: Order::Asc };
        loop {
            let (records, has_more) = self.documents::<D>(scope, &page).await?;
            page.after = records.last().map(Document::id);
            all.extend(records);
            if !has_more {
                return Ok(all);
            }
        }
    }

    /// Changes a record: reads it, lets `alter` work on it, writes it with an entry for the audit log where `alter` gives one,
    /// and does all of that anew where somebody else was faster. `None` where there is no such record.
    pub(super) async fn alter<D: Document>(
        &self,
        id: &str,
        mut alter: impl FnMut(&mut D, i64) -> Result<Altered>,
    ) -> Result<Option<D>> {
        for _ in 0..CONFLICTS_MAX {
            let Some((mut record, rev)) = self.document::<D>(id).await? else { return Ok(None) };
            let now_ms = self.store().now_ms().await?;
            let audit = match alter(&mut record, now_ms)? {
                Altered::No => return Ok(Some(record)),
                Altered::Quietly => Vec::new(),
                Altered::Audited(entry) => vec![entry],
            };
            let change =
                Change { writes: Vec::new(), audit }.put(&record, rev + 1).map_err(json)?;
            match self.store().apply(&change).await {
                Err(StoreError::Conflict) => {}
                Err(error) => return Err(error.into()),
                Ok(()) => return Ok(Some(record)),
            }
        }
        Err(StoreError::Unavailable(format!("{id} changes too fast")).into())
    }

    /// An entry of the audit log of the caller's tenant.
    pub(super) fn audited(
        ctx: &TenantContext,
        now_ms: i64,
        action: &str,
        target: impl ToString,
        detail: Value,
    ) -> AuditEntry {
        AuditEntry {
            tenant: ctx.tenant().clone(),
            at_ms: now_ms,
            actor: ctx.actor(),
            action: action.to_string(),
            target: target.to_string(),
            detail,
        }
    }
}

/// What became of a record.
pub(super) enum Altered {
    /// Nothing: it is not written.
    No,
    /// It changed in a way that the audit log does not tell.
    Quietly,
    /// It changed.
    Audited(AuditEntry),
}

fn read<D: Document>(stored: &Stored) -> Result<D> {
    D::deserialize(&stored.record)
        .map_err(|error| StoreError::Corrupt(format!("{}: {error}", stored.id)).into())
}

pub(super) fn json(error: serde_json::Error) -> SchedulerError {
    SchedulerError::Internal(error.to_string())
}

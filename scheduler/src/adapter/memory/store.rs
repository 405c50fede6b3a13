//! The record in memory: the contract in its plainest form. The other stores are compared with it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use trainyard_openapi::event::JobEvent;
use trainyard_openapi::file::Purpose;
use trainyard_openapi::id::{CheckpointId, FileId, JobId, TenantId};
use trainyard_openapi::page::{Order, PageRequest};

use crate::audit::{AuditRecord, chain};
use crate::clock::Clock;
use crate::job::{JobRecord, JobState};
use crate::port::document::{Change, Kind, Stored, Write};
use crate::port::queue::Ticket;
use crate::port::store::{
    CheckpointRecord, Commit, Durability, FileRecord, IdempotencyRecord, JobCount, JobFilter,
    ModelRecord, QueuedJob, Slice, Store, StoreError, UsageRecord,
};

/// The store.
pub struct MemoryStore {
    tables: Mutex<Tables>,
    clock: Arc<dyn Clock>,
}

/// Each list is in the order of its making.
#[derive(Default)]
struct Tables {
    documents: Vec<Stored>,
    audit: Vec<AuditRecord>,
    usage: BTreeMap<(TenantId, i64), UsageRecord>,
    files: Vec<FileRecord>,
    models: Vec<ModelRecord>,
    jobs: Vec<JobRecord>,
    events: Vec<(JobId, JobEvent)>,
    checkpoints: Vec<CheckpointRecord>,
    idempotency: BTreeMap<(TenantId, String), IdempotencyRecord>,
    outbox: Vec<Ticket>,
}

impl MemoryStore {
    /// An empty store.
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self { tables: Mutex::default(), clock }
    }

    fn tables(&self) -> MutexGuard<'_, Tables> {
        // Every change checks first and writes then, so no panic leaves half of one.
        self.tables.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Tables {
    fn put_file(&mut self, file: &FileRecord) -> Result<(), StoreError> {
        match self.files.iter().find(|there| there.id == file.id) {
            Some(there) if there == file => Ok(()),
            Some(_) => Err(StoreError::Conflict),
            None => {
                self.files.push(file.clone());
                Ok(())
            }
        }
    }

    fn live_count(&self, tenant: &TenantId) -> u64 {
        let live = |job: &&JobRecord| job.tenant == *tenant && !job.state.status().is_terminal();
        self.jobs.iter().filter(live).count() as u64
    }

    /// Whether a change can be made.
    fn check(&self, change: &Change) -> Result<(), StoreError> {
        let rev = |kind: Kind, id: &str| {
            let there = self.documents.iter().find(|there| there.kind == kind && there.id == id);
            there.map_or(0, |there| there.rev)
        };
        let fits = |write: &Write| match write {
            Write::Put(new) => rev(new.kind, &new.id) + 1 == new.rev,
            // Nothing has revision 0: what is not there cannot be removed.
            Write::Delete { kind, id, rev: read } => *read > 0 && rev(*kind, id) == *read,
        };
        if change.writes.iter().all(fits) { Ok(()) } else { Err(StoreError::Conflict) }
    }

    /// Makes a change that was checked.
    fn apply(&mut self, change: &Change) {
        for write in &change.writes {
            let (kind, id) = match write {
                Write::Put(new) => (new.kind, &new.id),
                Write::Delete { kind, id, .. } => (*kind, id),
            };
            let place =
                self.documents.iter().position(|there| there.kind == kind && there.id == *id);
            match (write, place) {
                (Write::Put(new), Some(place)) => self.documents[place] = new.clone(),
                (Write::Put(new), None) => self.documents.push(new.clone()),
                (Write::Delete { .. }, Some(place)) => drop(self.documents.remove(place)),
                (Write::Delete { .. }, None) => {}
            }
        }
        for entry in &change.audit {
            let last = self.audit.iter().rev().find(|last| last.entry.tenant == entry.tenant);
            let next = chain(last.map(|last| (last.seq, last.hash.as_str())), entry);
            self.audit.push(next);
        }
    }

    /// Removes what a job made and what is told of it.
    fn erase(&mut self, job: &JobId) {
        let made = format!("jobs/{job}/");
        self.events.retain(|(of, _)| of != job);
        self.checkpoints.retain(|checkpoint| checkpoint.job != *job);
        self.models.retain(|model| model.job != *job);
        self.files.retain(|file| !file.key.starts_with(&made));
    }

    fn add_usage(&mut self, tenant: &TenantId, usage: &UsageRecord) {
        let sum = self.usage.entry((tenant.clone(), usage.day)).or_default();
        sum.day = usage.day;
        sum.accelerator_ms += usage.accelerator_ms;
        sum.trained_tokens += usage.trained_tokens;
        sum.jobs_created += usage.jobs_created;
        sum.jobs_succeeded += usage.jobs_succeeded;
    }

    fn commit(&mut self, commit: Commit) -> Result<(), StoreError> {
        let Commit {
            job,
            expected_rev,
            events,
            checkpoint,
            model,
            result_file,
            erases,
            ticket,
            idempotency,
            live_max,
            usage,
            also,
        } = commit;
        if let Some(most) = live_max {
            let live = self.live_count(&job.tenant);
            if live >= u64::from(most) {
                return Err(StoreError::TooManyLive(live));
            }
        }
        let place = self.jobs.iter().position(|there| there.id == job.id);
        let rev = place.map_or(0, |place| self.jobs[place].rev);
        let key = idempotency.as_ref().map(|kept| (kept.tenant.clone(), kept.key.clone()));
        let taken = rev != expected_rev
            || key.as_ref().is_some_and(|key| self.idempotency.contains_key(key))
                && !idempotency.as_ref().is_some_and(|kept| kept.implied)
            || model.as_ref().is_some_and(|new| self.models.iter().any(|there| there.id == new.id))
            || checkpoint
                .as_ref()
                .is_some_and(|new| self.checkpoints.iter().any(|c| c.id == new.id))
            || events.iter().any(|new| self.events.iter().any(|(_, there)| there.id == new.id));
        if taken {
            return Err(StoreError::Conflict);
        }
        self.check(&also)?;
        if erases {
            self.erase(&job.id);
        }
        if let Some(file) = &result_file {
            self.put_file(file)?;
        }
        self.apply(&also);
        if let Some(usage) = usage {
            self.add_usage(&job.tenant, &usage);
        }
        self.events.extend(events.into_iter().map(|event| (job.id.clone(), event)));
        self.checkpoints.extend(checkpoint);
        self.models.extend(model);
        self.outbox.extend(ticket);
        self.idempotency.extend(key.zip(idempotency));
        match place {
            Some(place) => self.jobs[place] = job,
            None => self.jobs.push(job),
        }
        Ok(())
    }
}

/// A page of `all`, which is the whole list in the order of its making; `wanted` says which of it are shown.
fn paged<T: Clone>(
    mut all: Vec<&T>,
    wanted: impl Fn(&T) -> bool,
    id: impl Fn(&T) -> String,
    page: &PageRequest,
) -> Result<Slice<T>, StoreError> {
    if page.order == Order::Desc {
        all.reverse();
    }
    let start = match &page.after {
        None => 0,
        Some(after) => {
            let place = all.iter().position(|item| id(item) == *after);
            place.ok_or_else(|| StoreError::UnknownCursor(after.clone()))? + 1
        }
    };
    let limit = page.limit as usize;
    let rest = all[start..].iter().filter(|item| wanted(item));
    let mut items: Vec<T> = rest.take(limit + 1).map(|item| (*item).clone()).collect();
    let has_more = items.len() > limit;
    items.truncate(limit);
    Ok((items, has_more))
}

#[async_trait]
impl Store for MemoryStore {
    async fn now_ms(&self) -> Result<i64, StoreError> {
        Ok(self.clock.now_ms())
    }

    fn durability(&self) -> Durability {
        Durability::Volatile("the record is in memory alone".to_string())
    }

    async fn scrub(&self) -> Result<(), StoreError> {
        Ok(())
    }

    async fn apply(&self, change: &Change) -> Result<(), StoreError> {
        let mut tables = self.tables();
        tables.check(change)?;
        tables.apply(change);
        Ok(())
    }

    async fn document(&self, kind: Kind, id: &str) -> Result<Option<Stored>, StoreError> {
        let tables = self.tables();
        Ok(tables.documents.iter().find(|there| there.kind == kind && there.id == id).cloned())
    }

    async fn documents(
        &self,
        kind: Kind,
        scope: &str,
        page: &PageRequest,
    ) -> Result<Slice<Stored>, StoreError> {
        let tables = self.tables();
        let own =
            tables.documents.iter().filter(|there| there.kind == kind && there.scope == scope);
        paged(own.collect(), |_| true, |there| there.id.clone(), page)
    }

    async fn document_count(&self, kind: Kind) -> Result<u64, StoreError> {
        Ok(self.tables().documents.iter().filter(|there| there.kind == kind).count() as u64)
    }

    async fn audit(
        &self,
        tenant: &TenantId,
        after: u64,
        limit: u32,
    ) -> Result<Vec<AuditRecord>, StoreError> {
        let tables = self.tables();
        let own = tables.audit.iter().filter(|one| one.entry.tenant == *tenant && one.seq > after);
        Ok(own.take(limit as usize).cloned().collect())
    }

    async fn usage(
        &self,
        tenant: &TenantId,
        from: i64,
        to: i64,
    ) -> Result<Vec<UsageRecord>, StoreError> {
        let tables = self.tables();
        let days = tables.usage.range((tenant.clone(), from)..=(tenant.clone(), to));
        Ok(days.map(|(_, usage)| usage.clone()).collect())
    }

    async fn stored_bytes(&self, tenant: &TenantId) -> Result<u64, StoreError> {
        let tables = self.tables();
        let files =
            tables.files.iter().filter(|file| file.tenant == *tenant).map(|file| file.bytes);
        let models = tables.models.iter().filter(|model| model.tenant == *tenant);
        Ok(files.chain(models.map(|model| model.bytes)).sum())
    }

    async fn put_file(&self, file: &FileRecord, also: &Change) -> Result<(), StoreError> {
        let mut tables = self.tables();
        tables.check(also)?;
        tables.put_file(file)?;
        tables.apply(also);
        Ok(())
    }

    async fn expired_files(&self, now_ms: i64, limit: u32) -> Result<Vec<FileRecord>, StoreError> {
        let tables = self.tables();
        let due = |file: &&FileRecord| file.expires_at_ms.is_some_and(|at| at <= now_ms);
        let mut files: Vec<_> = tables.files.iter().filter(due).cloned().collect();
        files.sort_by_key(|file| file.expires_at_ms);
        files.truncate(limit as usize);
        Ok(files)
    }

    async fn file(&self, tenant: &TenantId, id: &FileId) -> Result<Option<FileRecord>, StoreError> {
        let tables = self.tables();
        Ok(tables.files.iter().find(|file| file.tenant == *tenant && file.id == *id).cloned())
    }

    async fn files(
        &self,
        tenant: &TenantId,
        purpose: Option<Purpose>,
        page: &PageRequest,
    ) -> Result<Slice<FileRecord>, StoreError> {
        let tables = self.tables();
        let all = tables.files.iter().filter(|file| file.tenant == *tenant).collect();
        let wanted = |file: &FileRecord| purpose.is_none_or(|purpose| file.purpose == purpose);
        paged(all, wanted, |file| file.id.to_string(), page)
    }

    async fn files_of_content(
        &self,
        tenant: &TenantId,
        sha256: &str,
    ) -> Result<Vec<FileRecord>, StoreError> {
        let tables = self.tables();
        let same = |file: &&FileRecord| file.tenant == *tenant && file.sha256 == sha256;
        Ok(tables.files.iter().filter(same).cloned().collect())
    }

    async fn delete_file(
        &self,
        tenant: &TenantId,
        id: &FileId,
        also: &Change,
    ) -> Result<bool, StoreError> {
        let mut tables = self.tables();
        tables.check(also)?;
        let before = tables.files.len();
        tables.files.retain(|file| file.tenant != *tenant || file.id != *id);
        let there = tables.files.len() < before;
        if there {
            tables.apply(also);
        }
        Ok(there)
    }

    async fn model(&self, tenant: &TenantId, id: &str) -> Result<Option<ModelRecord>, StoreError> {
        let tables = self.tables();
        Ok(tables.models.iter().find(|model| model.tenant == *tenant && model.id == id).cloned())
    }

    async fn models(&self, tenant: &TenantId) -> Result<Vec<ModelRecord>, StoreError> {
        let tables = self.tables();
        let own = tables.models.iter().rev().filter(|model| model.tenant == *tenant);
        Ok(own.cloned().collect())
    }

    async fn delete_model(
        &self,
        tenant: &TenantId,
        id: &str,
        also: &Change,
    ) -> Result<bool, StoreError> {
        let mut tables = self.tables();
        tables.check(also)?;
        let before = tables.models.len();
        tables.models.retain(|model| model.tenant != *tenant || model.id != id);
        let there = tables.models.len() < before;
        if there {
            tables.apply(also);
        }
        Ok(there)
    }

    async fn commit(&self, commit: Commit) -> Result<(), StoreError> {
        self.tables().commit(commit)
    }

    async fn job(&self, tenant: &TenantId, id: &JobId) -> Result<Option<JobRecord>, StoreError> {
        let tables = self.tables();
        Ok(tables.jobs.iter().find(|job| job.tenant == *tenant && job.id == *id).cloned())
    }

    async fn job_of_any_tenant(&self, id: &JobId) -> Result<Option<JobRecord>, StoreError> {
        Ok(self.tables().jobs.iter().find(|job| job.id == *id).cloned())
    }

    async fn jobs(
        &self,
        tenant: &TenantId,
        filter: &JobFilter,
        page: &PageRequest,
    ) -> Result<Slice<JobRecord>, StoreError> {
        let tables = self.tables();
        let all = tables.jobs.iter().filter(|job| job.tenant == *tenant).collect();
        let wanted = |job: &JobRecord| {
            let value = |key: &String| job.metadata.as_ref().and_then(|pairs| pairs.get(key));
            let made_of = |wanted: &str| job.sources().contains(wanted);
            filter.metadata.iter().all(|(key, wanted)| value(key) == Some(wanted))
                && filter.sources().all(made_of)
        };
        paged(all, wanted, |job| job.id.to_string(), page)
    }

    async fn validating_jobs(&self) -> Result<Vec<JobId>, StoreError> {
        let tables = self.tables();
        let validating = tables.jobs.iter().filter(|job| job.state == JobState::Validating);
        Ok(validating.map(|job| job.id.clone()).collect())
    }

    async fn queued_jobs(&self) -> Result<Vec<QueuedJob>, StoreError> {
        Ok(self.tables().jobs.iter().filter_map(QueuedJob::of).collect())
    }

    async fn busy_jobs(&self) -> Result<Vec<JobRecord>, StoreError> {
        let tables = self.tables();
        Ok(tables.jobs.iter().filter(|job| job.state.is_busy()).cloned().collect())
    }

    async fn job_counts(&self) -> Result<Vec<JobCount>, StoreError> {
        let tables = self.tables();
        let mut counts: BTreeMap<(&'static str, &str), u64> = BTreeMap::new();
        for job in &tables.jobs {
            if let Some(state) = job.state.live_word() {
                *counts.entry((state, &job.plan.resources.pool)).or_default() += 1;
            }
        }
        let counts = counts.into_iter();
        Ok(counts
            .map(|((state, pool), jobs)| JobCount { state, pool: pool.into(), jobs })
            .collect())
    }

    async fn live_count(&self, tenant: &TenantId) -> Result<u64, StoreError> {
        Ok(self.tables().live_count(tenant))
    }

    async fn file_in_use(&self, tenant: &TenantId, id: &FileId) -> Result<bool, StoreError> {
        let reads = |job: &JobRecord| {
            !job.state.status().is_terminal()
                && job.tenant == *tenant
                && job.sources().contains(id.as_str())
        };
        Ok(self.tables().jobs.iter().any(reads))
    }

    async fn idempotency(
        &self,
        tenant: &TenantId,
        key: &str,
    ) -> Result<Option<IdempotencyRecord>, StoreError> {
        Ok(self.tables().idempotency.get(&(tenant.clone(), key.to_string())).cloned())
    }

    async fn forget_answers(&self, before_ms: i64) -> Result<(), StoreError> {
        self.tables().idempotency.retain(|_, kept| kept.created_at_ms >= before_ms);
        Ok(())
    }

    async fn forget_tenant(&self, tenant: &TenantId) -> Result<(), StoreError> {
        let mut tables = self.tables();
        let own: Vec<JobId> = {
            let own = tables.jobs.iter().filter(|job| job.tenant == *tenant);
            own.map(|job| job.id.clone()).collect()
        };
        tables.events.retain(|(job, _)| !own.contains(job));
        tables.checkpoints.retain(|checkpoint| !own.contains(&checkpoint.job));
        tables.outbox.retain(|ticket| !own.contains(&ticket.job));
        tables.jobs.retain(|job| job.tenant != *tenant);
        tables.files.retain(|file| file.tenant != *tenant);
        tables.models.retain(|model| model.tenant != *tenant);
        tables.usage.retain(|(of, _), _| of != tenant);
        tables.idempotency.retain(|(of, _), _| of != tenant);
        Ok(())
    }

    async fn events(&self, job: &JobId, page: &PageRequest) -> Result<Slice<JobEvent>, StoreError> {
        let tables = self.tables();
        let own = tables.events.iter().filter(|(of, _)| of == job);
        paged(own.map(|(_, event)| event).collect(), |_| true, |event| event.id.to_string(), page)
    }

    async fn checkpoints(
        &self,
        job: &JobId,
        page: &PageRequest,
    ) -> Result<Slice<CheckpointRecord>, StoreError> {
        let tables = self.tables();
        let own = tables.checkpoints.iter().filter(|checkpoint| checkpoint.job == *job);
        paged(own.collect(), |_| true, |checkpoint| checkpoint.id.to_string(), page)
    }

    async fn all_checkpoints(&self, job: &JobId) -> Result<Vec<CheckpointRecord>, StoreError> {
        let tables = self.tables();
        Ok(tables.checkpoints.iter().filter(|checkpoint| checkpoint.job == *job).cloned().collect())
    }

    async fn delete_checkpoint(&self, job: &JobId, id: &CheckpointId) -> Result<(), StoreError> {
        self.tables().checkpoints.retain(|there| there.job != *job || there.id != *id);
        Ok(())
    }

    async fn outbox(&self) -> Result<Vec<Ticket>, StoreError> {
        Ok(self.tables().outbox.clone())
    }

    async fn ticket_sent(&self, ticket: &Ticket) -> Result<(), StoreError> {
        self.tables().outbox.retain(|there| there.job != ticket.job || there.seq != ticket.seq);
        Ok(())
    }
}

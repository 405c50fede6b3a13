//! The record in memory: the contract in its plainest form. The other stores are compared with it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use trainyard_openapi::event::JobEvent;
use trainyard_openapi::file::Purpose;
use trainyard_openapi::id::{CheckpointId, FileId, JobId, TenantId};
use trainyard_openapi::page::{Order, PageRequest};

use crate::clock::Clock;
use crate::job::JobRecord;
use crate::port::queue::Ticket;
use crate::port::store::{
    CheckpointRecord, Commit, FileRecord, IdempotencyRecord, JobFilter, KeyRecord, ModelRecord,
    Slice, Store, StoreError,
};

/// The store.
pub struct MemoryStore {
    tables: Mutex<Tables>,
    clock: Arc<dyn Clock>,
}

/// Each list is in the order of its making.
#[derive(Default)]
struct Tables {
    keys: BTreeMap<String, KeyRecord>,
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

    fn commit(&mut self, commit: Commit) -> Result<(), StoreError> {
        let Commit {
            job,
            expected_rev,
            events,
            checkpoint,
            model,
            result_file,
            ticket,
            idempotency,
        } = commit;
        let place = self.jobs.iter().position(|there| there.id == job.id);
        let rev = place.map_or(0, |place| self.jobs[place].rev);
        let key = idempotency.as_ref().map(|kept| (kept.tenant.clone(), kept.key.clone()));
        let taken = rev != expected_rev
            || key.as_ref().is_some_and(|key| self.idempotency.contains_key(key))
            || model.as_ref().is_some_and(|new| self.models.iter().any(|there| there.id == new.id))
            || checkpoint
                .as_ref()
                .is_some_and(|new| self.checkpoints.iter().any(|c| c.id == new.id))
            || events.iter().any(|new| self.events.iter().any(|(_, there)| there.id == new.id));
        if taken {
            return Err(StoreError::Conflict);
        }
        if let Some(file) = &result_file {
            self.put_file(file)?;
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

    async fn put_key(&self, key: &KeyRecord) -> Result<(), StoreError> {
        let mut tables = self.tables();
        let there = tables.keys.entry(key.id.clone()).or_insert_with(|| key.clone());
        if there == key { Ok(()) } else { Err(StoreError::Conflict) }
    }

    async fn key(&self, id: &str) -> Result<Option<KeyRecord>, StoreError> {
        Ok(self.tables().keys.get(id).cloned())
    }

    async fn key_count(&self) -> Result<u64, StoreError> {
        Ok(self.tables().keys.len() as u64)
    }

    async fn put_file(&self, file: &FileRecord) -> Result<(), StoreError> {
        self.tables().put_file(file)
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

    async fn delete_file(&self, tenant: &TenantId, id: &FileId) -> Result<bool, StoreError> {
        let mut tables = self.tables();
        let before = tables.files.len();
        tables.files.retain(|file| file.tenant != *tenant || file.id != *id);
        Ok(tables.files.len() < before)
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

    async fn delete_model(&self, tenant: &TenantId, id: &str) -> Result<bool, StoreError> {
        let mut tables = self.tables();
        let before = tables.models.len();
        tables.models.retain(|model| model.tenant != *tenant || model.id != id);
        Ok(tables.models.len() < before)
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
            filter.metadata.iter().all(|(key, wanted)| value(key) == Some(wanted))
        };
        paged(all, wanted, |job| job.id.to_string(), page)
    }

    async fn live_jobs(&self) -> Result<Vec<JobRecord>, StoreError> {
        let tables = self.tables();
        Ok(tables.jobs.iter().filter(|job| !job.state.status().is_terminal()).cloned().collect())
    }

    async fn file_in_use(&self, tenant: &TenantId, id: &FileId) -> Result<bool, StoreError> {
        let reads = |job: &JobRecord| {
            !job.state.status().is_terminal()
                && job.tenant == *tenant
                && (job.training_file == *id || job.validation_file.as_ref() == Some(id))
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

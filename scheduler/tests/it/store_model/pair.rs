//! The two stores, and what an operation is to them.

use std::any::Any;
use std::fmt::{Debug, Display};
use std::str::FromStr;
use std::sync::Arc;

use serde_json::json;
use tokio::runtime::Runtime;
use trainyard_openapi::file::Purpose;
use trainyard_openapi::id::{EventId, JobId, TenantId};
use trainyard_scheduler::adapter::memory::MemoryStore;
use trainyard_scheduler::audit::AuditEntry;
use trainyard_scheduler::clock::SystemClock;
use trainyard_scheduler::contract::sample;
use trainyard_scheduler::job::state::{Lease, Transition};
use trainyard_scheduler::job::{JobRecord, JobState};
use trainyard_scheduler::port::document::{Change, Kind, Stored, Write};
use trainyard_scheduler::port::store::{
    Commit, FileRecord, IdempotencyRecord, Store, StoreError, UsageRecord,
};

use super::compare;
use super::operation::{self, Operation, Step};

pub(super) const KIND: Kind = Kind::Webhook;

pub(super) struct Pair {
    runtime: Runtime,
    reference: MemoryStore,
    store: Arc<dyn Store>,
    /// Operations so far: the time of what they make, and its own number.
    count: u32,
    _place: Box<dyn Any>,
}

/// The id of kind `Id` with this number.
pub(super) fn id<Id: FromStr<Err: Debug>>(prefix: &str, number: impl Display) -> Id {
    format!("{prefix}{number:0>24}").parse().unwrap()
}

/// The tenant of the thing with this number.
pub(super) fn tenant(number: u8) -> TenantId {
    id("org-", number % 2)
}

impl Pair {
    pub(super) fn new(open: impl AsyncFn() -> (Box<dyn Any>, Arc<dyn Store>)) -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let (place, store) = runtime.block_on(open());
        Self {
            runtime,
            reference: MemoryStore::new(Arc::new(SystemClock)),
            store,
            count: 0,
            _place: place,
        }
    }

    /// Does it in both; they answer the same.
    pub(super) fn take(&mut self, operation: &Operation) {
        self.count += 1;
        let this = &*self;
        this.runtime.block_on(async {
            match operation {
                Operation::Document(document) => {
                    let change = this.change(document).await;
                    same(this.reference.apply(&change).await, this.store.apply(&change).await);
                }
                Operation::PutFile { file, other, audited } => {
                    let file = this.file(*file, *other);
                    let also = if *audited {
                        Change::audited(this.entry(&file.tenant))
                    } else {
                        Change::none()
                    };
                    same(
                        this.reference.put_file(&file, &also).await,
                        this.store.put_file(&file, &also).await,
                    );
                }
                Operation::DeleteFile { file, foreign } => {
                    let (tenant, id) = (tenant(file + u8::from(*foreign)), id("file-", file));
                    let also = Change::audited(this.entry(&tenant));
                    same(
                        this.reference.delete_file(&tenant, &id, &also).await,
                        this.store.delete_file(&tenant, &id, &also).await,
                    );
                }
                Operation::DeleteModel { model, foreign } => {
                    let (tenant, name) =
                        (tenant(model + u8::from(*foreign)), format!("ft:{model}"));
                    let also = Change::audited(this.entry(&tenant));
                    same(
                        this.reference.delete_model(&tenant, &name, &also).await,
                        this.store.delete_model(&tenant, &name, &also).await,
                    );
                }
                Operation::Commit(change) => {
                    let commit = this.commit(change).await;
                    same(
                        this.reference.commit(commit.clone()).await,
                        this.store.commit(commit).await,
                    );
                }
                Operation::TicketSent { job, seq } => {
                    let ticket = sample::ticket(&record(*job), *seq);
                    same(
                        this.reference.ticket_sent(&ticket).await,
                        this.store.ticket_sent(&ticket).await,
                    );
                }
                Operation::DeleteCheckpoint { checkpoint } => {
                    // Of the job that it was made by, or of another.
                    for job in 0..2_u8 {
                        let (job, id) = (id::<JobId>("ftjob-", job), id("ftckpt_", checkpoint));
                        same(
                            this.reference.delete_checkpoint(&job, &id).await,
                            this.store.delete_checkpoint(&job, &id).await,
                        );
                    }
                }
                Operation::ForgetTenant { tenant: number } => {
                    let tenant = tenant(*number);
                    same(
                        this.reference.forget_tenant(&tenant).await,
                        this.store.forget_tenant(&tenant).await,
                    );
                }
                Operation::ForgetAnswers { before } => {
                    let before = i64::from(*before);
                    same(
                        this.reference.forget_answers(before).await,
                        this.store.forget_answers(before).await,
                    );
                }
            }
        });
    }

    /// Reads everything from both.
    pub(super) fn compare(&self) {
        self.runtime.block_on(compare::all(&self.reference, &*self.store));
    }

    async fn commit(&self, change: &operation::Change) -> Commit {
        let known = self.reference.job_of_any_tenant(&id("ftjob-", change.job)).await.unwrap();
        let rev = known.as_ref().map_or(0, |job| job.rev) + u64::from(!change.current);
        let new = known.is_none();
        let mut job = known.unwrap_or_else(|| record(change.job));
        job.rev = rev + 1;
        job.progress.step += 1;
        // Metadata stays as the job was made with it.
        if let Some(value) = change.metadata.filter(|_| new) {
            job.metadata =
                Some([("team".to_string(), value.to_string()), ("a'b".into(), "ü".into())].into());
        }
        job.state = self.stepped(job.state, change.step);
        job.seq += u64::from(change.ticket);
        let mut commit = Commit { expected_rev: rev, ..Commit::of(job.clone()) };
        for number in 0..change.events {
            let mut event = sample::event(&format!("{number} of {}", self.count));
            event.id = self.event_id(number);
            commit.events.push(event);
        }
        if let Some(last) =
            commit.events.last_mut().filter(|_| change.repeats_event && !change.erases)
        {
            last.id = id("ftevent-", "again");
        }
        commit.checkpoint = change.checkpoint.map(|number| {
            let mut checkpoint = sample::checkpoint(&job, u64::from(self.count));
            checkpoint.id = id("ftckpt_", number);
            checkpoint
        });
        // What a job makes is its tenant's.
        commit.model = change.model.map(|number| sample::model(&job, &format!("ft:{number}")));
        commit.result_file = change.result_file.map(|number| FileRecord {
            key: format!("jobs/{}/e1-x/{number}", job.id),
            tenant: job.tenant.clone(),
            ..self.file(number, true)
        });
        commit.erases = change.erases;
        if commit.erases {
            (commit.checkpoint, commit.model, commit.result_file) = (None, None, None);
        }
        commit.ticket = change.ticket.then(|| sample::ticket(&job, job.seq));
        commit.idempotency = change.key.map(|key| IdempotencyRecord {
            implied: change.implied,
            created_at_ms: i64::from(self.count),
            ..sample::idempotency(&job, &format!("key {key}\n"))
        });
        commit.live_max = change.live_max;
        commit.usage = change.usage_day.map(|day| UsageRecord {
            day,
            accelerator_ms: 1 << 40,
            jobs_created: 1,
            ..UsageRecord::default()
        });
        if let Some(document) = &change.document {
            commit.also = self.change(document).await;
        }
        commit
    }

    fn stepped(&self, state: JobState, step: Step) -> JobState {
        let now_ms = i64::from(self.count);
        let transition = match (step, &state) {
            (Step::None, _) => return state,
            (Step::End, _) => Transition::Cancel { now_ms },
            (Step::Forward, JobState::Validating) => Transition::Validated { now_ms },
            (Step::Forward, JobState::Queued { .. }) => Transition::Dispatch { now_ms },
            (Step::Forward, JobState::Dispatched { .. }) => Transition::Claim(Lease {
                epoch: 1,
                nonce: id("nonce_", 1),
                executor: id("exec-", 1),
                since_ms: now_ms,
                seen_ms: now_ms,
                until_ms: now_ms,
                reported: 0,
            }),
            (Step::Forward, _) => Transition::Return { now_ms },
        };
        state.clone().apply(transition).unwrap_or(state)
    }

    /// One that no operation before this one has given.
    fn event_id(&self, number: u8) -> EventId {
        id("ftevent-", format!("{}x{number}", self.count))
    }

    async fn change(&self, document: &operation::Document) -> Change {
        let name = format!("document {}", document.id);
        let there = self.reference.document(KIND, &name).await.unwrap();
        let rev = there.map_or(0, |there| there.rev) + u64::from(!document.current);
        let tenant = tenant(document.id);
        let write = if document.delete {
            Write::Delete { kind: KIND, id: name, rev }
        } else {
            let record = json!({"by": self.count, "tiny": 5e-324, "sum": 0.1 + 0.2, "text": "\u{0}\u{7f}ä😀"});
            Write::Put(Stored {
                kind: KIND,
                id: name,
                scope: tenant.to_string(),
                rev: rev + 1,
                record,
            })
        };
        let audit = if document.audited { vec![self.entry(&tenant)] } else { Vec::new() };
        Change { writes: vec![write], audit }
    }

    fn entry(&self, tenant: &TenantId) -> AuditEntry {
        AuditEntry {
            tenant: tenant.clone(),
            at_ms: i64::from(self.count),
            actor: "key:abc".to_string(),
            action: "file.deleted".to_string(),
            target: format!("Ä\"{}", self.count),
            detail: json!({"n": self.count}),
        }
    }

    fn file(&self, number: u8, other: bool) -> FileRecord {
        let purpose =
            if number.is_multiple_of(3) { Purpose::FineTuneResults } else { Purpose::FineTune };
        FileRecord {
            id: id("file-", number),
            key: format!("files/{number}"),
            bytes: 1 << 30,
            expires_at_ms: (number % 2 == 1).then_some(i64::from(number)),
            // The same record again is no conflict; another one is.
            lines: if other { u64::from(self.count) } else { 7 },
            ..sample::file(&tenant(number), purpose)
        }
    }
}

fn record(number: u8) -> JobRecord {
    JobRecord {
        id: id("ftjob-", number),
        training_file: id("file-", number / 2),
        validation_file: None,
        ..sample::job(&tenant(number))
    }
}

#[track_caller]
fn same<T: Debug>(reference: Result<T, StoreError>, other: Result<T, StoreError>) {
    assert_eq!(format!("{other:?}"), format!("{reference:?}"), "right: the store in memory");
}

//! Transitions as the scripts read them. Records are JSON text inside JSON, so that no script takes a number apart.

use serde::Serialize;
use sha2::{Digest, Sha256};
use trainyard_openapi::file::Purpose;

use crate::audit::canonical_text;
use crate::job::{JobRecord, JobState};
use crate::port::document;
use crate::port::queue::Ticket;
use crate::port::store::{self, FileRecord, ModelRecord, QueuedJob, StoreError};

/// What a job that has not ended is listed under beside its tenant.
pub(super) const LIVE: &str = "live";
/// The lists of all tenants' jobs that need no script to be read.
pub(super) const VALIDATING: &str = "validating";
pub(super) const QUEUED: &str = "queued";

/// A record in a list.
#[derive(Serialize)]
pub(super) struct Row<'a> {
    id: &'a str,
    scope: &'a str,
    record: String,
}

/// A record whose bytes are counted.
#[derive(Serialize)]
pub(super) struct Weighed<'a> {
    #[serde(flatten)]
    row: Row<'a>,
    /// The lower 32 bits of its size, and the upper.
    low: u32,
    high: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    labels: Option<Vec<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    expires_at_ms: Option<i64>,
    /// The job that made it.
    #[serde(skip_serializing_if = "Option::is_none")]
    job: Option<&'a str>,
}

#[derive(Serialize)]
pub(super) struct Job<'a> {
    #[serde(flatten)]
    row: Row<'a>,
    rev: u64,
    state: &'static str,
    labels: Vec<String>,
    /// Which of the lists of the scheduler's loops it is in, and what that list holds of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    lane: Option<&'static str>,
    entry: String,
    /// What it counts under; absent where it has ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    counted: Option<String>,
}

#[derive(Serialize)]
pub(super) struct Kept<'a> {
    tenant: &'a str,
    name: String,
    implied: bool,
    created_at_ms: i64,
    record: String,
}

#[derive(Serialize)]
pub(super) struct Usage {
    day: i64,
    counts: Counts,
}

/// As text: a number of the script's is exact to 53 bits alone.
#[derive(Serialize)]
struct Counts {
    accelerator_ms: String,
    trained_tokens: String,
    jobs_created: String,
    jobs_succeeded: String,
}

#[derive(Serialize)]
pub(super) struct Sent<'a> {
    job: &'a str,
    name: String,
    record: String,
}

#[derive(Serialize)]
struct Write<'a> {
    kind: &'static str,
    id: &'a str,
    rev: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    scope: Option<&'a str>,
    /// Absent where the document is removed.
    #[serde(skip_serializing_if = "Option::is_none")]
    record: Option<String>,
}

#[derive(Serialize)]
struct Entry<'a> {
    tenant: &'a str,
    canonical: String,
}

#[derive(Serialize)]
pub(super) struct Change<'a> {
    writes: Vec<Write<'a>>,
    audit: Vec<Entry<'a>>,
}

#[derive(Serialize)]
pub(super) struct Commit<'a> {
    /// The process that commits, so that it does not hear itself.
    origin: &'a str,
    job: Job<'a>,
    expected_rev: u64,
    events: Vec<Row<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    checkpoint: Option<Row<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    model: Option<Weighed<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    result_file: Option<Weighed<'a>>,
    erases: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    ticket: Option<Sent<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    idempotency: Option<Kept<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    live_max: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    usage: Option<Usage>,
    also: Change<'a>,
}

#[derive(Serialize)]
pub(super) struct PutFile<'a> {
    pub(super) file: Weighed<'a>,
    pub(super) also: Change<'a>,
}

#[derive(Serialize)]
pub(super) struct DeleteOwned<'a> {
    pub(super) kind: &'static str,
    pub(super) tenant: &'a str,
    pub(super) id: &'a str,
    pub(super) also: Change<'a>,
}

/// A record or request as JSON.
pub(super) fn encode(value: &impl Serialize) -> Result<String, StoreError> {
    serde_json::to_string(value).map_err(|error| StoreError::Corrupt(error.to_string()))
}

impl<'a> Row<'a> {
    fn new(id: &'a str, scope: &'a str, record: &impl Serialize) -> Result<Self, StoreError> {
        Ok(Self { id, scope, record: encode(record)? })
    }
}

pub(super) fn file(file: &FileRecord) -> Result<Weighed<'_>, StoreError> {
    Ok(Weighed {
        row: Row::new(file.id.as_str(), file.tenant.as_str(), file)?,
        low: low(file.bytes),
        high: high(file.bytes),
        labels: Some(vec![purpose_label(file.purpose)?, file.sha256.clone()]),
        expires_at_ms: file.expires_at_ms,
        job: file
            .key
            .strip_prefix("jobs/")
            .and_then(|rest| rest.split_once('/'))
            .map(|(job, _)| job),
    })
}

fn model(model: &ModelRecord) -> Result<Weighed<'_>, StoreError> {
    Ok(Weighed {
        row: Row::new(&model.id, model.tenant.as_str(), model)?,
        low: low(model.bytes),
        high: high(model.bytes),
        labels: None,
        expires_at_ms: None,
        job: Some(model.job.as_str()),
    })
}

const fn low(bytes: u64) -> u32 {
    (bytes & u32::MAX as u64) as u32
}

const fn high(bytes: u64) -> u32 {
    (bytes >> 32) as u32
}

/// What a file is listed under beside its tenant.
pub(super) fn purpose_label(purpose: Purpose) -> Result<String, StoreError> {
    encode(&purpose).map(|word| word.trim_matches('"').to_string())
}

/// What a job with this pair of metadata is listed under beside its tenant.
pub(super) fn pair_label(key: &str, value: &str) -> String {
    let mut digest = Sha256::new();
    // The length keeps "a" and "bc" apart from "ab" and "c".
    digest.update((key.len() as u64).to_le_bytes());
    digest.update(key);
    digest.update(value);
    hex::encode(digest.finalize())
}

/// What a job that has not ended and is made of this file or job is listed under; one that may have ended is under its id.
pub(super) fn live_label(source: &str) -> String {
    format!("{LIVE}.{source}")
}

/// An answer's name among all answers.
pub(super) fn answer_name(tenant: &str, key: &str) -> String {
    format!("{tenant}:{key}")
}

/// A ticket's name in the outbox.
pub(super) fn ticket_name(ticket: &Ticket) -> String {
    format!("{}:{}", ticket.job, ticket.seq)
}

fn job(job: &JobRecord) -> Result<Job<'_>, StoreError> {
    let pairs = job.metadata.iter().flatten();
    let mut labels: Vec<String> = pairs.map(|(key, value)| pair_label(key, value)).collect();
    let live = !job.state.status().is_terminal();
    if live {
        labels.push(LIVE.to_string());
    }
    for source in job.sources() {
        labels.push(source.to_string());
        if live {
            labels.push(live_label(source));
        }
    }
    let (lane, entry) = match QueuedJob::of(job) {
        Some(QueuedJob { id, tenant, priority, since_ms, pool, devices }) => {
            (Some(QUEUED), encode(&(id, tenant, priority, since_ms, pool, devices))?)
        }
        None if job.state == JobState::Validating => (Some(VALIDATING), job.id.to_string()),
        None => (job.state.is_busy().then_some("busy"), job.id.to_string()),
    };
    Ok(Job {
        row: Row::new(job.id.as_str(), job.tenant.as_str(), job)?,
        rev: job.rev,
        state: state_word(&job.state),
        labels,
        lane,
        entry,
        counted: job.state.live_word().map(|word| format!("{word} {}", job.plan.resources.pool)),
    })
}

/// Another word where something may have become possible.
const fn state_word(state: &JobState) -> &'static str {
    match state {
        JobState::Validating => "validating",
        JobState::Queued { .. } => "queued",
        JobState::Dispatched { .. } => "dispatched",
        JobState::Running { .. } => "running",
        JobState::Paused { .. } => "paused",
        JobState::Succeeded { .. } => "succeeded",
        JobState::Failed { .. } => "failed",
        JobState::Cancelled { .. } => "cancelled",
    }
}

pub(super) fn change(change: &document::Change) -> Result<Change<'_>, StoreError> {
    let writes = change.writes.iter().map(|write| {
        Ok(match write {
            document::Write::Put(stored) => Write {
                kind: stored.kind.as_str(),
                id: &stored.id,
                rev: stored.rev,
                scope: Some(&stored.scope),
                record: Some(encode(stored)?),
            },
            document::Write::Delete { kind, id, rev } => {
                Write { kind: kind.as_str(), id, rev: *rev, scope: None, record: None }
            }
        })
    });
    let audit = change
        .audit
        .iter()
        .map(|entry| Entry { tenant: entry.tenant.as_str(), canonical: canonical_text(entry) });
    Ok(Change { writes: writes.collect::<Result<_, StoreError>>()?, audit: audit.collect() })
}

pub(super) fn commit<'a>(
    commit: &'a store::Commit,
    origin: &'a str,
) -> Result<Commit<'a>, StoreError> {
    let id = commit.job.id.as_str();
    let events = commit.events.iter().map(|event| Row::new(event.id.as_str(), id, event));
    let checkpoint = commit.checkpoint.as_ref();
    let checkpoint = checkpoint.map(|one| Row::new(one.id.as_str(), one.job.as_str(), one));
    let ticket = commit.ticket.as_ref().map(|ticket| {
        Ok(Sent { job: ticket.job.as_str(), name: ticket_name(ticket), record: encode(ticket)? })
    });
    let kept = commit.idempotency.as_ref().map(|kept| {
        Ok(Kept {
            tenant: kept.tenant.as_str(),
            name: answer_name(kept.tenant.as_str(), &kept.key),
            implied: kept.implied,
            created_at_ms: kept.created_at_ms,
            record: encode(kept)?,
        })
    });
    let usage = commit.usage.as_ref().map(|usage| Usage {
        day: usage.day,
        counts: Counts {
            accelerator_ms: usage.accelerator_ms.to_string(),
            trained_tokens: usage.trained_tokens.to_string(),
            jobs_created: usage.jobs_created.to_string(),
            jobs_succeeded: usage.jobs_succeeded.to_string(),
        },
    });
    Ok(Commit {
        origin,
        job: job(&commit.job)?,
        expected_rev: commit.expected_rev,
        events: events.collect::<Result<_, StoreError>>()?,
        checkpoint: checkpoint.transpose()?,
        model: commit.model.as_ref().map(model).transpose()?,
        result_file: commit.result_file.as_ref().map(file).transpose()?,
        erases: commit.erases,
        ticket: ticket.transpose()?,
        idempotency: kept.transpose()?,
        live_max: commit.live_max,
        usage,
        also: change(&commit.also)?,
    })
}

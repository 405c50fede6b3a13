//! A create request becomes a job, or an error that names the field.

use serde_json::json;
use trainyard_openapi::error::{ApiError, ErrorCode};
use trainyard_openapi::event::EventLevel;
use trainyard_openapi::extension::Progress;
use trainyard_openapi::file::Purpose;
use trainyard_openapi::id::JobId;
use trainyard_openapi::job::{CreateJob, Job};
use trainyard_openapi::limits::SEED_MAX;
use trainyard_openapi::webhook::{EventType, JobWebhook};

use trainyard_plan::StreamFacts;

use super::documents::json as json_error;
use super::parent::Origin;
use super::{Scheduler, message};
use crate::config::Devices;
use crate::error::Result;
use crate::executor::fault_of_pool;
use crate::guard::Guard;
use crate::job::{Attempts, JobRecord, JobState};
use crate::port::document::Change;
use crate::port::store::{Commit, FileRecord, IdempotencyRecord, StoreError, UsageRecord};
use crate::tenant::TenantContext;
use crate::trace::Span;

/// What a request says where it leaves the pool to the server.
pub const DEFAULT_POOL: &str = "default";

/// The field that names it.
const POOL: &str = "trainyard.resources.pool";

/// The fields that name a job's own two files.
const PARAMS: [&str; 2] = ["training_file", "validation_file"];

/// For how long a retry without a key finds the job of the request that it repeats, in milliseconds.
const RETRY_MS: i64 = 600_000;

/// How a request can be known again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Repeat {
    /// Not at all: each is a job.
    Never,
    /// By the client's key.
    Key(IdempotencyKey),
    /// The client gives no key and counts its retries. A first request always makes a job; a retry answers with the job of the
    /// same request of the last ten minutes.
    Counted {
        /// SHA-256 of the caller's key, route and body, in hexadecimal.
        request_sha256: String,
        /// Whether it is a retry.
        retry: bool,
    },
}

impl Repeat {
    /// What the answer is kept under.
    fn key(&self) -> Option<IdempotencyKey> {
        match self {
            Self::Never => None,
            Self::Key(key) => Some(key.clone()),
            // A client's key has no space, so it is never one of these.
            Self::Counted { request_sha256, .. } => Some(IdempotencyKey {
                key: format!("implied {request_sha256}"),
                request_sha256: request_sha256.clone(),
            }),
        }
    }
}

/// A job, and whether an earlier request had made it.
#[derive(Debug, Clone, PartialEq)]
pub struct Submitted {
    /// The job as it is now.
    pub job: Job,
    /// Whether it was there already.
    pub replayed: bool,
}

/// A client's word that two requests are one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IdempotencyKey {
    /// As sent.
    pub key: String,
    /// SHA-256 of route and body, in hexadecimal.
    pub request_sha256: String,
}

impl Scheduler {
    /// Makes a job. With an idempotency key, the same request again answers with the same job.
    ///
    /// # Errors
    /// An error of the contract with `param` set; `idempotency_key_reused` where the key came with another body.
    pub async fn submit(
        &self,
        ctx: &TenantContext,
        request: CreateJob,
        idempotency: Option<IdempotencyKey>,
    ) -> Result<Job> {
        let repeat = idempotency.map_or(Repeat::Never, Repeat::Key);
        Ok(self.submit_once(ctx, request, repeat).await?.job)
    }

    /// Makes a job, unless the request is one that has made its job already. The job keeps the trace that this task is in: what becomes of it
    /// later links to that.
    ///
    /// # Errors
    /// As [`Scheduler::submit`].
    pub async fn submit_once(
        &self,
        ctx: &TenantContext,
        request: CreateJob,
        repeat: Repeat,
    ) -> Result<Submitted> {
        let span = Span::step("submit job");
        span.text("trainyard.tenant.id", ctx.tenant());
        let submitted = span.around(self.submit_in(ctx, request, repeat, &span)).await?;
        span.text("trainyard.job.id", &submitted.job.id);
        span.set("trainyard.replayed", submitted.replayed);
        Ok(submitted)
    }

    async fn submit_in(
        &self,
        ctx: &TenantContext,
        request: CreateJob,
        repeat: Repeat,
        span: &Span,
    ) -> Result<Submitted> {
        let implied = matches!(repeat, Repeat::Counted { .. });
        let idempotency = repeat.key().filter(|_| self.config().keeps(Guard::Idempotency));
        let first = matches!(repeat, Repeat::Counted { retry: false, .. });
        if let Some(key) = idempotency.as_ref().filter(|_| !first)
            && let Some(job) = self.earlier_answer(ctx, key).await?
        {
            return Ok(Submitted { job, replayed: true });
        }
        self.check_accelerator(ctx).await?;
        let mut record = self.new_job(ctx, &request).await?;
        self.admit_private(&record).await?;
        record.traceparent = span.traceparent();
        let now_ms = record.created_at_ms;
        let new = request.trainyard.as_ref().and_then(|extension| extension.webhook.as_ref());
        let webhook = new
            .map(|new| self.webhook_of_job(ctx.tenant(), &record.id, new, now_ms))
            .transpose()?;
        record.webhook = webhook
            .as_ref()
            .map(|own| JobWebhook { url: own.url.clone(), events: own.events.clone() });
        let mut commit = Commit::of(record);
        commit.job.rev = 1;
        commit.events = vec![
            message(
                now_ms,
                EventLevel::Info,
                format!("Created fine-tuning job: {}", commit.job.id),
            )?,
            message(
                now_ms,
                EventLevel::Info,
                format!("Validating training file: {}", commit.job.training_file),
            )?,
        ];
        commit.idempotency = idempotency.as_ref().map(|key| IdempotencyRecord {
            tenant: ctx.tenant().clone(),
            key: key.key.clone(),
            request_sha256: key.request_sha256.clone(),
            job: commit.job.id.clone(),
            implied,
            created_at_ms: now_ms,
        });
        commit.live_max = ctx.quota().live_jobs;
        commit.usage = Some(UsageRecord { jobs_created: 1, ..UsageRecord::on(now_ms) });
        let detail = json!({"model": request.model, "training_file": commit.job.training_file});
        commit.also =
            Change::audited(Self::audited(ctx, now_ms, "job.created", &commit.job.id, detail));
        if let Some(own) = &webhook {
            commit.also = std::mem::take(&mut commit.also).put(own, 1).map_err(json_error)?;
        }
        let told = self.announce(&mut commit, EventType::Created, webhook.as_ref(), now_ms).await?;
        let id = commit.job.id.clone();
        match (self.commit(commit).await, &idempotency) {
            (Ok(()), _) => {}
            // The same key came in beside this request and was faster.
            (Err(StoreError::Conflict), Some(key)) => {
                let earlier = self.earlier_answer(ctx, key).await?;
                let unfinished = || {
                    ApiError::new(
                        ErrorCode::IdempotencyInProgress,
                        "the same request is being worked on",
                    )
                };
                let job = earlier.ok_or_else(unfinished)?;
                return Ok(Submitted { job, replayed: true });
            }
            (Err(error), _) => return Err(error.into()),
        }
        self.inner.work.notify_waiters();
        if told {
            self.inner.announced.notify_one();
        }
        Ok(Submitted { job: self.job(ctx, &id).await?, replayed: false })
    }

    /// The job that the key's first request made.
    async fn earlier_answer(
        &self,
        ctx: &TenantContext,
        key: &IdempotencyKey,
    ) -> Result<Option<Job>> {
        let Some(earlier) = self.store().idempotency(ctx.tenant(), &key.key).await? else {
            return Ok(None);
        };
        if earlier.implied && earlier.created_at_ms + RETRY_MS < self.store().now_ms().await? {
            return Ok(None);
        }
        if earlier.request_sha256 != key.request_sha256 {
            let text = "this Idempotency-Key was used with another request; use a new key";
            return Err(ApiError::new(ErrorCode::IdempotencyMismatch, text).into());
        }
        self.job(ctx, &earlier.job).await.map(Some)
    }

    pub(super) async fn new_job(
        &self,
        ctx: &TenantContext,
        request: &CreateJob,
    ) -> Result<JobRecord> {
        let Origin { base, facts, parent } = self.origin(ctx, &request.model).await?;
        let training = self.input(ctx, "training_file", &request.training_file).await?;
        let validation = match &request.validation_file {
            Some(id) => Some(self.input(ctx, "validation_file", id).await?),
            None => None,
        };
        let private =
            request.trainyard.as_ref().is_some_and(|extension| extension.privacy.is_some());
        let own = PARAMS.map(ToString::to_string);
        self.check_privacy_of_files(private, &own, &training, validation.as_ref()).await?;
        let stage_examples = self.check_stage_files(ctx, request, private, parent.as_ref()).await?;
        let data = self.data_facts(request, &training).await?;
        let (parent, before) = parent.unzip();
        let stream = StreamFacts { stage_examples, parent: before };
        let mut plan = self.plan_of(request, random_seed()?, data, stream, facts).await?;
        plan.resources.pool = self.pool(plan.resources.pool)?;
        if let Some(privacy) = &plan.privacy {
            self.check_unit(&training, privacy).await?;
        }
        Ok(JobRecord {
            id: JobId::generate()?,
            tenant: ctx.tenant().clone(),
            rev: 0,
            created_at_ms: self.store().now_ms().await?,
            model: base,
            parent,
            training_file: training.id,
            validation_file: validation.map(|file| file.id),
            suffix: request.suffix.clone(),
            metadata: request.metadata.clone(),
            webhook: None,
            plan,
            state: JobState::new(),
            seq: 0,
            epoch: 0,
            attempts: Attempts::default(),
            checkpoint: None,
            progress: Progress::default(),
            running_seconds: 0.0,
            traceparent: None,
            erased: None,
        })
    }

    /// The pool that `wanted` names. Where pools are fixed, one that nobody serves would wait for ever; where executors come and go, one
    /// that nobody serves now may be served later: its jobs wait and say so.
    fn pool(&self, wanted: String) -> Result<String> {
        let Devices::Fixed(pools) = &self.config().devices else {
            let refuse = |fault| ApiError::field(ErrorCode::InvalidValue, POOL, fault);
            return fault_of_pool(&wanted).map_or(Ok(wanted), |fault| Err(refuse(fault).into()));
        };
        if pools.contains_key(&wanted) {
            return Ok(wanted);
        }
        let names: Vec<&str> = pools.keys().map(String::as_str).collect();
        if let ([only], DEFAULT_POOL) = (&names[..], wanted.as_str()) {
            return Ok((*only).to_string());
        }
        let names = names.join("', '");
        let text =
            format!("invalid value for '{POOL}': there is no pool '{wanted}', only '{names}'");
        Err(ApiError::field(ErrorCode::InvalidValue, POOL, text).into())
    }

    /// A file of the tenant that can be trained on. A foreign file does not exist.
    pub(super) async fn input(
        &self,
        ctx: &TenantContext,
        param: &str,
        id: &str,
    ) -> Result<FileRecord> {
        let shown: String = id.chars().take(80).collect();
        let unknown = || {
            ApiError::field(
                ErrorCode::InvalidFile,
                param,
                format!("invalid {param}: {shown}: no such file"),
            )
        };
        let id = id.parse().map_err(|_| unknown())?;
        let file = self.store().file(ctx.tenant(), &id).await?.ok_or_else(unknown)?;
        let now_ms = self.store().now_ms().await?;
        if file.expires_at_ms.is_some_and(|at_ms| at_ms <= now_ms) {
            let text = format!("invalid {param}: {id} has expired");
            return Err(ApiError::field(ErrorCode::InvalidFile, param, text).into());
        }
        if file.purpose != Purpose::FineTune {
            let text = format!("invalid {param}: {id} has another purpose than 'fine-tune'");
            return Err(ApiError::field(ErrorCode::InvalidPurpose, param, text).into());
        }
        Ok(file)
    }
}

fn random_seed() -> Result<u64> {
    let mut bytes = [0; 4];
    getrandom::fill(&mut bytes)?;
    Ok(u64::from(u32::from_le_bytes(bytes)) & SEED_MAX)
}

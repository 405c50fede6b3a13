//! Fine-tuning jobs.

use actix_web::web::{Bytes, Data, Json, Path};
use actix_web::{HttpRequest, HttpResponse, http::header::HeaderMap};
use sha2::{Digest, Sha256};
use trainyard_openapi::body;
use trainyard_openapi::checkpoint::JobCheckpoint;
use trainyard_openapi::error::{ApiError, ErrorCode};
use trainyard_openapi::event::JobEvent;
use trainyard_openapi::id::{CheckpointId, EventId, JobId};
use trainyard_openapi::job::{CreateJob, Job};
use trainyard_openapi::limits::PAGE_LIMIT_MAX;
use trainyard_openapi::page::Page;
use trainyard_openapi::preflight::Preflight;
use trainyard_scheduler::port::store::JobFilter;
use trainyard_scheduler::{IdempotencyKey, Repeat, Scheduler, Submitted, TenantContext};

use super::stream::{self, Streams};
use super::{path_id, refuse_encoded};
use crate::auth::{Caller, JobsRead, JobsWrite};
use crate::error::Result;
use crate::idempotency;
use crate::query::Query;

/// Create a fine-tuning job
///
/// Checks the whole request, stores the job durably and answers with it; training follows. With an `Idempotency-Key` the same request
/// again answers with the same job. Without one, a request with `x-stainless-retry-count` above 0, as OpenAI's clients send it after a lost answer, answers with the job that the
/// same key made by the same body in a request with that header at 0 within the last ten minutes. Every other request makes a job.
#[utoipa::path(post, path = "/v1/fine_tuning/jobs", operation_id = "createFineTuningJob", tag = "Fine-tuning",
    security(("bearer" = ["jobs.write"])),
    params(("Idempotency-Key" = Option<String>, Header, description = "1 to 255 visible ASCII characters of the client's own")),
    request_body = CreateJob, responses((status = 200, description = "The job", body = Job)))]
pub(crate) async fn create(
    scheduler: Data<Scheduler>,
    caller: Caller<JobsWrite>,
    request: HttpRequest,
    bytes: Bytes,
) -> Result<HttpResponse> {
    Query::of(&request).finish()?;
    refuse_encoded(request.headers())?;
    let job: CreateJob = body::parse(&bytes)?;
    let repeat = repeat(request.headers(), &caller, &job)?;
    let Submitted { job, replayed } = scheduler.submit_once(&caller, job, repeat).await?;
    note(&job.id);
    let mut response = HttpResponse::Ok();
    if replayed {
        response.insert_header(("idempotency-replayed", "true"));
    }
    Ok(response.json(job))
}

/// Check a create request
///
/// A dry run: every `"auto"` resolved, every bad line with number and code, tokens counted by the model's own tokenizer and template,
/// memory, time, place in the queue, and what PEFT, vLLM and llama.cpp would make of the adapter. Nothing is stored. What a create
/// request is refused for is refused here too.
#[utoipa::path(post, path = "/v1/fine_tuning/jobs/preflight", operation_id = "preflightFineTuningJob", tag = "Fine-tuning",
    security(("bearer" = ["jobs.read"])),
    request_body = CreateJob, responses((status = 200, description = "What it would come to", body = Preflight)))]
pub(crate) async fn preflight(
    scheduler: Data<Scheduler>,
    caller: Caller<JobsRead>,
    request: HttpRequest,
    bytes: Bytes,
) -> Result<Json<Preflight>> {
    Query::of(&request).finish()?;
    refuse_encoded(request.headers())?;
    let job: CreateJob = body::parse(&bytes)?;
    Ok(Json(scheduler.preflight(&caller, &job).await?))
}

/// List fine-tuning jobs
///
/// Newest first. `metadata[key]=value` keeps those with this pair; it may be given for several keys.
#[utoipa::path(get, path = "/v1/fine_tuning/jobs", operation_id = "listPaginatedFineTuningJobs", tag = "Fine-tuning",
    security(("bearer" = ["jobs.read"])),
    params(
        ("after" = Option<String>, Query, description = "The last id of the page before"),
        ("limit" = Option<u32>, Query, description = "1 to 1000; 20 where left out"),
        ("metadata" = Option<std::collections::BTreeMap<String, String>>, Query, style = DeepObject, explode, description = "Pairs that the jobs have"),
    ),
    responses((status = 200, description = "A page of jobs", body = Page<Job>)))]
pub(crate) async fn list(
    scheduler: Data<Scheduler>,
    caller: Caller<JobsRead>,
    request: HttpRequest,
) -> Result<Json<Page<Job>>> {
    let mut query = Query::of(&request);
    let page = query.page::<JobId>(20, PAGE_LIMIT_MAX, false)?;
    let filter = JobFilter { metadata: query.metadata()?, ..JobFilter::default() };
    query.finish()?;
    Ok(Json(scheduler.jobs(&caller, &filter, &page).await?))
}

/// Retrieve a fine-tuning job
///
/// While it runs, `trainyard.progress` says how far it is.
#[utoipa::path(get, path = "/v1/fine_tuning/jobs/{fine_tuning_job_id}", operation_id = "retrieveFineTuningJob", tag = "Fine-tuning",
    security(("bearer" = ["jobs.read"])),
    params(("fine_tuning_job_id" = String, Path, description = "The job")),
    responses((status = 200, description = "The job", body = Job)))]
pub(crate) async fn retrieve(
    scheduler: Data<Scheduler>,
    caller: Caller<JobsRead>,
    id: Path<String>,
) -> Result<Json<Job>> {
    Ok(Json(scheduler.job(&caller, &job_id(&id)?).await?))
}

/// Cancel a fine-tuning job
///
/// A running job ends at its next boundary; the answer waits up to 2.5 seconds for that.
#[utoipa::path(post, path = "/v1/fine_tuning/jobs/{fine_tuning_job_id}/cancel", operation_id = "cancelFineTuningJob", tag = "Fine-tuning",
    security(("bearer" = ["jobs.write"])),
    params(("fine_tuning_job_id" = String, Path, description = "The job")),
    responses((status = 200, description = "The job", body = Job)))]
pub(crate) async fn cancel(
    scheduler: Data<Scheduler>,
    caller: Caller<JobsWrite>,
    id: Path<String>,
) -> Result<Json<Job>> {
    Ok(Json(scheduler.cancel(&caller, &job_id(&id)?).await?))
}

/// Pause a fine-tuning job
///
/// A running job writes a checkpoint first; its status is `paused` after that.
#[utoipa::path(post, path = "/v1/fine_tuning/jobs/{fine_tuning_job_id}/pause", operation_id = "pauseFineTuningJob", tag = "Fine-tuning",
    security(("bearer" = ["jobs.write"])),
    params(("fine_tuning_job_id" = String, Path, description = "The job")),
    responses((status = 200, description = "The job", body = Job)))]
pub(crate) async fn pause(
    scheduler: Data<Scheduler>,
    caller: Caller<JobsWrite>,
    id: Path<String>,
) -> Result<Json<Job>> {
    Ok(Json(scheduler.pause(&caller, &job_id(&id)?).await?))
}

/// Resume a fine-tuning job
///
/// It is queued again and goes on from its last checkpoint, to the same bits.
#[utoipa::path(post, path = "/v1/fine_tuning/jobs/{fine_tuning_job_id}/resume", operation_id = "resumeFineTuningJob", tag = "Fine-tuning",
    security(("bearer" = ["jobs.write"])),
    params(("fine_tuning_job_id" = String, Path, description = "The job")),
    responses((status = 200, description = "The job", body = Job)))]
pub(crate) async fn resume(
    scheduler: Data<Scheduler>,
    caller: Caller<JobsWrite>,
    id: Path<String>,
) -> Result<Json<Job>> {
    Ok(Json(scheduler.resume(&caller, &job_id(&id)?).await?))
}

/// List events of a fine-tuning job
///
/// Newest first. Events of type `metrics` carry the figures of a step in `data`. With `stream=true`, or where `Accept` asks for
/// `text/event-stream`: oldest first and then live, as server-sent events named `fine_tuning.job.event` with the event's id, up to
/// `data: [DONE]` after the job's last one. A client that connects again sends `Last-Event-ID`; one that is unknown is answered
/// with an event `trainyard.reset` and all events.
#[utoipa::path(get, path = "/v1/fine_tuning/jobs/{fine_tuning_job_id}/events", operation_id = "listFineTuningEvents", tag = "Fine-tuning",
    security(("bearer" = ["jobs.read"])),
    params(
        ("fine_tuning_job_id" = String, Path, description = "The job"),
        ("after" = Option<String>, Query, description = "The last id of the page before"),
        ("limit" = Option<u32>, Query, description = "1 to 1000; 20 where left out; not with a stream"),
        ("stream" = Option<bool>, Query, description = "Whether to follow the job"),
        ("Last-Event-ID" = Option<String>, Header, description = "The last event that a stream gave"),
    ),
    responses((status = 200, description = "A page of events", body = Page<JobEvent>)))]
pub(crate) async fn events(
    scheduler: Data<Scheduler>,
    caller: Caller<JobsRead>,
    streams: Data<Streams>,
    id: Path<String>,
    request: HttpRequest,
) -> Result<HttpResponse> {
    let mut query = Query::of(&request);
    let streamed = match query.take("stream")?.as_deref() {
        None => stream::accepted(request.headers()),
        Some("true") => true,
        Some("false") => false,
        Some(other) => {
            let other: String = other.chars().take(40).collect();
            let text = format!("query parameter 'stream' must be 'true' or 'false', not '{other}'");
            return Err(ApiError::field(ErrorCode::InvalidValue, "stream", text).into());
        }
    };
    if streamed {
        let after = query.take("after")?;
        query.finish()?;
        let job = job_id(&id)?;
        return streams.follow(&caller, request.headers(), job, after).await;
    }
    let page = query.page::<EventId>(20, PAGE_LIMIT_MAX, false)?;
    query.finish()?;
    let events: Page<JobEvent> = scheduler.events(&caller, &job_id(&id)?, &page).await?;
    Ok(HttpResponse::Ok().json(events))
}

/// List checkpoints of a fine-tuning job
///
/// Newest first; as many as `trainyard.checkpoint.keep`. Each is a loadable adapter: its files are the artifacts of
/// `fine_tuned_model_checkpoint`.
#[utoipa::path(get, path = "/v1/fine_tuning/jobs/{fine_tuning_job_id}/checkpoints", operation_id = "listFineTuningJobCheckpoints", tag = "Fine-tuning",
    security(("bearer" = ["jobs.read"])),
    params(
        ("fine_tuning_job_id" = String, Path, description = "The job"),
        ("after" = Option<String>, Query, description = "The last id of the page before"),
        ("limit" = Option<u32>, Query, description = "1 to 1000; 10 where left out"),
    ),
    responses((status = 200, description = "A page of checkpoints", body = Page<JobCheckpoint>)))]
pub(crate) async fn checkpoints(
    scheduler: Data<Scheduler>,
    caller: Caller<JobsRead>,
    id: Path<String>,
    request: HttpRequest,
) -> Result<Json<Page<JobCheckpoint>>> {
    let mut query = Query::of(&request);
    let page = query.page::<CheckpointId>(10, PAGE_LIMIT_MAX, false)?;
    query.finish()?;
    Ok(Json(scheduler.checkpoints(&caller, &job_id(&id)?, &page).await?))
}

fn job_id(text: &str) -> Result<JobId, ApiError> {
    let id: JobId = path_id(text, ErrorCode::NotFound, "fine-tuning job")?;
    note(&id);
    Ok(id)
}

/// How the request can be known again; by its meaning, not by its spelling.
fn repeat(headers: &HeaderMap, ctx: &TenantContext, job: &CreateJob) -> Result<Repeat, ApiError> {
    let body = serde_json::to_vec(job)
        .map_err(|error| ApiError::new(ErrorCode::InvalidBody, error.to_string()))?;
    let mut hash = Sha256::new();
    hash.update(b"POST /v1/fine_tuning/jobs\n");
    if let Some(key) = idempotency::key(headers)? {
        hash.update(&body);
        return Ok(Repeat::Key(IdempotencyKey {
            key,
            request_sha256: hex::encode(hash.finalize()),
        }));
    }
    let count = headers.get("x-stainless-retry-count").and_then(|count| count.to_str().ok());
    let Some(count) = count.and_then(|count| count.parse::<u32>().ok()) else {
        return Ok(Repeat::Never);
    };
    hash.update(ctx.actor());
    hash.update(b"\n");
    hash.update(&body);
    Ok(Repeat::Counted { request_sha256: hex::encode(hash.finalize()), retry: count > 0 })
}

/// Says in the log which job a request is about.
fn note(id: &JobId) {
    tracing::Span::current().record("job_id", id.as_str());
}

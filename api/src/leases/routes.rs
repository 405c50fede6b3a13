//! The calls. Each takes the request apart, calls the control plane, and wraps its answer.

use std::time::Duration;

use actix_web::HttpResponse;
use actix_web::web::{Data, Json, Path};
use trainyard_openapi::error::{ApiError, ErrorCode};
use trainyard_scheduler::Scheduler;
use trainyard_scheduler::port::control_plane::{
    Completion, ControlPlane, Directive, Presence, ReservedSteps,
};
use trainyard_scheduler::port::lease_call::{
    CheckpointCall, ClaimCall, Claimed, Directed, DirectiveCall, FailCall, HeartbeatCall,
    ReleaseCall, ReportCall, ReserveCall, SettleCall, Settled, WAIT_MS_MAX,
};

use super::caller::{Known, Leased, executor_of};
use crate::error::{Failure, LeaseFailure};

type Result<T> = std::result::Result<T, LeaseFailure>;

pub(super) async fn enlist(
    scheduler: Data<Scheduler>,
    executor: Path<String>,
    Known(presence): Known<Presence>,
) -> std::result::Result<HttpResponse, actix_web::Error> {
    let executor = executor_of(&executor)?;
    scheduler.enlist(&executor, &presence).await.map_err(LeaseFailure::from)?;
    Ok(HttpResponse::NoContent().finish())
}

pub(super) async fn claim(
    scheduler: Data<Scheduler>,
    Known(call): Known<ClaimCall>,
) -> Result<Json<Claimed>> {
    tracing::Span::current().record("job_id", call.ticket.job.as_str());
    let claim = scheduler.claim(&call.ticket, &call.executor, &call.nonce).await?;
    // Where there is no token now, the executor asks again with the same nonce.
    let token = scheduler.lease_token(&claim.lease).await;
    Ok(Json(Claimed { claim, token: token.map_err(|error| LeaseFailure::Lease(error.into()))? }))
}

pub(super) async fn heartbeat(
    scheduler: Data<Scheduler>,
    Leased { lease, call }: Leased<HeartbeatCall>,
) -> Result<Json<Directed>> {
    let directive = scheduler.heartbeat(&lease, &call.progress).await?;
    Ok(Json(Directed { directive }))
}

pub(super) async fn directive(
    scheduler: Data<Scheduler>,
    Leased { lease, call }: Leased<DirectiveCall>,
) -> std::result::Result<Json<Directed>, actix_web::Error> {
    if call.wait_ms > WAIT_MS_MAX {
        let text = format!("'wait_ms' is at most {WAIT_MS_MAX}, not {}", call.wait_ms);
        let error = ApiError::field(ErrorCode::InvalidValue, "wait_ms", text);
        return Err(Failure::from(error).into());
    }
    let directive = tokio::select! {
        directive = scheduler.directive(&lease, Duration::from_millis(call.wait_ms)) => directive,
        // Those who wait here would hold up the end of the process.
        () = scheduler.closing() => Ok(Directive::Continue),
    };
    Ok(Json(Directed { directive: directive.map_err(LeaseFailure::from)? }))
}

pub(super) async fn report(
    scheduler: Data<Scheduler>,
    Leased { lease, call }: Leased<ReportCall>,
) -> Result<HttpResponse> {
    scheduler.report(&lease, &call.progress, call.first, call.events).await?;
    Ok(HttpResponse::NoContent().finish())
}

pub(super) async fn checkpoint(
    scheduler: Data<Scheduler>,
    Leased { lease, call }: Leased<CheckpointCall>,
) -> Result<HttpResponse> {
    scheduler.checkpoint(&lease, &call.pointer, &call.metrics).await?;
    Ok(HttpResponse::NoContent().finish())
}

pub(super) async fn reserve(
    scheduler: Data<Scheduler>,
    Leased { lease, call }: Leased<ReserveCall>,
) -> Result<Json<ReservedSteps>> {
    Ok(Json(scheduler.reserve_steps(&lease, call.from, call.until).await?))
}

pub(super) async fn settle(
    scheduler: Data<Scheduler>,
    Leased { lease, call }: Leased<SettleCall>,
) -> Result<Json<Settled>> {
    Ok(Json(Settled { spent: scheduler.settle_steps(&lease, call.step).await? }))
}

pub(super) async fn complete(
    scheduler: Data<Scheduler>,
    Leased { lease, call }: Leased<Completion>,
) -> Result<HttpResponse> {
    scheduler.complete(&lease, &call).await?;
    Ok(HttpResponse::NoContent().finish())
}

pub(super) async fn fail(
    scheduler: Data<Scheduler>,
    Leased { lease, call }: Leased<FailCall>,
) -> Result<HttpResponse> {
    scheduler.fail(&lease, &call.error, call.retryable).await?;
    Ok(HttpResponse::NoContent().finish())
}

pub(super) async fn release(
    scheduler: Data<Scheduler>,
    Leased { lease, call }: Leased<ReleaseCall>,
) -> Result<HttpResponse> {
    scheduler.release(&lease, call.reason).await?;
    Ok(HttpResponse::NoContent().finish())
}

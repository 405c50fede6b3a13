//! `Idempotency-Key` on every POST: a middleware, so that no handler can forget it. Creating a job is left out, because there key
//! and job are one write.
//!
//! - A key belongs to a tenant. It is looked at only where the caller is known; a refused caller stores nothing.
//! - The first request reserves the key, runs to its end even where its client goes away, and its answer is kept for a day.
//! - The same request again gets the kept answer with `idempotency-replayed: true`; while the first one runs, 409; another
//!   request under the key, 422.
//! - Kept are successes and refusals of the request itself. A refusal that may pass (401, 403, 408, 429, 5xx) frees the key.
//! - A JSON body is hashed before the request runs. A form is streamed: it is hashed on its way without its boundary, which
//!   clients draw anew each time, and its answer is kept only where it was read to the end. A repeat is read and compared then.
//! - An answer that holds a secret is not stored: a repeat gets 409 and a sentence.

mod answer;
mod form;
mod header;

use std::time::Duration;

use actix_web::body::BoxBody;
use actix_web::dev::{Payload, ServiceRequest, ServiceResponse};
use actix_web::http::Method;
use actix_web::http::header::CONTENT_TYPE;
use actix_web::middleware::Next;
use actix_web::{Error, web::Bytes};
use futures::StreamExt;
use sha2::{Digest, Sha256};
use tracing::Instrument;
use trainyard_openapi::error::{ApiError, ErrorCode};
use trainyard_openapi::limits::BODY_BYTES_MAX;
use trainyard_scheduler::Scheduler;
use trainyard_scheduler::scheduler::{Reservation, Reserved};
use trainyard_scheduler::trace::carried;

use crate::auth::{Authenticator, bearer, note};
use crate::error::Failure;
use form::Watched;
pub(crate) use header::key;

/// How often a request that runs says so; a minute of silence counts as death.
const BEAT: Duration = Duration::from_secs(20);

/// Runs a POST with a key once.
pub(crate) async fn once(
    scheduler: Scheduler,
    authenticator: Authenticator,
    mut request: ServiceRequest,
    next: Next<BoxBody>,
) -> Result<ServiceResponse<BoxBody>, Error> {
    let pattern = request.match_pattern().unwrap_or_default();
    let elsewhere = pattern.is_empty() || pattern.ends_with("/v1/fine_tuning/jobs");
    if request.method() != Method::POST || elsewhere || !header::is_there(request.headers()) {
        return next.call(request).await;
    }
    // Who is nobody is told so by the handler.
    let Ok(bearer) = bearer(request.headers()) else { return next.call(request).await };
    let Ok(ctx) = authenticator.authenticate(&bearer).await else {
        return next.call(request).await;
    };
    let key = key(request.headers()).map_err(Failure::from)?;
    let Some(key) = key else { return next.call(request).await };

    let boundary = form::boundary(request.headers());
    let mut hash = Sha256::new();
    hash.update(format!("POST {}?{}\n", request.path(), request.query_string()));
    let payload = request.parts_mut().1.take();
    let (payload, watched) = match boundary {
        Some(boundary) => {
            let watched = Watched::new(payload, &boundary);
            (watched.payload(), Some(watched))
        }
        None => {
            let kind = request.headers().get(CONTENT_TYPE);
            hash.update(kind.map_or(&b""[..], |kind| kind.as_bytes()));
            let body = whole(payload).await?;
            hash.update(b"\n");
            hash.update(&body);
            (Payload::from(body), None)
        }
    };
    let sha256 = hex::encode(hash.finalize());
    note(&request, &ctx);
    match scheduler.reserve(&ctx, &key, &sha256).await.map_err(Failure::from)? {
        Reserved::Answered(answer) => {
            let response = answer::replay(&ctx, answer, watched).await.map_err(Failure::from)?;
            Ok(request.into_response(response))
        }
        Reserved::Run(reservation) => {
            request.set_payload(payload);
            // On its own feet: a client that goes away must find the answer when it comes again.
            let run = run(scheduler, reservation, request, next, watched);
            let run = actix_web::rt::spawn(carried(run.instrument(tracing::Span::current())));
            run.await.map_err(|_| {
                Error::from(Failure::from(ApiError::new(
                    ErrorCode::Internal,
                    "the server failed; the log has the rest under the request id",
                )))
            })?
        }
    }
}

async fn run(
    scheduler: Scheduler,
    mut reservation: Reservation,
    request: ServiceRequest,
    next: Next<BoxBody>,
    watched: Option<Watched>,
) -> Result<ServiceResponse<BoxBody>, Error> {
    let mut call = next.call(request);
    let mut beat = tokio::time::interval_at(tokio::time::Instant::now() + BEAT, BEAT);
    let ended = loop {
        tokio::select! {
            ended = &mut call => break ended,
            _ = beat.tick() => warn(scheduler.still_running(&mut reservation).await),
        }
    };
    let response = match ended {
        Ok(response) => response,
        Err(error) => {
            warn(scheduler.free_key(reservation).await);
            return Err(error);
        }
    };
    let read = match watched {
        None => Some(None),
        Some(watched) => watched.finish().await.map(Some),
    };
    let (response, kept) = match read {
        Some(streamed) => answer::keep(response, streamed).await?,
        None => (response, None),
    };
    warn(match kept {
        Some(answer) => scheduler.keep_answer(reservation, answer).await,
        None => scheduler.free_key(reservation).await,
    });
    Ok(response)
}

/// The request was run, so its client gets its answer; a repeat is refused or runs anew after a minute.
fn warn(ended: Result<(), trainyard_scheduler::SchedulerError>) {
    if let Err(error) = ended {
        tracing::warn!(
            error = &error as &dyn std::error::Error,
            "the state of an idempotency key was not written"
        );
    }
}

/// A body that is no form, which is small everywhere.
async fn whole(mut payload: Payload) -> Result<Bytes, Error> {
    let mut body = Vec::new();
    while let Some(piece) = payload.next().await {
        let piece = piece?;
        if body.len() + piece.len() > BODY_BYTES_MAX {
            let text = format!("the body is larger than {BODY_BYTES_MAX} bytes");
            return Err(Failure::from(ApiError::new(ErrorCode::TooLarge, text)).into());
        }
        body.extend_from_slice(&piece);
    }
    Ok(body.into())
}

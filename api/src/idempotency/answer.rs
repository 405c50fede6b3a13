//! Answers: which are kept, and how they are given again.

use actix_web::body::{BodySize, BoxBody, MessageBody, to_bytes};
use actix_web::dev::ServiceResponse;
use actix_web::http::StatusCode;
use actix_web::{Error, HttpMessage, HttpResponse};
use trainyard_openapi::error::{ApiError, ErrorCode};
use trainyard_scheduler::TenantContext;
use trainyard_scheduler::request::{Answer, Body};

use super::form::Watched;
use crate::auth::{Granted, lacks};
use crate::error::Result;

/// Bytes of an answer that are kept: a job has under 8 KiB.
const ANSWER_BYTES_MAX: u64 = 64 * 1024;
/// How secrets begin. Whatever else is made to be shown once gets its beginning here.
const SECRETS: [&str; 2] = ["tyk_live_", "whsec_"];

/// Takes from a response what is to be kept of it.
pub(super) async fn keep(
    response: ServiceResponse<BoxBody>,
    streamed_sha256: Option<String>,
) -> Result<(ServiceResponse<BoxBody>, Option<Answer>), Error> {
    let status = response.status();
    let passing = matches!(status.as_u16(), 401 | 403 | 408 | 429);
    // Without a scope the handler's caller was refused.
    let scope = response.request().extensions().get::<Granted>().map(|granted| granted.0);
    let Some(scope) = scope.filter(|_| !passing && !status.is_server_error()) else {
        return Ok((response, None));
    };
    let status = status.as_u16();
    let answer = |body| Some(Answer { status, body, scope, streamed_sha256 });
    match response.response().body().size() {
        BodySize::None => Ok((response, answer(Body::Json(String::new())))),
        BodySize::Sized(bytes) if bytes <= ANSWER_BYTES_MAX => {
            let (request, response) = response.into_parts();
            let (response, body) = response.into_parts();
            let bytes = to_bytes(body).await?;
            let text = String::from_utf8_lossy(&bytes).into_owned();
            let secret = SECRETS.iter().any(|begin| text.contains(begin));
            let kept = if secret { Body::Secret } else { Body::Json(text) };
            let response = response.set_body(BoxBody::new(bytes));
            Ok((ServiceResponse::new(request, response), answer(kept)))
        }
        _ => Ok((response, answer(Body::Large))),
    }
}

/// The answer once more.
pub(super) async fn replay(
    ctx: &TenantContext,
    answer: Answer,
    watched: Option<Watched>,
) -> Result<HttpResponse, ApiError> {
    if !ctx.may(answer.scope) {
        return Err(lacks(ctx, answer.scope));
    }
    let streamed = match watched {
        Some(watched) => Some(watched.drain().await?),
        None => None,
    };
    if streamed != answer.streamed_sha256 {
        let text = "this Idempotency-Key was used with another request; use a new key";
        return Err(ApiError::new(ErrorCode::IdempotencyMismatch, text));
    }
    let withheld = |why: &str| {
        let text = format!(
            "this Idempotency-Key was used: the request was carried out, but its answer {why} and cannot be given again"
        );
        ApiError::new(ErrorCode::IdempotencyWithheld, text)
    };
    match answer.body {
        Body::Json(text) => {
            let status =
                StatusCode::from_u16(answer.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
            Ok(HttpResponse::build(status)
                .content_type("application/json")
                .insert_header(("idempotency-replayed", "true"))
                .insert_header(("x-should-retry", "false"))
                .body(text))
        }
        Body::Secret => Err(withheld("held a secret")),
        Body::Large => Err(withheld("was too large to keep")),
        Body::Erased => Err(withheld("was erased with what it showed")),
    }
}

//! What every answer has in common: ids and times in headers, errors in OpenAI's form, a line in the log.

mod pace;
mod span;
mod unread;

use std::time::Instant;

use actix_web::body::{BoxBody, MessageBody};
use actix_web::dev::{Payload, ServiceRequest, ServiceResponse};
use actix_web::error::InternalError;
use actix_web::http::StatusCode;
use actix_web::http::header::{ALLOW, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use actix_web::middleware::Next;
use actix_web::{Error, HttpMessage};
use tracing::Instrument;
use tracing::field::Empty;
use trainyard_openapi::error::{ApiError, ErrorCode};
use trainyard_openapi::id::{RequestId, TenantId};

use crate::auth::Organization;
use crate::doc;
use crate::error::{answer, of_status};
use crate::limits::{Standing, openai_time};
use crate::metrics::Metrics;
pub use pace::BodyPace;
use pace::{Cut, Paced};
pub(crate) use span::Spans;
use unread::Kept;

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// Characters of a client's own request id: enough for a UUID or a trace, too few to fill a log.
const REQUEST_ID_CHARS_MAX: usize = 128;

/// What a listener holds every request to.
#[derive(Debug, Clone)]
pub(crate) struct Contract {
    /// How slow a body may be.
    pub(crate) pace: BodyPace,
    /// Where answers are counted.
    pub(crate) metrics: Metrics,
    /// Which requests are traced.
    pub(crate) spans: Spans,
    /// The path that the listener's routes are mounted under.
    pub(crate) prefix: String,
}

/// Wraps every request.
pub(crate) async fn contract(
    Contract { pace, metrics, spans, prefix }: Contract,
    mut request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<BoxBody>, Error> {
    let begun = Instant::now();
    let id = request_id(&request);
    let log = tracing::info_span!("request", request_id = id, method = %request.method(), path = %request.path(), tenant_id = Empty, job_id = Empty, trace_id = Empty);
    let (pattern, method) = (request.match_pattern(), request.method().clone());
    // As if the API were mounted at the root.
    let route = pattern.as_deref().map(|pattern| pattern.strip_prefix(&prefix).unwrap_or(pattern));
    let count = |status| metrics.answered(route, &method, status, begun.elapsed());
    let span = span::begin(spans, &request, route);
    if let Some(trace) = span.traceparent() {
        log.record("trace_id", trace.trace_id());
    }
    let (cut, kept) = hold(&mut request, pace);
    // The request itself must not be held here: the router writes into it on its way to the handler.
    let mut response = match span.around(next.call(request).instrument(log.clone())).await {
        Ok(response) => response.map_into_boxed_body(),
        Err(error) => {
            let restated = || restate(error.error_response(), &error.to_string());
            let mut response = cut.answer().unwrap_or_else(restated);
            if let Some(kept) = kept {
                response = kept.keep_in(response);
            }
            mark(response.headers_mut(), &id, begun, None);
            count(response.status());
            span::end(&span, response.status(), None);
            return Err(InternalError::from_response(error, response).into());
        }
    };
    let status = response.status();
    if let Some(answer) = cut.answer().filter(|_| !status.is_success()) {
        response = response.into_response(answer);
    } else if (status.is_client_error() || status.is_server_error()) && !is_json(response.headers())
    {
        let mut new = answer(&of_status(status, ""));
        if status == StatusCode::METHOD_NOT_ALLOWED
            && let Ok(allow) =
                HeaderValue::from_str(&doc::methods_of(route.unwrap_or_default()).join(", "))
        {
            new.headers_mut().insert(ALLOW, allow);
        }
        response = response.into_response(new);
    }
    let organization = response.request().extensions().get::<Organization>().map(|o| o.0.clone());
    let standing = response.request().extensions().get::<Standing>().copied();
    mark(response.headers_mut(), &id, begun, organization.as_ref().map(TenantId::as_str));
    if let Some(standing) = standing {
        say_standing(response.headers_mut(), standing);
    }
    if let Some(kept) = kept {
        let (request, answer) = response.into_parts();
        response = ServiceResponse::new(request, kept.keep_in(answer));
    }
    count(response.status());
    span::end(&span, response.status(), organization.as_ref());
    log.in_scope(|| tracing::debug!(status = response.status().as_u16(), "answered"));
    Ok(response)
}

/// Holds the request's body to `pace` and keeps hold of it.
fn hold(request: &mut ServiceRequest, pace: BodyPace) -> (Cut, Option<Kept>) {
    let cut = Cut::default();
    match request.parts_mut().1.take() {
        Payload::None => (cut, None),
        payload => {
            let kept = Kept::new(payload);
            let payload = Box::pin(Paced::new(kept.clone(), pace, cut.clone()));
            request.set_payload(Payload::Stream { payload });
            (cut, Some(kept))
        }
    }
}

/// Headers of every answer.
fn mark(headers: &mut HeaderMap, id: &str, begun: Instant, organization: Option<&str>) {
    let millis = begun.elapsed().as_millis().to_string();
    let all = [
        ("x-request-id", id),
        ("openai-processing-ms", &millis),
        ("openai-version", "2020-10-01"),
        ("x-content-type-options", "nosniff"),
    ];
    let organization = organization.map(|organization| ("openai-organization", organization));
    for (name, value) in all.into_iter().chain(organization) {
        if let Ok(value) = HeaderValue::from_str(value) {
            headers.insert(HeaderName::from_static(name), value);
        }
    }
}

/// How the caller's rate limit stands, in OpenAI's headers.
fn say_standing(headers: &mut HeaderMap, standing: Standing) {
    let Standing { limit, remaining, reset } = standing;
    let (limit, remaining) = (HeaderValue::from(limit), HeaderValue::from(remaining));
    headers.insert(HeaderName::from_static("x-ratelimit-limit-requests"), limit);
    headers.insert(HeaderName::from_static("x-ratelimit-remaining-requests"), remaining);
    if let Ok(reset) = HeaderValue::from_str(&openai_time(reset)) {
        headers.insert(HeaderName::from_static("x-ratelimit-reset-requests"), reset);
    }
}

/// The client's own id where it is a sane one, else a new one.
fn request_id(request: &ServiceRequest) -> String {
    let sane = |text: &&str| {
        !text.is_empty()
            && text.len() <= REQUEST_ID_CHARS_MAX
            && text.bytes().all(|byte| byte.is_ascii_graphic())
    };
    let given =
        request.headers().get(REQUEST_ID).and_then(|value| value.to_str().ok()).filter(sane);
    match given {
        Some(id) => id.to_string(),
        None => RequestId::generate().map_or_else(|_| "req_none".to_string(), |id| id.to_string()),
    }
}

/// Our own errors are in form already; the HTTP library's are put into it.
fn restate(response: actix_web::HttpResponse, detail: &str) -> actix_web::HttpResponse {
    if response.headers().get(CONTENT_TYPE).is_some_and(|kind| kind == "application/json") {
        return response;
    }
    let status = response.status();
    match status.is_client_error() {
        true => answer(&of_status(status, detail)),
        false => {
            tracing::error!(detail, "request failed");
            answer(&ApiError::new(
                ErrorCode::Internal,
                "the server failed; the log has the rest under the request id",
            ))
        }
    }
}

fn is_json(headers: &HeaderMap) -> bool {
    headers.get(CONTENT_TYPE).is_some_and(|kind| kind.as_bytes().starts_with(b"application/json"))
}

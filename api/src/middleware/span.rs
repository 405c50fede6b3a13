//! The span of a request, by OpenTelemetry's conventions for HTTP servers; it ends with the head of the answer, as the time that is measured.
//!
//! What a client chose is not in it: no path, no query, no host, no agent, no id of its own. The log has them, under the trace's id.

use actix_web::dev::ServiceRequest;
use actix_web::http::StatusCode;
use trainyard_openapi::id::TenantId;
use trainyard_scheduler::trace::{Span, SpanKind, TraceParent};

use crate::metrics::method_word;

/// Which requests have a span. Health checks have none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Spans {
    /// All others.
    All,
    /// Those whose caller is in a span itself: heartbeats and polls of executors are not.
    Continued,
}

/// Begins the span of a request of `route`, a pattern.
pub(super) fn begin(spans: Spans, request: &ServiceRequest, route: Option<&str>) -> Span {
    let parent = parent(request);
    let health = route.is_some_and(|route| route.starts_with("/healthz/"));
    if health || (spans == Spans::Continued && parent.is_none()) {
        return Span::none();
    }
    let method = match method_word(request.method()) {
        "other" => "_OTHER",
        known => known,
    };
    let name = match (method, route) {
        ("_OTHER", Some(route)) => format!("HTTP {route}"),
        ("_OTHER", None) => "HTTP".to_string(),
        (method, Some(route)) => format!("{method} {route}"),
        (method, None) => method.to_string(),
    };
    let span = Span::below(SpanKind::Server, name, parent.as_ref());
    span.set("http.request.method", method);
    span.set("url.scheme", "http");
    if let Some(route) = route {
        span.text("http.route", route);
    }
    span
}

/// Says how it was answered, and to whom.
pub(super) fn end(span: &Span, status: StatusCode, tenant: Option<&TenantId>) {
    span.set("http.response.status_code", i64::from(status.as_u16()));
    if let Some(tenant) = tenant {
        span.text("trainyard.tenant.id", tenant);
    }
    if status.is_server_error() {
        span.fail(status.as_u16());
    }
}

/// What the caller is in. What is no `traceparent`, or is there twice, is passed over, as the specification asks for.
fn parent(request: &ServiceRequest) -> Option<TraceParent> {
    let mut all = request.headers().get_all("traceparent");
    let one = all.next().filter(|_| all.next().is_none())?;
    one.to_str().ok()?.parse().ok()
}

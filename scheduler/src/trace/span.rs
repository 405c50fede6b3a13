//! Spans of OpenTelemetry: what was done, for how long, and for whose sake.
//!
//! They go to the provider that the process made OpenTelemetry's global one: the server's where traces are on, an embedding program's
//! own, else none. Without one a span costs next to nothing and hands on the trace that it was given.
//!
//! What a tenant chose (paths, names, URLs, errors in words) is in no name and no attribute. Ids that the server made are.

use std::borrow::Cow;
use std::fmt;

use opentelemetry::context::{FutureExt, WithContext};
use opentelemetry::trace::{
    Link, SpanBuilder, SpanContext, SpanKind, Status, TraceContextExt, TraceState, Tracer,
};
use opentelemetry::{Context, KeyValue, SpanId, TraceFlags, TraceId, Value, global};

use super::TraceParent;

/// The instrumentation scope of all spans.
const SCOPE: &str = "trainyard";

/// A span under way; it ends when it is dropped.
#[derive(Debug)]
pub struct Span {
    context: Context,
}

impl Span {
    /// No span, and nothing around it.
    pub fn none() -> Self {
        Self { context: Context::new() }
    }

    /// A step of what this task is doing. Outside every span it is none.
    pub fn step(name: &'static str) -> Self {
        Self::step_of(SpanKind::Internal, name)
    }

    /// The same of another kind.
    pub fn step_of(kind: SpanKind, name: impl Into<Cow<'static, str>>) -> Self {
        Self::inside(&Context::current(), kind, name)
    }

    /// A step of this span, which may end before it.
    pub fn child(&self, name: &'static str) -> Self {
        Self::inside(&self.context, SpanKind::Internal, name)
    }

    fn inside(around: &Context, kind: SpanKind, name: impl Into<Cow<'static, str>>) -> Self {
        match around.has_active_span() {
            true => Self::start(builder(kind, name), around),
            false => Self::none(),
        }
    }

    /// What goes on with the trace `parent`, which came from elsewhere; the first of a new trace where there is none.
    pub fn below(
        kind: SpanKind,
        name: impl Into<Cow<'static, str>>,
        parent: Option<&TraceParent>,
    ) -> Self {
        let around = match parent {
            Some(parent) => Context::new().with_remote_span_context(parent.context()),
            None => Context::new(),
        };
        Self::start(builder(kind, name), &around)
    }

    /// The first span of a new trace, with a link to what it was `cause`d by, be it hours ago.
    pub fn linked(
        kind: SpanKind,
        name: impl Into<Cow<'static, str>>,
        cause: Option<&TraceParent>,
    ) -> Self {
        let links = cause.map(|cause| Link::with_context(cause.context())).into_iter().collect();
        Self::start(builder(kind, name).with_links(links), &Context::new())
    }

    fn start(builder: SpanBuilder, around: &Context) -> Self {
        let span = global::tracer(SCOPE).build_with_context(builder, around);
        Self { context: around.with_span(span) }
    }

    /// Says more of it.
    pub fn set(&self, key: &'static str, value: impl Into<Value>) {
        self.context.span().set_attribute(KeyValue::new(key, value));
    }

    /// Says more of it in text, which is written only where somebody records it. Never what a tenant chose.
    pub fn text(&self, key: &'static str, value: impl fmt::Display) {
        if self.context.span().is_recording() {
            self.set(key, value.to_string());
        }
    }

    /// Says that it failed: `kind` is a word of a closed list, such as a code or a status.
    pub fn fail(&self, kind: impl fmt::Display) {
        self.text("error.type", kind);
        self.context.span().set_status(Status::error(""));
    }

    /// How others go on with it, or link to it. None where nothing is traced.
    pub fn traceparent(&self) -> Option<TraceParent> {
        TraceParent::of(self.context.span().span_context())
    }

    /// Runs `work` inside the span.
    pub fn around<F>(&self, work: F) -> WithContext<F> {
        work.with_context(self.context.clone())
    }
}

impl Drop for Span {
    fn drop(&mut self) {
        // Whoever still holds the context keeps it from ending by itself.
        self.context.span().end();
    }
}

/// The span that this task is in.
pub fn current() -> Option<TraceParent> {
    Context::map_current(|around| TraceParent::of(around.span().span_context()))
}

/// Lets a new task be in the span that this one is in.
pub fn carried<F>(work: F) -> WithContext<F> {
    work.with_current_context()
}

fn builder(kind: SpanKind, name: impl Into<Cow<'static, str>>) -> SpanBuilder {
    SpanBuilder::from_name(name).with_kind(kind)
}

impl TraceParent {
    fn of(span: &SpanContext) -> Option<Self> {
        let (trace, id, flags) = (span.trace_id(), span.span_id(), span.trace_flags());
        span.is_valid().then(|| Self(format!("00-{trace}-{id}-{:02x}", flags.to_u8())))
    }

    /// The same for OpenTelemetry. What its text promises is parsed, so nothing of it can be wrong.
    fn context(&self) -> SpanContext {
        let part = |from: usize, to: usize| self.0.get(from..to).unwrap_or_default();
        SpanContext::new(
            TraceId::from_hex(part(3, 35)).unwrap_or(TraceId::INVALID),
            SpanId::from_hex(part(36, 52)).unwrap_or(SpanId::INVALID),
            TraceFlags::new(u8::from_str_radix(part(53, 55), 16).unwrap_or(0)),
            true,
            TraceState::default(),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CALLER: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    #[test]
    fn without_a_provider_the_callers_trace_is_handed_on_as_it_came() {
        let caller: TraceParent = CALLER.parse().unwrap();
        let request = Span::below(SpanKind::Server, "GET /", Some(&caller));
        assert_eq!(request.traceparent().as_ref(), Some(&caller));
        request.fail("500");
        assert_eq!(Span::below(SpanKind::Server, "GET /", None).traceparent(), None);
        assert_eq!(Span::linked(SpanKind::Consumer, "process", Some(&caller)).traceparent(), None);
        assert_eq!(Span::step("outside").traceparent(), None);
        assert_eq!(current(), None);
    }

    #[tokio::test]
    async fn a_step_is_below_what_its_task_is_in_and_so_is_what_it_starts() {
        let caller: TraceParent = CALLER.parse().unwrap();
        let request = Span::below(SpanKind::Server, "GET /", Some(&caller));
        let inside = request.around(async {
            let started = tokio::spawn(carried(async { current() })).await.unwrap();
            let alone = tokio::spawn(async { current() }).await.unwrap();
            (current(), Span::step("step").traceparent(), started, alone)
        });
        let caller = Some(caller);
        assert_eq!(inside.await, (caller.clone(), caller.clone(), caller, None));
        assert_eq!(current(), None);
    }
}

//! A receiver of spans by OTLP over HTTP in protobuf, which also takes webhooks.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use actix_web::web::{self, Bytes, Data};
use actix_web::{App, HttpRequest, HttpResponse, HttpServer};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::{KeyValue, any_value::Value};
use opentelemetry_proto::tonic::trace::v1::{Span, span::SpanKind, status::StatusCode};
use prost::Message;

/// The header that it wants to see.
pub(super) const TOKEN: &str = "collector-token-7781";
/// A guard against hanging.
const LIMIT: Duration = Duration::from_secs(60);

/// A span that arrived.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Seen {
    /// `service.name` of the process.
    pub(super) service: String,
    pub(super) name: String,
    pub(super) kind: SpanKind,
    /// Ids in hexadecimal; the parent's is empty at the root.
    pub(super) trace: String,
    pub(super) id: String,
    pub(super) parent: String,
    /// Trace and span of each link.
    pub(super) links: Vec<(String, String)>,
    /// Attributes as text.
    pub(super) says: BTreeMap<String, String>,
    pub(super) failed: bool,
}

impl Seen {
    fn of(service: &str, span: &Span) -> Self {
        let links = span.links.iter();
        Self {
            service: service.to_string(),
            name: span.name.clone(),
            kind: span.kind(),
            trace: hex(&span.trace_id),
            id: hex(&span.span_id),
            parent: hex(&span.parent_span_id),
            links: links.map(|link| (hex(&link.trace_id), hex(&link.span_id))).collect(),
            says: attributes(&span.attributes),
            failed: span.status.as_ref().is_some_and(|s| s.code() == StatusCode::Error),
        }
    }

    /// The link or parent that somebody else has to this span.
    pub(super) fn place(&self) -> (String, String) {
        (self.trace.clone(), self.id.clone())
    }

    pub(super) fn is_below(&self, parent: &Self) -> bool {
        (&self.trace, &self.parent) == (&parent.trace, &parent.id)
    }

    #[track_caller]
    pub(super) fn says(&self, key: &str) -> &str {
        self.says.get(key).unwrap_or_else(|| panic!("no '{key}' in {self:#?}"))
    }
}

/// A running receiver, until the test's end.
pub(super) struct Collector {
    address: String,
    seen: Arc<Mutex<Vec<Seen>>>,
    hooks: Arc<Mutex<usize>>,
}

impl Collector {
    pub(super) fn start() -> Self {
        let seen = Arc::new(Mutex::new(Vec::new()));
        let hooks = Arc::new(Mutex::new(0));
        let (spans, called) = (Data::from(Arc::clone(&seen)), Data::from(Arc::clone(&hooks)));
        let server = HttpServer::new(move || {
            App::new()
                .app_data(spans.clone())
                .app_data(called.clone())
                .app_data(web::PayloadConfig::new(1 << 24))
                .route("/v1/traces", web::post().to(take))
                .route("/hook", web::post().to(hook))
        });
        let server = server.workers(1).disable_signals().bind("127.0.0.1:0").unwrap();
        let address = server.addrs()[0].to_string();
        tokio::spawn(server.run());
        Self { address, seen, hooks }
    }

    pub(super) fn base(&self) -> String {
        format!("http://{}", self.address)
    }

    pub(super) fn hook(&self) -> String {
        format!("http://{}/hook", self.address)
    }

    pub(super) fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().clone()
    }

    pub(super) fn hooks(&self) -> usize {
        *self.hooks.lock().unwrap()
    }

    /// Waits until `enough` says yes of what has arrived.
    pub(super) async fn wait(&self, enough: impl Fn(&[Seen]) -> bool) -> Vec<Seen> {
        let begun = Instant::now();
        loop {
            let seen = self.seen();
            if enough(&seen) {
                return seen;
            }
            assert!(begun.elapsed() < LIMIT, "not within {LIMIT:?}: {seen:#?}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}

async fn take(request: HttpRequest, body: Bytes, seen: Data<Mutex<Vec<Seen>>>) -> HttpResponse {
    let header = |name: &str| request.headers().get(name).and_then(|value| value.to_str().ok());
    if header("authorization") != Some(&format!("Bearer {TOKEN}")) {
        return HttpResponse::Unauthorized().finish();
    }
    assert_eq!(header("content-type"), Some("application/x-protobuf"));
    let export = ExportTraceServiceRequest::decode(body).expect("spans in protobuf");
    for of_process in &export.resource_spans {
        let said = attributes(&of_process.resource.as_ref().expect("a resource").attributes);
        for name in ["service.version", "service.instance.id", "telemetry.sdk.name"] {
            assert!(said.contains_key(name), "{name} is not in {said:?}");
        }
        let service = &said["service.name"];
        let spans = of_process.scope_spans.iter().flat_map(|scope| &scope.spans);
        seen.lock().unwrap().extend(spans.map(|span| Seen::of(service, span)));
    }
    HttpResponse::Ok().content_type("application/x-protobuf").finish()
}

/// A webhook, which is told of no trace.
async fn hook(request: HttpRequest, hooks: Data<Mutex<usize>>) -> HttpResponse {
    assert!(request.headers().get("traceparent").is_none());
    *hooks.lock().unwrap() += 1;
    HttpResponse::NoContent().finish()
}

fn attributes(all: &[KeyValue]) -> BTreeMap<String, String> {
    let text = |one: &KeyValue| match one.value.as_ref().and_then(|value| value.value.as_ref()) {
        Some(Value::StringValue(text)) => text.clone(),
        Some(Value::IntValue(number)) => number.to_string(),
        Some(Value::BoolValue(yes)) => yes.to_string(),
        other => format!("{other:?}"),
    };
    all.iter().map(|one| (one.key.clone(), text(one))).collect()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The one span of this name, in this process where there are several.
#[track_caller]
pub(super) fn one<'a>(seen: &'a [Seen], service: &str, name: &str) -> &'a Seen {
    let found: Vec<_> =
        seen.iter().filter(|span| span.name == name && span.service == service).collect();
    assert_eq!(found.len(), 1, "'{name}' of {service}: {found:#?}");
    found[0]
}

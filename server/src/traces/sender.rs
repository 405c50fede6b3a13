//! Batches of spans to the collector: OTLP over HTTP in protobuf (opentelemetry.io, OTLP 1.5, "OTLP/HTTP").

use std::time::Duration;

use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use opentelemetry_proto::transform::common::tonic::ResourceAttributesWithSchema;
use opentelemetry_proto::transform::trace::tonic::group_spans_by_resource_and_scope;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::SpanData;
use prost::Message;
use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, RETRY_AFTER};
use reqwest::redirect::Policy;
use reqwest::{Certificate, Client, Response, Url};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::{Counts, TraceError};
use crate::config::TracePlan;

/// Spans of a request.
const BATCH_MAX: usize = 512;
/// Time in which spans gather.
const GATHER: Duration = Duration::from_secs(1);
/// A whole request.
const REQUEST_MAX: Duration = Duration::from_secs(10);
/// Tries of a batch that nobody takes.
const TRIES: u32 = 5;
/// The first pause between them, which doubles.
const PAUSE: Duration = Duration::from_secs(1);
/// The longest pause that a collector may ask for.
const PAUSE_MAX: Duration = Duration::from_secs(30);
/// Bytes of an answer that are read.
const ANSWER_BYTES_MAX: usize = 64 * 1024;

/// What came of a try.
enum Answer {
    /// All but so many spans were taken.
    Taken { rejected: u64 },
    /// It will never be taken.
    Refused(String),
    /// It may be taken after a pause, which the collector may name.
    Later(String, Option<Duration>),
}

/// The one that sends.
pub(super) struct Sender {
    http: Client,
    endpoint: Url,
    headers: HeaderMap,
    resource: ResourceAttributesWithSchema,
    counts: Counts,
    /// Whether the last batch was taken, so that a change is told once.
    well: bool,
}

impl Sender {
    pub(super) fn new(
        plan: &TracePlan,
        resource: &Resource,
        counts: Counts,
    ) -> Result<Self, TraceError> {
        let mut http = Client::builder()
            .user_agent(concat!("trainyard/", env!("CARGO_PKG_VERSION")))
            .redirect(Policy::none())
            .no_proxy()
            .timeout(REQUEST_MAX);
        if let Some(pem) = &plan.ca_pem {
            let all = Certificate::from_pem_bundle(pem).map_err(TraceError::Certificates)?;
            http = all.into_iter().fold(http, |http, one| http.add_root_certificate(one));
        }
        let mut headers = HeaderMap::new();
        for (name, value) in &plan.headers {
            let wrong = || TraceError::Header(name.clone());
            let key = HeaderName::from_bytes(name.as_bytes()).map_err(|_| wrong())?;
            let mut value = HeaderValue::from_str(value).map_err(|_| wrong())?;
            value.set_sensitive(true);
            headers.insert(key, value);
        }
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/x-protobuf"));
        Ok(Self {
            http: http.build().map_err(TraceError::Client)?,
            endpoint: plan.endpoint.clone(),
            headers,
            resource: ResourceAttributesWithSchema::from(resource),
            counts,
            well: true,
        })
    }

    /// Sends what comes out of the queue until `closing`, then what is left in it, each batch once.
    pub(super) async fn run(
        mut self,
        mut waiting: mpsc::Receiver<SpanData>,
        closing: CancellationToken,
    ) {
        while !closing.is_cancelled() {
            let mut batch = Vec::new();
            tokio::select! {
                () = gather(&mut waiting, &mut batch) => {}
                () = closing.cancelled() => {}
            }
            self.send(batch, &closing).await;
        }
        waiting.close();
        loop {
            let mut batch = Vec::new();
            while batch.len() < BATCH_MAX
                && let Ok(span) = waiting.try_recv()
            {
                batch.push(span);
            }
            if batch.is_empty() {
                return;
            }
            self.send(batch, &closing).await;
        }
    }

    async fn send(&mut self, batch: Vec<SpanData>, closing: &CancellationToken) {
        if batch.is_empty() {
            return;
        }
        let spans = batch.len() as u64;
        let resource_spans = group_spans_by_resource_and_scope(batch, &self.resource);
        let body = ExportTraceServiceRequest { resource_spans }.encode_to_vec();
        let mut pause = PAUSE;
        for left in (0..TRIES).rev() {
            match self.post(body.clone()).await {
                Answer::Taken { rejected } => {
                    let rejected = rejected.min(spans);
                    self.counts.add(Counts::REJECTED, rejected);
                    self.counts.add(Counts::SENT, spans - rejected);
                    if !std::mem::replace(&mut self.well, true) {
                        tracing::info!("the collector takes traces again");
                    }
                    return;
                }
                Answer::Refused(reason) => {
                    self.counts.add(Counts::REJECTED, spans);
                    self.complain(&reason);
                    return;
                }
                Answer::Later(reason, asked) => {
                    self.complain(&reason);
                    if left == 0 || closing.is_cancelled() {
                        break;
                    }
                    tokio::select! {
                        () = tokio::time::sleep(asked.unwrap_or(pause).min(PAUSE_MAX)) => {}
                        () = closing.cancelled() => {}
                    }
                    pause *= 2;
                }
            }
        }
        self.counts.add(Counts::DROPPED, spans);
    }

    fn complain(&mut self, reason: &str) {
        if std::mem::replace(&mut self.well, false) {
            tracing::warn!(
                reason,
                "the collector takes no traces; spans that have no room are dropped"
            );
        }
    }

    async fn post(&self, body: Vec<u8>) -> Answer {
        let request = self.http.post(self.endpoint.clone()).headers(self.headers.clone());
        match request.body(body).send().await {
            Ok(response) => read(response).await,
            Err(error) => Answer::Later(crate::chain(&error.without_url()), None),
        }
    }
}

/// Waits for spans, and a while for more that come with them.
async fn gather(waiting: &mut mpsc::Receiver<SpanData>, batch: &mut Vec<SpanData>) {
    if waiting.recv_many(batch, BATCH_MAX).await == 0 {
        // Nobody can end a span any more.
        return std::future::pending().await;
    }
    let more = async {
        while batch.len() < BATCH_MAX {
            let room = BATCH_MAX - batch.len();
            if waiting.recv_many(batch, room).await == 0 {
                return;
            }
        }
    };
    // A wait that is given up takes none out.
    let _ = tokio::time::timeout(GATHER, more).await;
}

async fn read(mut response: Response) -> Answer {
    let status = response.status();
    let asked = response.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok());
    let asked = asked.and_then(|text| text.trim().parse().ok()).map(Duration::from_secs);
    match status.as_u16() {
        200..=299 => {}
        429 | 502..=504 => return Answer::Later(format!("it answers with status {status}"), asked),
        _ => return Answer::Refused(format!("it answers with status {status}")),
    }
    let mut bytes = Vec::new();
    while let Ok(Some(piece)) = response.chunk().await {
        bytes.extend_from_slice(&piece);
        if bytes.len() > ANSWER_BYTES_MAX {
            break;
        }
    }
    // What cannot be read says nothing of refused spans.
    let answer = ExportTraceServiceResponse::decode(bytes.as_slice()).unwrap_or_default();
    let rejected = answer.partial_success.map_or(0, |partial| partial.rejected_spans);
    Answer::Taken { rejected: u64::try_from(rejected).unwrap_or(0) }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use actix_web::web::{self, Data};
    use actix_web::{App, HttpResponse, HttpServer};
    use opentelemetry::trace::{Tracer, TracerProvider};
    use opentelemetry_proto::tonic::collector::trace::v1::ExportTracePartialSuccess;
    use opentelemetry_sdk::trace::SdkTracerProvider;

    use super::*;

    type Answered = fn(usize) -> HttpResponse;

    /// Sends five spans to a collector that answers its `n`th request so; gives what was sent, rejected and dropped, and how often it was asked.
    async fn sent_to(answer: Answered) -> ([u64; 3], usize) {
        let asked = Arc::new(AtomicUsize::new(0));
        let counted = Data::from(Arc::clone(&asked));
        let take = move |counted: Data<AtomicUsize>| async move {
            answer(counted.fetch_add(1, Ordering::Relaxed))
        };
        let app = move || App::new().app_data(counted.clone()).route("/", web::post().to(take));
        let server = HttpServer::new(app).workers(1).disable_signals().bind("127.0.0.1:0").unwrap();
        let endpoint = format!("http://{}/", server.addrs()[0]);
        tokio::spawn(server.run());
        let plan = TracePlan {
            endpoint: endpoint.parse().unwrap(),
            headers: Vec::new(),
            ca_pem: None,
            sampler: "always_on".parse().unwrap(),
            share: 1.0,
            resource: Vec::new(),
        };
        let counts = Counts::new().unwrap();
        let (queue, waiting) = super::super::queue::new(counts.clone());
        let provider = SdkTracerProvider::builder().with_span_processor(queue).build();
        for _ in 0..5 {
            drop(provider.tracer("test").start("span"));
        }
        let sender = Sender::new(&plan, &Resource::builder_empty().build(), counts.clone());
        let closing = CancellationToken::new();
        let running = tokio::spawn(sender.unwrap().run(waiting, closing.clone()));
        let of = |result: &str| counts.0.with_label_values(&[result]).get();
        let all = || [Counts::SENT, Counts::REJECTED, Counts::DROPPED].map(of);
        while all().iter().sum::<u64>() < 5 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        closing.cancel();
        running.await.unwrap();
        (all(), asked.load(Ordering::Relaxed))
    }

    #[tokio::test]
    async fn what_a_collector_says_is_counted_and_only_what_may_pass_is_tried_again() {
        let refused: Answered = |_| HttpResponse::BadRequest().finish();
        assert_eq!(sent_to(refused).await, ([0, 5, 0], 1));
        let busy: Answered = |n| match n {
            0 => HttpResponse::ServiceUnavailable().insert_header(("retry-after", "0")).finish(),
            _ => HttpResponse::Ok().finish(),
        };
        assert_eq!(sent_to(busy).await, ([5, 0, 0], 2));
        let partial: Answered = |_| {
            let partial = ExportTracePartialSuccess { rejected_spans: 2, ..Default::default() };
            let answer = ExportTraceServiceResponse { partial_success: Some(partial) };
            HttpResponse::Ok().body(answer.encode_to_vec())
        };
        assert_eq!(sent_to(partial).await, ([3, 2, 0], 1));
        let away: Answered =
            |_| HttpResponse::BadGateway().insert_header(("retry-after", "0")).finish();
        assert_eq!(sent_to(away).await, ([0, 0, 5], TRIES as usize));
    }
}

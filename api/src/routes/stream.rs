//! A job's events as they happen, as server-sent events.
//!
//! The stream pulls from the record, page by page, when the client has taken what came before: a slow client holds up nothing and
//! fills nothing.

use std::convert::Infallible;
use std::time::{Duration, Instant};

use actix_web::HttpResponse;
use actix_web::http::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderMap};
use actix_web::web::Bytes;
use futures::stream;
use trainyard_openapi::error::{ApiError, ErrorCode};
use trainyard_openapi::id::{EventId, JobId};
use trainyard_scheduler::scheduler::JobNews;
use trainyard_scheduler::{Scheduler, TenantContext};

use crate::auth::{Authenticator, JobsRead, Permission, bearer, lacks};
use crate::error::Result;
use crate::limits::{Limits, OpenStream};

/// Events read at once: some tens of kilobytes.
const PAGE: u32 = 50;

/// The times of a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StreamTimes {
    /// A comment goes out where nothing else did for this long, so that nobody on the way takes the connection for dead.
    pub heartbeat: Duration,
    /// How often the credential is looked at again. With the time that a key is trusted, a revoked one ends its streams within
    /// 30 s by default.
    pub credential_check: Duration,
}

impl Default for StreamTimes {
    fn default() -> Self {
        Self { heartbeat: Duration::from_secs(15), credential_check: Duration::from_secs(5) }
    }
}

/// What streams are made of.
pub(crate) struct Streams {
    pub(crate) scheduler: Scheduler,
    pub(crate) authenticator: Authenticator,
    pub(crate) limits: Limits,
    pub(crate) times: StreamTimes,
}

/// A client that follows a job.
struct Follow {
    scheduler: Scheduler,
    authenticator: Authenticator,
    credential: String,
    times: StreamTimes,
    ctx: TenantContext,
    job: JobId,
    after: Option<EventId>,
    news: JobNews,
    /// What is said before anything else.
    first: Option<String>,
    checked: Instant,
    spoken: Instant,
    done: bool,
    _open: OpenStream,
}

impl Streams {
    /// Answers with the events of `job` after `after`, or else after the `Last-Event-ID` that a client sends when it connects again.
    pub(super) async fn follow(
        &self,
        ctx: &TenantContext,
        headers: &HeaderMap,
        job: JobId,
        after: Option<String>,
    ) -> Result<HttpResponse> {
        let Self { scheduler, authenticator, limits, times } = self;
        let open = limits.open_stream(ctx.tenant())?;
        // Listened before the record is read, so that nothing falls between.
        let news = scheduler.news();
        let last = headers.get("last-event-id").map(|id| String::from_utf8_lossy(id.as_bytes()));
        let wanted = last.map(|id| id.into_owned()).or(after).filter(|id| !id.is_empty());
        let mut from = wanted.as_deref().and_then(|id| id.parse::<EventId>().ok());
        let read = scheduler.history(ctx, &job, from.as_ref(), 1).await;
        match read.map_err(|error| (error.to_api().code, error)) {
            Ok(_) => {}
            Err((ErrorCode::InvalidCursor, _)) => from = None,
            Err((_, error)) => return Err(error.into()),
        }
        let unknown = wanted.filter(|_| from.is_none());
        let now = Instant::now();
        let follow = Follow {
            scheduler: scheduler.clone(),
            authenticator: authenticator.clone(),
            credential: bearer(headers)?,
            times: *times,
            ctx: ctx.clone(),
            job,
            after: from,
            news,
            first: unknown.map(|id| reset(&id)),
            checked: now,
            spoken: now,
            done: false,
            _open: open,
        };
        let pieces = stream::unfold(follow, |mut follow| async move {
            let text = follow.next().await?;
            Some((Ok::<_, Infallible>(Bytes::from(text)), follow))
        });
        Ok(HttpResponse::Ok()
            .insert_header((CONTENT_TYPE, "text/event-stream; charset=utf-8"))
            .insert_header((CACHE_CONTROL, "no-store"))
            .insert_header(("x-accel-buffering", "no"))
            .streaming(Box::pin(pieces)))
    }
}

impl Follow {
    /// The next piece of the answer; `None` at its end.
    async fn next(&mut self) -> Option<String> {
        if self.done {
            return None;
        }
        let text = match self.first.take() {
            Some(first) => first,
            None => match self.look().await {
                Ok(text) => text?,
                Err(error) => {
                    self.done = true;
                    said("error", None, &json(&error.body()))
                }
            },
        };
        self.spoken = Instant::now();
        Some(text)
    }

    /// Waits for something to say; `None` where the server stops.
    async fn look(&mut self) -> Result<Option<String>, ApiError> {
        loop {
            if self.checked.elapsed() >= self.times.credential_check {
                let found = self.authenticator.authenticate(&self.credential).await;
                self.ctx = found.map_err(|error| error.to_api())?;
                if !self.ctx.may(JobsRead::SCOPE) {
                    return Err(lacks(&self.ctx, JobsRead::SCOPE));
                }
                self.checked = Instant::now();
            }
            let read = self.scheduler.history(&self.ctx, &self.job, self.after.as_ref(), PAGE);
            let history = read.await.map_err(|error| error.to_api())?;
            let mut text = String::new();
            for event in &history.events {
                text += &said("fine_tuning.job.event", Some(&event.id), &json(event));
            }
            if let Some(last) = history.events.last() {
                self.after = Some(last.id.clone());
            }
            if history.ended {
                self.done = true;
                text += &said("done", None, "[DONE]");
            }
            if !text.is_empty() {
                return Ok(Some(text));
            }
            if self.spoken.elapsed() >= self.times.heartbeat {
                return Ok(Some(": still here\n\n".to_string()));
            }
            let until_check = self.times.credential_check.saturating_sub(self.checked.elapsed());
            let wait = until_check.min(self.times.heartbeat.saturating_sub(self.spoken.elapsed()));
            tokio::select! {
                () = self.scheduler.closing() => return Ok(None),
                () = self.news.of(&self.job) => {}
                () = tokio::time::sleep(wait) => {}
            }
        }
    }
}

/// Whether the client asks for a stream by its `Accept` header.
pub(super) fn accepted(headers: &HeaderMap) -> bool {
    let accept = headers.get("accept").and_then(|value| value.to_str().ok()).unwrap_or_default();
    accept.split(',').any(|kind| {
        let kind = kind.split(';').next().unwrap_or_default().trim();
        kind.eq_ignore_ascii_case("text/event-stream")
    })
}

fn reset(id: &str) -> String {
    let id: String = id.chars().filter(|c| !c.is_control()).take(80).collect();
    let message = format!("'{id}' is no event of this job: all events follow from the oldest on");
    let data = serde_json::json!({"last_event_id": id, "message": message});
    said("trainyard.reset", None, &data.to_string())
}

/// One event of the stream. JSON has no line breaks of its own here, so it is one line of data.
fn said(event: &str, id: Option<&EventId>, data: &str) -> String {
    let id = id.map(|id| format!("id: {id}\n")).unwrap_or_default();
    format!("{id}event: {event}\ndata: {data}\n\n")
}

fn json(value: &impl serde::Serialize) -> String {
    serde_json::to_string(value).unwrap_or_else(|error| format!("\"{error}\""))
}

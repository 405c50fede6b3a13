//! Word of a job's changes: its event stream, or a clock where there is no stream.

use std::time::Duration;

use reqwest::Response;

use crate::client::sse::Parser;
use crate::client::{Client, ClientError};

/// Between two looks at the job where there is no stream, and at least between two looks where there is one.
pub(super) const POLL: Duration = Duration::from_millis(500);
/// Some changes are no events: a place in the queue, say. So the job is looked at now and then on a stream too.
const LOOK: Duration = Duration::from_secs(5);
/// A stream that says nothing for so long is dead: the server gives a sign of life every 15 s.
const SILENCE_MAX: Duration = Duration::from_secs(60);

/// Follows one job.
pub(super) struct Follower {
    path: [String; 4],
    stream: Stream,
}

enum Stream {
    /// To be opened after the event of that id.
    Closed(Option<String>),
    Open(Box<Open>),
    /// There is none: the server refused it, or is one that knows no streams.
    Refused,
}

struct Open {
    response: Response,
    parser: Parser,
    heard: tokio::time::Instant,
}

impl Follower {
    pub(super) fn new(id: &str) -> Self {
        let path = ["fine_tuning", "jobs", id, "events"].map(str::to_string);
        Self { path, stream: Stream::Closed(None) }
    }

    /// Waits until the job may have changed.
    pub(super) async fn changed(&mut self, client: &Client) {
        // Events may come by the hundred a second; the job is asked for no more often than without them.
        tokio::time::sleep(POLL).await;
        if let Stream::Closed(last) = &mut self.stream {
            let last = last.take();
            self.stream = self.open(client, last).await;
            // What happened before it was open is in the job.
            return;
        }
        if let Stream::Open(open) = &mut self.stream
            && !open.wait().await
        {
            let last = open.parser.last_id().map(str::to_string);
            self.stream = Stream::Closed(last);
        }
    }

    async fn open(&self, client: &Client, last: Option<String>) -> Stream {
        let path = self.path.each_ref().map(String::as_str);
        match client.events(&path, last.as_deref()).await {
            Ok(response) => Stream::Open(Box::new(Open {
                response,
                parser: Parser::after(last),
                heard: tokio::time::Instant::now(),
            })),
            // The server may be on its way back; the job's own answer tells how it is.
            Err(ClientError::Unreachable { .. }) => Stream::Closed(last),
            Err(error) => {
                tracing::debug!(%error, "no event stream: the job is asked for instead");
                Stream::Refused
            }
        }
    }
}

impl Open {
    /// Waits for an event, or for the time of the next look; `false` where the stream has ended.
    async fn wait(&mut self) -> bool {
        let look = tokio::time::Instant::now() + LOOK;
        loop {
            let mut told = false;
            while let Some(event) = self.parser.next() {
                told |= !event.name.is_empty();
            }
            if told {
                return true;
            }
            match tokio::time::timeout_at(look, self.response.chunk()).await {
                Ok(Ok(Some(piece))) => {
                    self.heard = tokio::time::Instant::now();
                    if self.parser.push(&piece).is_err() {
                        return false;
                    }
                }
                Ok(Ok(None) | Err(_)) => return false,
                Err(_) => return self.heard.elapsed() < SILENCE_MAX,
            }
        }
    }
}

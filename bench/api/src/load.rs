//! Load: an open loop, which sends at its times whatever the answers do, and latencies as a table line.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use reqwest::{RequestBuilder, StatusCode};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

/// The longest latency that is told apart, in microseconds.
const LONGEST_US: u64 = 60_000_000;

/// Connections of the open loop: fewer than the server takes, so that none waits to be taken. What waits for one of them is late,
/// and counted so.
const CONNECTIONS: usize = 256;

/// Latencies of one kind of request.
pub(crate) struct Measured {
    what: String,
    latencies: Histogram<u64>,
    /// Requests a second that were really answered.
    rate: f64,
}

impl Measured {
    pub(crate) fn new(what: impl Into<String>, latencies: Histogram<u64>, time: Duration) -> Self {
        let rate = latencies.len() as f64 / time.as_secs_f64();
        Self { what: what.into(), latencies, rate }
    }
}

impl fmt::Display for Measured {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let at = |quantile| self.latencies.value_at_quantile(quantile) as f64 / 1000.0;
        let most = self.latencies.max() as f64 / 1000.0;
        write!(
            f,
            "  {:<34} {:>7} requests {:>8.1}/s   p50 {:>8.2} ms   p99 {:>8.2} ms   p99.9 {:>8.2} ms   most {most:>8.2} ms",
            self.what,
            self.latencies.len(),
            self.rate,
            at(0.5),
            at(0.99),
            at(0.999),
        )
    }
}

pub(crate) fn histogram() -> Histogram<u64> {
    Histogram::new_with_bounds(1, LONGEST_US, 3).expect("bounds")
}

pub(crate) fn record(latencies: &mut Histogram<u64>, latency: Duration) {
    let micros = u64::try_from(latency.as_micros()).unwrap_or(LONGEST_US);
    latencies.saturating_record(micros.max(1));
}

/// Sends a request and reads its answer to the end.
pub(crate) async fn answered(request: RequestBuilder) -> bytes::Bytes {
    let response = request.send().await.expect("an answer");
    let (status, body) = (response.status(), response.bytes());
    let body = body.await.expect("a body");
    assert_eq!(status, StatusCode::OK, "{}", String::from_utf8_lossy(&body));
    body
}

/// Sends `rate` requests a second for `time`, each at its own time. A latency counts from the time at which the request was to be
/// sent: where the server, or this program, is late, all that wait behind it are late too.
pub(crate) async fn open_loop(
    what: &str,
    rate: u64,
    time: Duration,
    request: impl Fn(u64) -> RequestBuilder + Send + 'static,
) -> Measured {
    open_loop_of(what, rate, time, CONNECTIONS, request).await
}

/// The same over no more than `connections`.
pub(crate) async fn open_loop_of(
    what: &str,
    rate: u64,
    time: Duration,
    connections: usize,
    request: impl Fn(u64) -> RequestBuilder + Send + 'static,
) -> Measured {
    let total = (rate as f64 * time.as_secs_f64()) as u64;
    let (sender, mut due) = tokio::sync::mpsc::unbounded_channel();
    let start = Instant::now() + Duration::from_millis(100);
    // A thread of its own: the runtime's timers are a millisecond coarse.
    let pace = std::thread::spawn(move || {
        for number in 0..total {
            let at = start + Duration::from_nanos(1_000_000_000 / rate * number);
            std::thread::sleep(at.saturating_duration_since(Instant::now()));
            sender.send((at, request(number))).expect("a receiver");
        }
    });
    let connections = Arc::new(Semaphore::new(connections));
    let mut answers = JoinSet::new();
    while let Some((at, request)) = due.recv().await {
        let connections = connections.clone();
        answers.spawn(async move {
            let _connection = connections.acquire().await.expect("it is never closed");
            answered(request).await;
            at.elapsed()
        });
    }
    let mut latencies = histogram();
    while let Some(latency) = answers.join_next().await {
        record(&mut latencies, latency.expect("an answer"));
    }
    pace.join().expect("the pace");
    Measured::new(what, latencies, start.elapsed())
}

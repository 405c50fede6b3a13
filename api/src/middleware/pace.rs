//! Bodies that do not come: how long one may stand still, and how slow it may be.
//!
//! Counted is the time in which the server waits for the client. A body that the server reads slowly itself is not cut, and one
//! that makes progress may take hours.

use std::cell::OnceCell;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use actix_web::HttpResponse;
use actix_web::error::PayloadError;
use actix_web::web::Bytes;
use futures::Stream;
use tokio::time::{Instant, Sleep, sleep_until};
use trainyard_openapi::error::{ApiError, ErrorCode};

use crate::error::answer;

/// What a body has to bring.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BodyPace {
    /// How long it may stand still.
    pub idle: Duration,
    /// Bytes a second that come at least, over each `period` of waiting; 0 is no limit.
    pub bytes_per_second: u64,
    /// Over how much waiting that is counted.
    pub period: Duration,
}

impl Default for BodyPace {
    fn default() -> Self {
        let period = Duration::from_secs(30);
        Self { idle: Duration::from_secs(30), bytes_per_second: 512, period }
    }
}

/// Why a request's body was cut off, once it was.
#[derive(Clone, Default)]
pub(super) struct Cut(Rc<OnceCell<String>>);

impl Cut {
    /// The answer to a request whose body was cut off.
    pub(super) fn answer(&self) -> Option<HttpResponse> {
        Some(answer(&ApiError::new(ErrorCode::RequestTimeout, self.0.get()?.clone())))
    }
}

/// A body that fails where it comes too slowly, and goes on failing.
pub(super) struct Paced<S> {
    inner: S,
    pace: BodyPace,
    cut: Cut,
    /// Since when no byte has come while the server waited.
    still: Option<Instant>,
    /// Since when that has not been counted as waiting yet.
    waiting: Option<Instant>,
    timer: Option<Pin<Box<Sleep>>>,
    /// Waiting and bytes of the period so far.
    waited: Duration,
    got: u64,
}

impl<S> Paced<S> {
    pub(super) fn new(inner: S, pace: BodyPace, cut: Cut) -> Self {
        let (still, waiting, timer) = (None, None, None);
        Self { inner, pace, cut, still, waiting, timer, waited: Duration::ZERO, got: 0 }
    }

    /// Ends a wait; fails where the period is over and brought too little.
    fn count(&mut self, now: Instant) -> Result<(), String> {
        if let Some(since) = self.waiting.take() {
            self.waited += now - since;
        }
        if self.pace.bytes_per_second == 0 || self.waited < self.pace.period {
            return Ok(());
        }
        let (seconds, rate) = (self.waited.as_secs_f64(), self.pace.bytes_per_second);
        let got = self.got;
        (self.waited, self.got) = (Duration::ZERO, 0);
        if got as f64 >= rate as f64 * seconds {
            return Ok(());
        }
        Err(format!(
            "the body came too slowly: {got} bytes within {seconds:.1} s; the limit is {rate} bytes a second. Nothing was stored"
        ))
    }

    /// When a wait has to be looked at.
    fn deadline(&self, still: Instant, waiting: Instant) -> Instant {
        let idle = still + self.pace.idle;
        match self.pace.bytes_per_second {
            0 => idle,
            _ => idle.min(waiting + self.pace.period.saturating_sub(self.waited)),
        }
    }

    fn fail<T>(&mut self, reason: String) -> Poll<Option<Result<T, PayloadError>>> {
        let reason = self.cut.0.get_or_init(|| reason);
        let error = io::Error::new(io::ErrorKind::TimedOut, reason.clone());
        Poll::Ready(Some(Err(PayloadError::Io(error))))
    }
}

impl<S: Stream<Item = Result<Bytes, PayloadError>> + Unpin> Stream for Paced<S> {
    type Item = Result<Bytes, PayloadError>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = self.as_mut().get_mut();
        if this.cut.0.get().is_some() {
            return this.fail(String::new());
        }
        if let Poll::Ready(piece) = Pin::new(&mut this.inner).poll_next(context) {
            this.still = None;
            let bytes = piece.iter().flatten().map(Bytes::len).sum::<usize>() as u64;
            this.got += bytes;
            return match this.count(Instant::now()) {
                // The end and a broken connection are what they are.
                Err(reason) if bytes > 0 => this.fail(reason),
                _ => Poll::Ready(piece),
            };
        }
        loop {
            let now = Instant::now();
            let still = *this.still.get_or_insert(now);
            if now - still >= this.pace.idle {
                let limit = this.pace.idle.as_secs_f64();
                return this.fail(format!(
                    "the body stands still: no byte came for {limit} s, which is the limit. Nothing was stored"
                ));
            }
            if let Err(reason) = this.count(now) {
                return this.fail(reason);
            }
            this.waiting = Some(now);
            let deadline = this.deadline(still, now);
            let timer = this.timer.get_or_insert_with(|| Box::pin(sleep_until(deadline)));
            timer.as_mut().reset(deadline);
            ready!(timer.as_mut().poll(context));
        }
    }
}

#[cfg(test)]
mod tests {
    use futures::stream::{self, BoxStream, StreamExt};

    use super::*;

    const MIB: usize = 1 << 20;
    const PACE: BodyPace = BodyPace {
        idle: Duration::from_secs(30),
        bytes_per_second: 512,
        period: Duration::from_secs(30),
    };

    /// A body of `count` pieces of `bytes`, each after `seconds`.
    fn body(
        count: usize,
        bytes: usize,
        seconds: f64,
    ) -> BoxStream<'static, Result<Bytes, PayloadError>> {
        let piece = Bytes::from(vec![b'x'; bytes]);
        let pieces = stream::iter(0..count).then(move |_| {
            let piece = piece.clone();
            async move {
                tokio::time::sleep(Duration::from_secs_f64(seconds)).await;
                Ok(piece)
            }
        });
        pieces.boxed()
    }

    /// Reads to the end, with a pause after each piece; gives the bytes or why it was cut.
    async fn read(
        body: BoxStream<'static, Result<Bytes, PayloadError>>,
        pause: f64,
    ) -> Result<usize, String> {
        let mut paced = Paced::new(body, PACE, Cut::default());
        let mut bytes = 0;
        while let Some(piece) = paced.next().await {
            match piece {
                Ok(piece) => bytes += piece.len(),
                Err(error) => {
                    assert!(paced.next().await.is_some_and(|again| again.is_err()), "it ended");
                    return Err(error.to_string());
                }
            }
            tokio::time::sleep(Duration::from_secs_f64(pause)).await;
        }
        Ok(bytes)
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_that_makes_progress_may_take_its_time() {
        let start = Instant::now();
        assert_eq!(read(body(2048, MIB, 20.0), 0.0).await, Ok(2048 * MIB));
        assert!(start.elapsed() > Duration::from_secs(11 * 3600), "2 GiB in half a day");
        // At the limit, and in a burst after a silence that is just allowed.
        assert_eq!(read(body(600, 512, 1.0), 0.0).await, Ok(600 * 512));
        assert_eq!(read(body(20, 20_000, 29.0), 0.0).await, Ok(20 * 20_000));
        // A small body that never fills a period.
        assert_eq!(read(body(5, 1, 5.0), 0.0).await, Ok(5));
    }

    #[tokio::test(start_paused = true)]
    async fn a_server_that_reads_slowly_cuts_nobody() {
        assert_eq!(read(body(50, 100, 0.0), 60.0).await, Ok(5_000));
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_that_drips_or_stops_is_cut() {
        let start = Instant::now();
        let dripping = read(body(100_000, 1, 1.0), 0.0).await.unwrap_err();
        assert!(dripping.contains("too slowly: 30 bytes within 30.0 s"), "{dripping}");
        assert!(start.elapsed() < Duration::from_secs(31));
        // A burst does not pay for a later drip.
        let burst = body(1, MIB, 0.0).chain(body(100_000, 1, 1.0)).boxed();
        let start = Instant::now();
        assert!(read(burst, 0.0).await.unwrap_err().contains("too slowly"));
        assert!(start.elapsed() < Duration::from_secs(61));
        let stopped = body(3, MIB, 1.0).chain(stream::pending()).boxed();
        let stopped = read(stopped, 0.0).await.unwrap_err();
        assert!(stopped.contains("no byte came for 30 s"), "{stopped}");
        let never = read(stream::pending().boxed(), 0.0).await.unwrap_err();
        assert!(never.contains("30"), "{never}");
    }
}

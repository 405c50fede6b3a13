//! Counts by key, each a leaky bucket that a minute fills (GCRA, by `governor`).

use std::collections::HashMap;
use std::hash::Hash;
use std::num::NonZeroU32;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use governor::clock::{Clock, MonotonicClock};
use governor::middleware::StateInformationMiddleware;
use governor::state::{InMemoryState, NotKeyed};
use governor::{Quota, RateLimiter};

/// Buckets that are kept. Beyond it, new keys share one bucket.
const BUCKETS_MAX: usize = 50_000;
/// After this long a bucket is full again: forgetting it changes nothing.
const FULL_AFTER: Duration = Duration::from_secs(60);
/// Between two searches for buckets to forget.
const SWEEP_EVERY: Duration = Duration::from_secs(1);

type Limiter = RateLimiter<NotKeyed, InMemoryState, MonotonicClock, StateInformationMiddleware>;

/// How much of a limit is left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Standing {
    /// Requests a minute.
    pub(crate) limit: u32,
    /// Requests that may come at once.
    pub(crate) remaining: u32,
    /// Until all of the limit is there again.
    pub(crate) reset: Duration,
}

/// A bucket for each key.
pub(super) struct Buckets<K>(Mutex<Kept<K>>);

struct Kept<K> {
    buckets: HashMap<K, Bucket>,
    /// Of all keys that found no place.
    shared: Option<Bucket>,
    swept: Option<Instant>,
}

struct Bucket {
    limit: u32,
    limiter: Arc<Limiter>,
    used: Instant,
    /// Nothing is let through before that.
    barred_until: Option<Instant>,
}

impl<K> Default for Buckets<K> {
    fn default() -> Self {
        Self(Mutex::new(Kept { buckets: HashMap::new(), shared: None, swept: None }))
    }
}

impl<K: Eq + Hash> Buckets<K> {
    /// Takes one out of the key's bucket of `limit` a minute, or gives how long to wait for one. A limit that has changed
    /// begins with a full bucket.
    pub(super) fn take(&self, key: K, limit: u32, now: Instant) -> Result<Standing, Duration> {
        let Some(rate) = NonZeroU32::new(limit) else { return Err(FULL_AFTER) };
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let bucket = kept.bucket(key, rate, now);
        bucket.used = now;
        match bucket.limiter.check() {
            Ok(state) => {
                let remaining = state.remaining_burst_capacity().min(limit);
                let reset = FULL_AFTER.mul_f64(f64::from(limit - remaining) / f64::from(limit));
                Ok(Standing { limit, remaining, reset })
            }
            Err(not_until) => {
                let wait = not_until.wait_time_from(MonotonicClock.now());
                bucket.barred_until = Some(now + wait);
                Err(wait)
            }
        }
    }

    /// How long the key is still barred after it found its bucket empty.
    pub(super) fn barred(&self, key: &K, now: Instant) -> Option<Duration> {
        let kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let shared = || kept.shared.as_ref().filter(|_| kept.buckets.len() >= BUCKETS_MAX);
        let until = kept.buckets.get(key).or_else(shared)?.barred_until?;
        until.checked_duration_since(now).filter(|left| !left.is_zero())
    }
}

impl<K: Eq + Hash> Kept<K> {
    fn bucket(&mut self, key: K, rate: NonZeroU32, now: Instant) -> &mut Bucket {
        let full = self.buckets.len() >= BUCKETS_MAX;
        if full && self.swept.is_none_or(|at| now - at >= SWEEP_EVERY) {
            self.swept = Some(now);
            self.buckets.retain(|_, bucket| now - bucket.used < FULL_AFTER);
        }
        let new = || Bucket {
            limit: rate.get(),
            limiter: Arc::new(
                RateLimiter::direct_with_clock(Quota::per_minute(rate), MonotonicClock)
                    .with_middleware(),
            ),
            used: now,
            barred_until: None,
        };
        let place = self.buckets.len() < BUCKETS_MAX || self.buckets.contains_key(&key);
        let bucket = match place {
            true => self.buckets.entry(key).or_insert_with(new),
            false => self.shared.get_or_insert_with(new),
        };
        if bucket.limit != rate.get() {
            *bucket = new();
        }
        bucket
    }
}

/// A time as OpenAI writes it: `120ms`, `1s`, `6m0s`. Rounded up, so that who waits that long has waited enough.
pub(crate) fn openai_time(time: Duration) -> String {
    let milliseconds = time.as_micros().div_ceil(1_000);
    let seconds = milliseconds.div_ceil(1_000);
    match (milliseconds, seconds) {
        (0, _) => "0s".to_string(),
        (1..1_000, _) => format!("{milliseconds}ms"),
        (_, 0..60) => format!("{seconds}s"),
        _ => format!("{}m{}s", seconds / 60, seconds % 60),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_empties_and_a_changed_limit_holds_at_once() {
        let (buckets, now) = (Buckets::default(), Instant::now());
        let first = buckets.take("a", 3, now).unwrap();
        assert_eq!((first.limit, first.remaining), (3, 2));
        assert_eq!(first.reset, Duration::from_secs(20));
        assert_eq!(buckets.take("a", 3, now).unwrap().remaining, 1);
        assert_eq!(buckets.take("a", 3, now).unwrap().remaining, 0);
        let wait = buckets.take("a", 3, now).unwrap_err();
        assert!(wait > Duration::from_secs(19) && wait <= Duration::from_secs(20), "{wait:?}");
        assert!(buckets.barred(&"a", now).is_some() && buckets.barred(&"b", now).is_none());
        assert_eq!(buckets.barred(&"a", now + wait), None);
        assert_eq!(buckets.take("b", 3, now).unwrap().remaining, 2, "each key has its own");
        assert_eq!(buckets.take("a", 5, now).unwrap().remaining, 4);
        assert_eq!(buckets.take("a", 0, now), Err(FULL_AFTER));
    }

    #[test]
    fn keys_without_end_find_a_bounded_number_of_buckets() {
        let (buckets, now) = (Buckets::default(), Instant::now());
        for number in 0..BUCKETS_MAX {
            buckets.take(number, 2, now).unwrap();
        }
        buckets.take(BUCKETS_MAX + 1, 2, now).unwrap();
        buckets.take(BUCKETS_MAX + 2, 2, now).unwrap();
        buckets.take(BUCKETS_MAX + 3, 2, now).unwrap_err();
        assert_eq!(buckets.0.lock().unwrap().buckets.len(), BUCKETS_MAX);
        // Those that are full again make room.
        buckets.take(BUCKETS_MAX + 3, 2, now + FULL_AFTER).unwrap();
        assert_eq!(buckets.0.lock().unwrap().buckets.len(), 1);
    }

    #[test]
    fn times_are_written_as_openai_writes_them() {
        for (milliseconds, text) in [
            (0, "0s"),
            (17, "17ms"),
            (999, "999ms"),
            (1_000, "1s"),
            (1_001, "2s"),
            (59_999, "1m0s"),
            (360_000, "6m0s"),
        ] {
            assert_eq!(openai_time(Duration::from_millis(milliseconds)), text);
        }
    }
}

//! When a delivery is tried again: waits that grow, spread by chance, and a last attempt 72 hours after the event.

use super::record::Lane;

/// The wait after each failed attempt, in milliseconds; the last of them goes on. Short at first, for a receiver that restarts;
/// long later, for one that somebody has to mend.
pub const DELAYS_MS: [i64; 10] = [
    5_000, 30_000, 120_000, 600_000, 1_800_000, 3_600_000, 7_200_000, 14_400_000, 28_800_000,
    28_800_000,
];
/// How long after the event the last attempt is made, in milliseconds: three days outlast a weekend.
pub const RETRY_MS_MAX: i64 = 72 * 3_600_000;
/// How long a delivery that ended is kept for the list, in milliseconds: 7 days.
pub const KEPT_MS: i64 = 7 * 86_400_000;
/// The longest time for which an endpoint's `Retry-After` is obeyed, in seconds.
pub const RETRY_AFTER_SECONDS_MAX: u64 = 3_600;
/// The largest share of a wait that chance adds to it: retries of many deliveries do not come at once.
const JITTER: f64 = 0.2;

/// The wait at this place of the schedule, in milliseconds.
pub fn delay_ms(place: usize) -> i64 {
    DELAYS_MS[place.min(DELAYS_MS.len() - 1)]
}

/// Where and when to try again after the attempt number `attempts` failed at `now_ms`; `None` where that was the last one.
/// `chance` lies in 0 to 1.
pub fn next(
    created_at_ms: i64,
    now_ms: i64,
    attempts: u32,
    retry_after_seconds: Option<u64>,
    chance: f64,
) -> Option<(Lane, i64)> {
    let end_ms = created_at_ms + RETRY_MS_MAX;
    if now_ms >= end_ms {
        return None;
    }
    let place = (attempts.saturating_sub(1) as usize).min(DELAYS_MS.len() - 1);
    let wait_ms = delay_ms(place);
    let spread_ms = wait_ms + (wait_ms as f64 * JITTER * chance.clamp(0.0, 1.0)) as i64;
    let asked = retry_after_seconds.unwrap_or(0).min(RETRY_AFTER_SECONDS_MAX);
    let asked_ms = i64::try_from(asked * 1000).unwrap_or(0);
    let at_ms = now_ms + spread_ms.max(asked_ms);
    Some(if at_ms >= end_ms { (Lane::Last, end_ms) } else { (Lane::Retry(place), at_ms) })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// All attempts of an event of time 0 at an endpoint that never takes it.
    fn attempts(chance: f64) -> Vec<i64> {
        let (mut now_ms, mut times) = (0, vec![0]);
        while let Some((lane, at_ms)) = next(0, now_ms, times.len() as u32, None, chance) {
            assert!(at_ms - now_ms >= lane.wait_ms(), "a lane's wait is its least");
            now_ms = at_ms;
            times.push(at_ms);
        }
        times
    }

    #[test]
    fn retries_go_on_for_72_hours_and_end() {
        for chance in [0.0, 0.5, 1.0] {
            let times = attempts(chance);
            assert_eq!(times.last(), Some(&RETRY_MS_MAX), "the last attempt is at the end");
            assert!((14..=19).contains(&times.len()), "{} attempts", times.len());
            assert!((5_000..=6_000).contains(&times[1]));
            assert!(times.windows(2).all(|pair| pair[1] - pair[0] <= 28_800_000 * 6 / 5));
        }
        assert_ne!(attempts(0.0)[1..5], attempts(1.0)[1..5], "chance spreads them");
    }

    #[test]
    fn retry_after_is_obeyed_up_to_an_hour_and_never_shortens() {
        let at = |asked| next(0, 0, 1, asked, 0.0).unwrap().1;
        assert_eq!(at(None), 5_000);
        assert_eq!(at(Some(1)), 5_000);
        assert_eq!(at(Some(90)), 90_000);
        assert_eq!(at(Some(u64::MAX)), 3_600_000);
    }
}

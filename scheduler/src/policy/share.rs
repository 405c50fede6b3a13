//! What a tenant has used, as far as it still counts: accelerator-seconds that lose half their value in each half-life.
//!
//! Computed from the exact records of days, which quota and bills go by; nothing decayed is ever stored. A day counts from its middle
//! (today from the middle of what has passed of it), so a tenant that ran at one end of a day is taken to be up to half a day older or
//! younger: at most 2^(12 h / half-life), which is 5 % at 168 h and 41 % at the least half-life of 24 h.

use std::time::Duration;

use crate::job::{JobRecord, JobState};
use crate::port::store::UsageRecord;

/// How long a job is taken to run where neither its tenant nor any other has finished one, in seconds.
pub const ASSUMED_JOB_SECONDS: f64 = 3_600.0;
/// Days older than so many half-lives count for less than a thousandth and are not read.
const HALF_LIVES: u32 = 10;
const DAY_MS: i64 = 86_400_000;

/// How many days back usage counts.
pub fn days_back(half_life: Duration) -> i64 {
    let ms = i64::try_from((half_life * HALF_LIVES).as_millis()).unwrap_or(i64::MAX);
    ms / DAY_MS + 1
}

/// What is left of a figure after `passed_ms`, from 0 to 1.
pub fn decay(passed_ms: i64, half_life: Duration) -> f64 {
    let half_lives = passed_ms.max(0) as f64 / 1000.0 / half_life.as_secs_f64().max(1.0);
    0.5_f64.powf(half_lives)
}

/// Accelerator-seconds of `days` that still count at `now_ms`.
pub fn decayed_seconds(days: &[UsageRecord], now_ms: i64, half_life: Duration) -> f64 {
    let of_day = |usage: &UsageRecord| {
        let begin_ms = usage.day.saturating_mul(DAY_MS);
        let end_ms = begin_ms.saturating_add(DAY_MS).min(now_ms).max(begin_ms);
        let middle_ms = begin_ms + (end_ms - begin_ms) / 2;
        usage.accelerator_ms as f64 / 1000.0 * decay(now_ms - middle_ms, half_life)
    };
    days.iter().map(of_day).sum()
}

/// Accelerator-seconds for each job that succeeded: how long the next one is expected to run. `None` where none has.
pub fn job_seconds<'a>(days: impl IntoIterator<Item = &'a UsageRecord>) -> Option<f64> {
    let (used_ms, jobs) = days.into_iter().fold((0_u64, 0_u64), |(used_ms, jobs), day| {
        (used_ms.saturating_add(day.accelerator_ms), jobs + day.jobs_succeeded)
    });
    (jobs > 0).then(|| used_ms as f64 / 1000.0 / jobs as f64)
}

/// How long a job that holds devices will go on holding them, in seconds: what its run says, else what is left of `expected`. `None`
/// where it has run for longer than that.
pub fn seconds_left(job: &JobRecord, expected: f64, now_ms: i64) -> Option<f64> {
    let said = match &job.state {
        JobState::Running { lease, .. } => {
            let since = (now_ms - lease.seen_ms).max(0) as f64 / 1000.0;
            job.progress.eta_seconds.map(|eta| (eta - since).max(0.0))
        }
        _ => None,
    };
    let left = expected - job.running_seconds;
    said.filter(|seconds| seconds.is_finite()).or_else(|| (left > 0.0).then_some(left))
}

#[cfg(test)]
mod tests {
    use super::*;

    const WEEK: Duration = Duration::from_secs(168 * 3600);

    fn used(day: i64, seconds: u64, jobs_succeeded: u64) -> UsageRecord {
        UsageRecord {
            day,
            accelerator_ms: seconds * 1000,
            jobs_succeeded,
            ..UsageRecord::default()
        }
    }

    #[test]
    fn usage_halves_with_each_half_life() {
        let at = |day: i64| day * DAY_MS + DAY_MS / 2;
        let whole = decayed_seconds(&[used(100, 1000, 0)], at(100) + DAY_MS, WEEK);
        for weeks in 1..5 {
            let left = decayed_seconds(&[used(100, 1000, 0)], at(101 + 7 * weeks), WEEK);
            let ideal = whole / f64::from(1 << weeks);
            assert!((left - ideal).abs() < 1e-6, "{left} after {weeks} weeks");
        }
        assert_eq!(days_back(WEEK), 71);
    }

    #[test]
    fn nothing_jumps_at_midnight() {
        let day = [used(100, 1000, 0)];
        let before = decayed_seconds(&day, 101 * DAY_MS - 1, WEEK);
        let after = decayed_seconds(&day, 101 * DAY_MS, WEEK);
        assert!((before - after).abs() < 1e-3, "{before} and {after}");
    }

    #[test]
    fn a_job_is_expected_to_run_as_long_as_earlier_ones() {
        assert_eq!(job_seconds(&[used(1, 300, 2), used(2, 100, 2)]), Some(100.0));
        assert_eq!(job_seconds(&[used(1, 300, 0)]), None);
    }
}

//! When jobs in a line are likely to start: the line is played through with what is known of how long jobs run.

use std::cmp::{Ordering, Reverse};
use std::collections::BinaryHeap;

/// A job, as far as it takes devices.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Holding {
    /// Devices that it takes.
    pub devices: u32,
    /// For how long it holds them from its start, or from now where it has started, in seconds. `None` where nothing tells.
    pub seconds: Option<f64>,
}

/// When devices come free, in seconds from now.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Free {
    at: f64,
    devices: u32,
}

impl Eq for Free {}

impl Ord for Free {
    fn cmp(&self, other: &Self) -> Ordering {
        self.at.total_cmp(&other.at).then(self.devices.cmp(&other.devices))
    }
}

impl PartialOrd for Free {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// Seconds until each job of `line` starts on a pool of `devices`, one after the other as they stand; `None` where it cannot be told.
/// One that wants more devices than there are never starts and holds up nobody.
pub fn starts(
    devices: u32,
    busy: &[Holding],
    line: impl IntoIterator<Item = Holding>,
) -> Vec<Option<f64>> {
    let mut coming: BinaryHeap<Reverse<Free>> = BinaryHeap::new();
    let mut free = i64::from(devices);
    let take = |free: &mut i64, at: f64, job: &Holding| {
        *free -= i64::from(job.devices);
        // What cannot be told comes after all that can.
        let at = job.seconds.map_or(f64::INFINITY, |seconds| at + seconds.max(0.0));
        Reverse(Free { at, devices: job.devices })
    };
    for job in busy {
        let back = take(&mut free, 0.0, job);
        coming.push(back);
    }
    let mut now = 0.0_f64;
    let start = |job: Holding| {
        if job.devices > devices {
            return None;
        }
        while free < i64::from(job.devices) {
            let Reverse(next) = coming.pop()?;
            now = now.max(next.at);
            free += i64::from(next.devices);
        }
        let back = take(&mut free, now, &job);
        coming.push(back);
        now.is_finite().then_some(now)
    };
    line.into_iter().map(start).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn job(devices: u32, seconds: f64) -> Holding {
        Holding { devices, seconds: Some(seconds) }
    }

    #[test]
    fn jobs_start_as_devices_come_free() {
        let busy = [job(1, 100.0), job(1, 30.0)];
        let line = [job(1, 50.0), job(1, 10.0), job(2, 5.0), job(1, 1.0)];
        // 30: first until 80. 80: second until 90. 100: both free for the third, until 105.
        let expected = [Some(30.0), Some(80.0), Some(100.0), Some(105.0)];
        assert_eq!(starts(2, &busy, line), expected);
    }

    #[test]
    fn who_finds_free_devices_starts_now() {
        assert_eq!(starts(2, &[job(1, 9.0)], [job(1, 5.0), job(1, 5.0)]), [Some(0.0), Some(5.0)]);
    }

    #[test]
    fn nothing_is_told_that_hangs_on_what_is_unknown() {
        let unknown = Holding { devices: 1, seconds: None };
        let starts_of = starts(2, &[unknown, job(1, 7.0)], [job(1, 3.0), unknown, job(1, 1.0)]);
        assert_eq!(starts_of, [Some(7.0), Some(10.0), None]);
        assert_eq!(starts(0, &[], [job(1, 3.0)]), [None]);
    }

    #[test]
    fn a_job_that_is_too_large_holds_up_nobody() {
        assert_eq!(starts(1, &[job(1, 4.0)], [job(2, 3.0), job(1, 1.0)]), [None, Some(4.0)]);
    }
}

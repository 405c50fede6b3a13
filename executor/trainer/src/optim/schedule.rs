//! The course of the learning rate: a pure function of the step, so that a resume needs nothing of it.
//!
//! As transformers' `get_*_schedule_with_warmup`: step s (from 0) of the warm-up has the factor s / warm-up, which makes the first
//! step's rate 0 there. Here the warm-up counts from 1 instead, so that no step is wasted; the shapes after it are the
//! same functions of the share of the remaining steps.

use std::f64::consts::PI;

use trainyard_openapi::extension::ScheduleKind;

/// Share of the steps over which `wsd` decays.
const WSD_DECAY_SHARE: f64 = 0.1;

/// A schedule of a run.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Schedule {
    /// The shape.
    pub kind: ScheduleKind,
    /// Peak rate.
    pub peak: f64,
    /// The last rate as a share of the peak.
    pub min_ratio: f64,
    /// Steps of the warm-up.
    pub warmup: u64,
    /// Steps in all.
    pub total: u64,
}

impl Schedule {
    /// A schedule over `total` steps of which `warmup_ratio` (rounded up) warm up.
    pub fn new(
        kind: ScheduleKind,
        peak: f64,
        warmup_ratio: f64,
        min_ratio: f64,
        total: u64,
    ) -> Self {
        let warmup = ((total as f64 * warmup_ratio).ceil() as u64).min(total);
        Self { kind, peak, min_ratio, warmup, total }
    }

    /// The rate of step `step`, from 0.
    pub fn rate(&self, step: u64) -> f64 {
        if step < self.warmup {
            return self.peak * (step + 1) as f64 / self.warmup as f64;
        }
        let remaining = (self.total - self.warmup).max(1) as f64;
        let share = ((step - self.warmup) as f64 / remaining).min(1.0);
        let factor = match self.kind {
            ScheduleKind::Constant => 1.0,
            ScheduleKind::Linear => self.above_min(1.0 - share),
            ScheduleKind::Cosine => self.above_min(0.5 * (1.0 + (PI * share).cos())),
            ScheduleKind::Wsd => {
                let decay = (self.total as f64 * WSD_DECAY_SHARE).max(1.0);
                let left = self.total.saturating_sub(step) as f64;
                self.above_min((left / decay).min(1.0))
            }
        };
        self.peak * factor
    }

    fn above_min(&self, factor: f64) -> f64 {
        self.min_ratio + (1.0 - self.min_ratio) * factor
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rates(kind: ScheduleKind, min_ratio: f64) -> Vec<f64> {
        let schedule = Schedule::new(kind, 1.0, 0.2, min_ratio, 10);
        (0..10).map(|step| (schedule.rate(step) * 1e6).round() / 1e6).collect()
    }

    #[test]
    fn shapes() {
        assert_eq!(
            rates(ScheduleKind::Constant, 0.0),
            [0.5, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0]
        );
        assert_eq!(
            rates(ScheduleKind::Linear, 0.0),
            [0.5, 1.0, 1.0, 0.875, 0.75, 0.625, 0.5, 0.375, 0.25, 0.125]
        );
        // transformers 5.23.0: get_cosine_schedule_with_warmup(warmup 2, total 10), steps 2 to 9.
        let cosine = [1.0, 0.961_94, 0.853_553, 0.691_342, 0.5, 0.308_658, 0.146_447, 0.038_06];
        assert_eq!(rates(ScheduleKind::Cosine, 0.0)[2..], cosine);
        assert_eq!(rates(ScheduleKind::Cosine, 0.5)[6], 0.75);
        assert_eq!(
            rates(ScheduleKind::Wsd, 0.0),
            [0.5, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0]
        );
        let long = Schedule::new(ScheduleKind::Wsd, 1.0, 0.0, 0.0, 100);
        assert_eq!((long.rate(90), long.rate(95), long.rate(99)), (1.0, 0.5, 0.1));
    }
}

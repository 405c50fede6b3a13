//! Whether a trainer stands still: pure, told the time by its caller.
//!
//! A run that steps must show a step, or other work that is known to take long, within twenty times its usual step and never less
//! than a floor. Before its first step nobody knows how long one takes, and an export does things of their own: they have a limit by
//! themselves. Time that the agent itself held the trainer does not count.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::time::Instant;
use trainyard_plan::trainer::{Stage, TrainerEvent};

/// A step may take this many times the median of those before it.
const STEPS: u32 = 20;
/// Steps that the median is taken over: enough to be calm, few enough to follow a run whose rows get longer.
const WINDOW: usize = 101;

/// How long a trainer may show nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Limits {
    /// The least limit between steps.
    pub(crate) floor: Duration,
    /// The limit before the first step and while the adapter is written.
    pub(crate) start: Duration,
}

/// What is known of a trainer's progress.
#[derive(Debug)]
pub(crate) struct Watchdog {
    limits: Limits,
    /// The last sign of progress.
    seen: Instant,
    held_since: Option<Instant>,
    step: u64,
    steps: VecDeque<Duration>,
    exporting: bool,
}

impl Watchdog {
    /// Watches a trainer that starts `now`.
    pub(crate) fn new(limits: Limits, now: Instant) -> Self {
        let (steps, seen) = (VecDeque::new(), now);
        Self { limits, seen, held_since: None, step: 0, steps, exporting: false }
    }

    /// Takes an event that came `now`. What is only said, not done, changes nothing.
    pub(crate) fn hear(&mut self, event: &TrainerEvent, now: Instant) {
        match event {
            TrainerEvent::Started(started) => self.step = started.resumed_from_step,
            TrainerEvent::Step(step) => {
                if self.steps.len() == WINDOW {
                    self.steps.pop_front();
                }
                self.steps.push_back(now.duration_since(self.seen));
                self.step = step.step;
            }
            TrainerEvent::Working { stage } => self.exporting = *stage == Stage::Exporting,
            TrainerEvent::MicroBatchReduced { .. }
            | TrainerEvent::Reserve { .. }
            | TrainerEvent::StageBegan(_)
            | TrainerEvent::StageEnded { .. }
            | TrainerEvent::Evaluation(_)
            | TrainerEvent::Checkpoint(_)
            | TrainerEvent::Finished(_)
            | TrainerEvent::Stopped { .. }
            | TrainerEvent::Cancelled { .. }
            | TrainerEvent::Failed { .. } => {}
            TrainerEvent::Log { .. } => return,
        }
        self.seen = now;
    }

    /// The trainer is held, or let go on, by the agent.
    pub(crate) fn hold(&mut self, held: bool, now: Instant) {
        match (held, self.held_since) {
            (true, None) => self.held_since = Some(now),
            (false, Some(since)) => {
                self.seen += now.duration_since(since);
                self.held_since = None;
            }
            _ => {}
        }
    }

    /// When the trainer is stuck unless something comes before; never while it is held.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.held_since.is_none().then(|| self.seen + self.limit())
    }

    /// What is wrong `now`, in words, where the deadline has passed.
    pub(crate) fn verdict(&self, now: Instant) -> Option<String> {
        self.deadline().filter(|deadline| *deadline <= now)?;
        let (silence, limit) = (now.duration_since(self.seen), self.limit());
        let place = match (self.exporting, self.steps.is_empty()) {
            (true, _) => format!("while the adapter was written, after step {}", self.step),
            (false, true) if self.step == 0 => "before step 1".to_string(),
            (false, _) => format!("after step {}", self.step),
        };
        Some(format!(
            "the trainer made no progress {place} for {} s; the limit is {} s",
            silence.as_secs(),
            limit.as_secs()
        ))
    }

    fn limit(&self) -> Duration {
        if self.exporting || self.steps.is_empty() {
            return self.limits.start.max(self.limits.floor);
        }
        let mut sorted: Vec<Duration> = self.steps.iter().copied().collect();
        sorted.sort_unstable();
        self.limits.floor.max(sorted[sorted.len() / 2].saturating_mul(STEPS))
    }
}

#[cfg(test)]
mod tests {
    use trainyard_plan::trainer::{Started, Step};

    use super::*;

    const LIMITS: Limits =
        Limits { floor: Duration::from_secs(60), start: Duration::from_secs(1800) };

    fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn step(step: u64) -> TrainerEvent {
        TrainerEvent::Step(Step {
            step,
            total_steps: 1000,
            epoch: 0.0,
            train_loss: Some(1.0),
            train_mean_token_accuracy: Some(0.5),
            learning_rate: 0.1,
            grad_norm: 1.0,
            tokens: 1,
            target_tokens: 1,
            tokens_per_second: 1.0,
            eta_seconds: 1.0,
            training_seconds: 1.0,
            accelerator_memory_bytes: None,
        })
    }

    fn started(resumed_from_step: u64) -> TrainerEvent {
        TrainerEvent::Started(Started {
            device: "cpu".into(),
            parameters: 1,
            trainable_parameters: 1,
            total_steps: 1000,
            resumed_from_step,
            packing: false,
            data_report: Default::default(),
            validation_report: None,
            training_data_sha256: String::new(),
        })
    }

    /// A watchdog that has seen steps of these seconds, and the time after the last.
    fn after(steps: &[u64]) -> (Watchdog, Instant) {
        let mut now = Instant::now();
        let mut watchdog = Watchdog::new(LIMITS, now);
        for (number, took) in steps.iter().enumerate() {
            now += seconds(*took);
            watchdog.hear(&step(number as u64 + 1), now);
        }
        (watchdog, now)
    }

    #[test]
    fn quick_steps_have_the_floor_and_slow_ones_twenty_of_them() {
        let (quick, now) = after(&[1, 1, 2]);
        assert_eq!(quick.deadline(), Some(now + seconds(60)));
        assert_eq!(quick.verdict(now + seconds(60) - Duration::from_millis(1)), None);
        let verdict = quick.verdict(now + seconds(61)).unwrap();
        assert_eq!(
            verdict,
            "the trainer made no progress after step 3 for 61 s; the limit is 60 s"
        );
        // One step that took long, as the first often does, is not the usual one.
        let (slow, now) = after(&[100, 5, 4, 5, 6]);
        assert_eq!(slow.deadline(), Some(now + seconds(100)));
    }

    #[test]
    fn the_median_follows_the_newest_steps() {
        let steps: Vec<u64> = [vec![1; 500], vec![10; 51]].concat();
        let (watchdog, now) = after(&steps);
        assert_eq!(watchdog.deadline(), Some(now + seconds(200)));
    }

    #[test]
    fn before_the_first_step_and_while_exporting_the_limit_is_the_generous_one() {
        let now = Instant::now();
        let mut watchdog = Watchdog::new(LIMITS, now);
        assert_eq!(watchdog.deadline(), Some(now + seconds(1800)));
        let verdict = watchdog.verdict(now + seconds(1801)).unwrap();
        assert!(verdict.contains("before step 1 for 1801 s; the limit is 1800 s"), "{verdict}");
        watchdog.hear(&started(40), now + seconds(1000));
        assert_eq!(watchdog.deadline(), Some(now + seconds(2800)));
        let verdict = watchdog.verdict(now + seconds(3000)).unwrap();
        assert!(verdict.contains("after step 40"), "{verdict}");

        let (mut watchdog, now) = after(&[1, 1]);
        watchdog.hear(&TrainerEvent::Working { stage: Stage::Exporting }, now);
        assert_eq!(watchdog.deadline(), Some(now + seconds(1800)));
    }

    #[test]
    fn work_between_steps_counts_and_words_do_not() {
        let (mut watchdog, mut now) = after(&[1, 1, 1]);
        for _ in 0..10 {
            now += seconds(50);
            assert_eq!(watchdog.verdict(now), None);
            watchdog.hear(&TrainerEvent::Working { stage: Stage::Evaluating }, now);
        }
        // The evaluation does not count as a long step.
        watchdog.hear(&step(4), now + seconds(1));
        assert_eq!(watchdog.deadline(), Some(now + seconds(61)));
        let said = TrainerEvent::Log { level: "info".into(), message: "still here".into() };
        watchdog.hear(&said, now + seconds(50));
        assert_eq!(watchdog.deadline(), Some(now + seconds(61)));
    }

    #[test]
    fn time_in_which_the_agent_holds_the_trainer_does_not_count() {
        let (mut watchdog, now) = after(&[1, 1, 1]);
        watchdog.hold(true, now + seconds(40));
        watchdog.hold(true, now + seconds(41));
        assert_eq!((watchdog.deadline(), watchdog.verdict(now + seconds(9000))), (None, None));
        watchdog.hold(false, now + seconds(9000));
        watchdog.hold(false, now + seconds(9001));
        assert_eq!(watchdog.deadline(), Some(now + seconds(9020)));
    }
}

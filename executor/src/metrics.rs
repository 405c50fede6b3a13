//! What an executor counts, for Prometheus: its slots, and what the trainers in them say of themselves.

use std::time::Instant;

use prometheus::core::Collector;
use prometheus::{
    Counter, Gauge, Histogram, HistogramOpts, IntCounter, IntGauge, IntGaugeVec, Opts, Registry,
};
use trainyard_plan::trainer::{Started, Step, TrainerEvent};
use trainyard_scheduler::clock::{Clock, SystemClock};

/// Steps from a hundredth of a second, which tiny models take, to five minutes.
const STEP_BUCKETS: [f64; 12] =
    [0.01, 0.03, 0.1, 0.3, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0];
/// Checkpoints from a tenth of a second to ten minutes.
const CHECKPOINT_BUCKETS: [f64; 9] = [0.1, 0.5, 1.0, 5.0, 15.0, 30.0, 60.0, 180.0, 600.0];

/// The metrics of an executor, all of its one pool. Clones are the same ones.
#[derive(Debug, Clone)]
pub struct Metrics {
    tokens: IntCounter,
    steps: IntCounter,
    step_duration: Histogram,
    checkpoint_last: Gauge,
    checkpoint_duration: Histogram,
    accelerator_seconds: Counter,
    memory: IntGauge,
    slots: IntGaugeVec,
}

impl Metrics {
    /// Of an executor with `slots` slots in `pool`, none of them busy.
    #[expect(
        clippy::expect_used,
        reason = "names and labels are constants, which every test makes"
    )]
    pub(crate) fn new(pool: &str, slots: u32) -> Self {
        Self::build(pool, slots).expect("names and labels fit")
    }

    fn build(pool: &str, slots: u32) -> prometheus::Result<Self> {
        let opts = |name: &str, help: &str| Opts::new(name, help).const_label("pool", pool);
        let histogram = |name: &str, help: &str, buckets: &[f64]| {
            let opts = HistogramOpts::new(name, help).const_label("pool", pool);
            Histogram::with_opts(opts.buckets(buckets.into()))
        };
        let metrics = Self {
            tokens: IntCounter::with_opts(opts(
                "trainyard_train_tokens_total",
                "Tokens that were trained on, padding not counted.",
            ))?,
            steps: IntCounter::with_opts(opts(
                "trainyard_train_steps_total",
                "Optimizer steps that were taken.",
            ))?,
            step_duration: histogram(
                "trainyard_train_step_duration_seconds",
                "Time of an optimizer step, as the trainer counts it.",
                &STEP_BUCKETS,
            )?,
            checkpoint_last: Gauge::with_opts(opts(
                "trainyard_checkpoint_last_success_timestamp_seconds",
                "When a checkpoint or an adapter was last kept for certain; the start of the process before the first.",
            ))?,
            checkpoint_duration: histogram(
                "trainyard_checkpoint_duration_seconds",
                "Time from a checkpoint on the executor's disk to one that a job can go on from.",
                &CHECKPOINT_BUCKETS,
            )?,
            accelerator_seconds: Counter::with_opts(opts(
                "trainyard_accelerator_seconds_total",
                "Time that runs held accelerators, times the accelerators of each.",
            ))?,
            memory: IntGauge::with_opts(opts(
                "trainyard_accelerator_memory_used_bytes",
                "Memory of accelerators that runs hold: of the processor what is resident of their trainers.",
            ))?,
            slots: IntGaugeVec::new(
                opts("trainyard_executor_slots", "Places for runs, by whether one is in it."),
                &["state"],
            )?,
        };
        metrics.slots.with_label_values(&["busy"]).set(0);
        metrics.slots.with_label_values(&["free"]).set(i64::from(slots));
        metrics.checkpoint_kept();
        Ok(metrics)
    }

    /// Registers all of them.
    ///
    /// # Errors
    /// Where something of the same name is registered.
    pub fn register(&self, registry: &Registry) -> prometheus::Result<()> {
        let Self {
            tokens,
            steps,
            step_duration,
            checkpoint_last,
            checkpoint_duration,
            accelerator_seconds,
            memory,
            slots,
        } = self.clone();
        let all: [Box<dyn Collector>; 8] = [
            Box::new(tokens),
            Box::new(steps),
            Box::new(step_duration),
            Box::new(checkpoint_last),
            Box::new(checkpoint_duration),
            Box::new(accelerator_seconds),
            Box::new(memory),
            Box::new(slots),
        ];
        all.into_iter().try_for_each(|one| registry.register(one))
    }

    /// Notes that what a run has trained is safe now.
    pub(crate) fn checkpoint_kept(&self) {
        self.checkpoint_last.set(SystemClock.now_ms() as f64 / 1000.0);
    }

    /// Notes a checkpoint that was kept, and how long after `written` that was.
    pub(crate) fn checkpoint_uploaded(&self, written: Instant) {
        self.checkpoint_duration.observe(written.elapsed().as_secs_f64());
        self.checkpoint_kept();
    }

    /// Takes a slot for a run on `devices` accelerators, until what it gives is dropped.
    pub(crate) fn take_slot(&self, devices: u32) -> Run {
        self.slots.with_label_values(&["busy"]).inc();
        self.slots.with_label_values(&["free"]).dec();
        Run {
            metrics: self.clone(),
            devices: f64::from(devices),
            counted: Instant::now(),
            memory: 0,
            on_processor: false,
            on_accelerator: 0,
            seen: None,
        }
    }
}

/// A run in its slot.
pub(crate) struct Run {
    metrics: Metrics,
    devices: f64,
    /// Up to when its time is counted.
    counted: Instant,
    /// What it counts for in the memory of all runs.
    memory: i64,
    /// Its memory is the accelerator's.
    on_processor: bool,
    /// What its trainer said last that it holds of another accelerator.
    on_accelerator: i64,
    /// Tokens and seconds of training as the last event had them, all attempts of the job together.
    seen: Option<(u64, f64)>,
}

impl Run {
    /// Counts what an event says.
    pub(crate) fn hear(&mut self, event: &TrainerEvent) {
        match event {
            TrainerEvent::Started(Started { resumed_from_step, device, .. }) => {
                // What earlier attempts did is known from the first step on alone.
                self.seen = (*resumed_from_step == 0).then_some((0, 0.0));
                self.on_processor = device == "cpu";
            }
            TrainerEvent::Step(step) => self.hear_step(step),
            _ => {}
        }
    }

    fn hear_step(&mut self, step: &Step) {
        let metrics = &self.metrics;
        metrics.steps.inc();
        let bytes = step.accelerator_memory_bytes.unwrap_or(0);
        self.on_accelerator = i64::try_from(bytes).unwrap_or(i64::MAX);
        if let Some((tokens, seconds)) = self.seen {
            metrics.tokens.inc_by(step.tokens.saturating_sub(tokens));
            metrics.step_duration.observe((step.training_seconds - seconds).max(0.0));
        }
        self.seen = Some((step.tokens, step.training_seconds));
    }

    /// Counts the time since this was asked last, and the memory that its trainer has now.
    pub(crate) fn measure(&mut self, trainer: Option<u32>) {
        let now = Instant::now();
        let held = now.duration_since(self.counted).as_secs_f64() * self.devices;
        self.metrics.accelerator_seconds.inc_by(held);
        self.counted = now;
        let memory = match trainer {
            Some(process) if self.on_processor => resident_bytes(process).unwrap_or(0),
            Some(_) => self.on_accelerator,
            None => 0,
        };
        self.metrics.memory.add(memory - self.memory);
        self.memory = memory;
    }
}

impl Drop for Run {
    fn drop(&mut self) {
        self.measure(None);
        self.metrics.slots.with_label_values(&["busy"]).dec();
        self.metrics.slots.with_label_values(&["free"]).inc();
    }
}

/// What is resident of a process, from the line `VmRSS` of its status (proc(5)).
fn resident_bytes(process: u32) -> Option<i64> {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kib: i64 = line.split_whitespace().next()?.parse().ok()?;
    kib.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn step(step: u64, tokens: u64, training_seconds: f64) -> TrainerEvent {
        TrainerEvent::Step(Step {
            step,
            total_steps: 100,
            epoch: 0.0,
            train_loss: Some(1.0),
            train_mean_token_accuracy: Some(0.5),
            learning_rate: 0.1,
            grad_norm: 1.0,
            tokens,
            target_tokens: tokens,
            tokens_per_second: 1.0,
            eta_seconds: 1.0,
            training_seconds,
            accelerator_memory_bytes: None,
        })
    }

    fn started(resumed_from_step: u64) -> TrainerEvent {
        TrainerEvent::Started(Started {
            device: "cpu".into(),
            parameters: 1,
            trainable_parameters: 1,
            total_steps: 100,
            resumed_from_step,
            packing: false,
            data_report: Default::default(),
            validation_report: None,
            training_data_sha256: String::new(),
        })
    }

    #[test]
    fn what_earlier_attempts_trained_is_not_counted_again() {
        let metrics = Metrics::new("default", 2);
        let mut run = metrics.take_slot(1);
        [started(0), step(1, 50, 2.0), step(2, 90, 3.0)].iter().for_each(|event| run.hear(event));
        assert_eq!((metrics.tokens.get(), metrics.steps.get()), (90, 2));
        assert_eq!(metrics.step_duration.get_sample_sum(), 3.0);
        let mut again = metrics.take_slot(1);
        [started(2), step(3, 120, 4.0), step(4, 150, 6.0)].iter().for_each(|one| again.hear(one));
        assert_eq!((metrics.tokens.get(), metrics.steps.get()), (120, 4));
        assert_eq!(metrics.step_duration.get_sample_sum(), 5.0);
    }

    #[test]
    fn a_run_holds_its_slot_its_devices_and_its_memory_until_it_is_dropped() {
        let metrics = Metrics::new("default", 2);
        let slots = |state: &str| metrics.slots.with_label_values(&[state]).get();
        let mut run = metrics.take_slot(4);
        run.hear(&started(0));
        assert_eq!((slots("busy"), slots("free")), (1, 1));
        run.counted -= std::time::Duration::from_secs(10);
        run.measure(Some(std::process::id()));
        assert!((40.0..44.0).contains(&metrics.accelerator_seconds.get()));
        assert!(metrics.memory.get() > 1 << 20, "this process has more than a mebibyte");
        drop(run);
        assert_eq!((slots("busy"), slots("free"), metrics.memory.get()), (0, 2, 0));

        let mut run = metrics.take_slot(1);
        let of_gpu = |event| match event {
            TrainerEvent::Started(started) => {
                TrainerEvent::Started(Started { device: "cuda".into(), ..started })
            }
            TrainerEvent::Step(step) => {
                TrainerEvent::Step(Step { accelerator_memory_bytes: Some(5_000), ..step })
            }
            other => other,
        };
        [of_gpu(started(0)), of_gpu(step(1, 50, 2.0))].iter().for_each(|event| run.hear(event));
        run.measure(Some(std::process::id()));
        assert_eq!(metrics.memory.get(), 5_000, "not the resident memory of the process");
        drop(run);
        assert_eq!(metrics.memory.get(), 0);
    }
}

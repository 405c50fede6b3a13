//! From the trainer's events to the job's history and progress.
//!
//! Events are gathered and reported together, so that one write carries many. Where more steps come than a history can use, the
//! surplus is counted and said; the result file has them all.

use serde_json::{Map, Value, json};
use trainyard_openapi::event::{EventKind, EventLevel};
use trainyard_openapi::extension::{ContinualProgress, ContinualResult, Progress};
use trainyard_plan::trainer::{CheckpointWritten, EvaluationReport, Started, Step, TrainerEvent};
use trainyard_scheduler::port::control_plane::NewEvent;

use crate::lines::Line;

/// Step events in one report; ten reports a second would still be a thousand rows.
const STEPS_PER_REPORT: usize = 100;
/// Lines that are no events, after which the trainer is taken to be broken.
const GARBAGE_MAX: u64 = 1000;

/// What has been heard and not yet reported, and how far the run is.
#[derive(Debug, Default)]
pub(crate) struct Journal {
    pub(crate) progress: Progress,
    pub(crate) started: Option<Started>,
    pending: Vec<NewEvent>,
    steps: usize,
    thinned: u64,
    garbage: u64,
    reported: u64,
}

impl Journal {
    /// Takes a line; gives the event in it.
    pub(crate) fn hear(&mut self, line: &Line) -> Option<TrainerEvent> {
        let event = match line {
            Line::Whole(bytes) => serde_json::from_slice(bytes).ok(),
            Line::TooLong => None,
        };
        match &event {
            Some(event) => self.take(event),
            None => self.garbage += 1,
        }
        event
    }

    /// Whether the trainer writes so much that is no event that it must be broken.
    pub(crate) fn is_garbage(&self) -> bool {
        self.garbage > GARBAGE_MAX
    }

    /// Adds something of the agent's own.
    pub(crate) fn say(&mut self, level: EventLevel, message: impl Into<String>) {
        self.pending.push(new_event(level, EventKind::Message, message.into(), json!({})));
    }

    /// What is to be reported now, oldest first.
    pub(crate) fn drain(&mut self) -> Vec<NewEvent> {
        if self.thinned > 0 {
            let text = format!(
                "{} more steps came than are kept here; the result file has them all",
                self.thinned
            );
            self.say(EventLevel::Info, text);
        }
        if self.garbage > 0 {
            let text = format!("{} lines of the trainer were no events", self.garbage);
            self.say(EventLevel::Warn, text);
            self.garbage = 0;
        }
        (self.steps, self.thinned) = (0, 0);
        std::mem::take(&mut self.pending)
    }

    /// Puts back what could not be reported.
    pub(crate) fn put_back(&mut self, mut events: Vec<NewEvent>) {
        events.append(&mut self.pending);
        self.pending = events;
    }

    /// How many events have been reported for certain.
    pub(crate) const fn reported(&self) -> u64 {
        self.reported
    }

    /// Counts events whose report was answered.
    pub(crate) const fn count_reported(&mut self, events: usize) {
        self.reported += events as u64;
    }

    fn take(&mut self, event: &TrainerEvent) {
        match event {
            TrainerEvent::Started(started) => self.take_started(started),
            TrainerEvent::Step(step) => self.take_step(step),
            TrainerEvent::Evaluation(report) => self.take_evaluation(report),
            TrainerEvent::Log { level, message } => {
                let level = match level.as_str() {
                    "warn" => EventLevel::Warn,
                    "error" => EventLevel::Error,
                    _ => EventLevel::Info,
                };
                self.say(level, message.clone());
            }
            TrainerEvent::MicroBatchReduced { step, from, to, reason } => {
                let text = format!(
                    "Memory ran out in step {step} with micro-batches of {from}; going on with {to}, at the same effective batch"
                );
                let data = json!({"step": step, "micro_batch_size": to, "reason": reason});
                self.pending.push(new_event(EventLevel::Warn, EventKind::Message, text, data));
            }
            TrainerEvent::StageBegan(stage) => {
                self.progress.continual = Some(stage.clone());
                let ContinualProgress { stage, stages, name, first_step, steps } = stage;
                let text = format!("Stage {stage}/{stages} began: '{name}', {steps} steps");
                let data = json!({
                    "stage": name, "number": stage, "stages": stages, "first_step": first_step, "steps": steps,
                });
                self.pending.push(new_event(EventLevel::Info, EventKind::Message, text, data));
            }
            TrainerEvent::StageEnded { name, kept, reason, result } => {
                self.take_stage_ended(name, *kept, reason.as_deref(), result);
            }
            // These end a run, are between trainer and agent, or are told by the control plane when they count.
            TrainerEvent::Working { .. }
            | TrainerEvent::Reserve { .. }
            | TrainerEvent::Checkpoint(CheckpointWritten { .. })
            | TrainerEvent::Finished(_)
            | TrainerEvent::Stopped { .. }
            | TrainerEvent::Cancelled { .. }
            | TrainerEvent::Failed { .. } => {}
        }
    }

    fn take_stage_ended(
        &mut self,
        name: &str,
        kept: bool,
        reason: Option<&str>,
        result: &ContinualResult,
    ) {
        let because = reason.map(|reason| format!(": {reason}")).unwrap_or_default();
        let (level, text) = match kept {
            true => (EventLevel::Info, format!("Stage '{name}' ended and is kept{because}")),
            false => {
                let text = format!(
                    "Stage '{name}' is rejected and the adapter before it stays the result{because}"
                );
                (EventLevel::Warn, text)
            }
        };
        // The last row of each measure: the whole matrix grows with the square of the stages, and the job has it at the end.
        let scores: Map<String, Value> = result
            .matrices
            .iter()
            .filter_map(|matrix| {
                let row = matrix.rows.last()?;
                let columns = matrix.stages.iter().zip(&row.stages);
                let columns: Map<String, Value> =
                    columns.map(|(stage, score)| (stage.clone(), json!(score))).collect();
                let figures = json!({
                    "stages": columns,
                    "held_out": row.held_out,
                    "average": matrix.average,
                    "backward_transfer": matrix.backward_transfer,
                    "forward_transfer": matrix.forward_transfer,
                    "forgetting": matrix.forgetting,
                });
                Some((matrix.metric.clone(), figures))
            })
            .collect();
        let last_step = result.stages.last().and_then(|stage| stage.last_step);
        let data = json!({
            "stage": name, "kept": kept, "reason": reason, "last_step": last_step, "scores": scores,
        });
        self.pending.push(new_event(level, EventKind::Message, text, data));
    }

    fn take_started(&mut self, started: &Started) {
        self.progress.total_steps = Some(started.total_steps);
        self.progress.step = started.resumed_from_step;
        let text = format!(
            "Training {} of {} parameters on {} for {} steps",
            started.trainable_parameters, started.parameters, started.device, started.total_steps
        );
        let data = json!({
            "data_report": started.data_report,
            "validation_report": started.validation_report,
            "packing": started.packing,
            "resumed_from_step": started.resumed_from_step,
            "training_data_sha256": started.training_data_sha256,
        });
        self.pending.push(new_event(EventLevel::Info, EventKind::Message, text, data));
        for (name, what) in [
            ("truncated", "truncated"),
            ("rejected", "left out as too long"),
            ("without_target", "left out because nothing in them is learned"),
        ] {
            if let Some(count) = started.data_report.get(name).filter(|count| **count > 0) {
                self.say(
                    EventLevel::Warn,
                    format!("{count} rows of the training file were {what}"),
                );
            }
        }
        self.started = Some(started.clone());
    }

    fn take_step(&mut self, step: &Step) {
        self.progress = Progress {
            step: step.step,
            total_steps: Some(step.total_steps),
            tokens: step.tokens,
            tokens_per_second: Some(step.tokens_per_second),
            eta_seconds: Some(step.eta_seconds),
            train_loss: step.train_loss,
            ..self.progress.clone()
        };
        self.steps += 1;
        if self.steps > STEPS_PER_REPORT {
            self.thinned += 1;
            return;
        }
        // A private run has no loss to tell; what its steps cost the owner is told instead.
        let figure = match (step.train_loss, &self.progress.privacy) {
            (Some(loss), _) => format!(": training loss={loss:.4}"),
            (None, Some(spent)) => format!(": epsilon charged={:.4}", spent.epsilon),
            (None, None) => String::new(),
        };
        let text = format!("Step {}/{}{figure}", step.step, step.total_steps);
        let data = json!({
            "step": step.step,
            "total_steps": step.total_steps,
            "epoch": step.epoch,
            "train_loss": step.train_loss,
            "train_mean_token_accuracy": step.train_mean_token_accuracy,
            "learning_rate": step.learning_rate,
            "grad_norm": step.grad_norm,
            "tokens": step.tokens,
            "tokens_per_second": step.tokens_per_second,
        });
        self.pending.push(new_event(EventLevel::Info, EventKind::Metrics, text, data));
    }

    fn take_evaluation(&mut self, report: &EvaluationReport) {
        self.progress.valid_loss = Some(report.valid_loss);
        let text = format!("Step {}: validation loss={:.4}", report.step, report.valid_loss);
        let mut data = json!({
            "step": report.step,
            "valid_loss": report.valid_loss,
            "valid_mean_token_accuracy": report.valid_mean_token_accuracy,
            "perplexity": report.perplexity,
        });
        if report.last {
            data["full_valid_loss"] = json!(report.valid_loss);
            data["full_valid_mean_token_accuracy"] = json!(report.valid_mean_token_accuracy);
        }
        self.pending.push(new_event(EventLevel::Info, EventKind::Metrics, text, data));
    }
}

fn new_event(level: EventLevel, kind: EventKind, message: String, data: Value) -> NewEvent {
    let data = match data {
        Value::Object(map) => map,
        _ => Map::new(),
    };
    NewEvent { level, kind, message, data }
}

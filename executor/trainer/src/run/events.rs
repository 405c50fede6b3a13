//! Events as NDJSON: one line each, flushed at once, from one place.

use std::io::Write;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use trainyard_plan::trainer::{Stage, TrainerEvent};

use crate::error::{Result, TrainerError};

/// The least time between two words that work goes on: it is told often enough that nobody takes the run to be stuck.
const WORKING_EVERY: Duration = Duration::from_secs(1);

/// Where events go. `human` also gets a line for people.
pub struct Events {
    working: Mutex<Option<(Stage, Instant)>>,
    lines: Mutex<Box<dyn Write + Send>>,
    human: Option<Mutex<Box<dyn Write + Send>>>,
}

impl Events {
    /// NDJSON to `lines`, and text for people to `human`.
    pub fn new(lines: Box<dyn Write + Send>, human: Option<Box<dyn Write + Send>>) -> Self {
        Self { working: Mutex::new(None), lines: Mutex::new(lines), human: human.map(Mutex::new) }
    }

    /// Tells of `event`.
    ///
    /// # Errors
    /// Where nobody reads any more: the run has no one to report to and ends.
    pub fn emit(&self, event: &TrainerEvent) -> Result<()> {
        let mut line =
            serde_json::to_vec(event).map_err(|error| TrainerError::Torch(error.to_string()))?;
        line.push(b'\n');
        let mut out = self.lines.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        out.write_all(&line)
            .and_then(|()| out.flush())
            .map_err(TrainerError::io("standard output"))?;
        if let (Some(human), Some(text)) = (&self.human, describe(event)) {
            let mut human = human.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            // What people see is a courtesy: losing it must not end the run.
            let _ = writeln!(human, "{text}");
        }
        Ok(())
    }

    /// Tells that work goes on, unless that was told just now. To be called after each piece of it, never by a clock: a run that is
    /// stuck must fall silent.
    ///
    /// # Errors
    /// As [`Events::emit`].
    pub fn working(&self, stage: Stage) -> Result<()> {
        {
            let mut told = self.working.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            if told.is_some_and(|(at, when)| at == stage && when.elapsed() < WORKING_EVERY) {
                return Ok(());
            }
            *told = Some((stage, Instant::now()));
        }
        self.emit(&TrainerEvent::Working { stage })
    }

    /// Tells of something worth knowing.
    ///
    /// # Errors
    /// As [`Events::emit`].
    pub fn log(&self, level: &str, message: impl Into<String>) -> Result<()> {
        self.emit(&TrainerEvent::Log { level: level.to_string(), message: message.into() })
    }
}

/// An event in words; `None` for those that say nothing to people.
fn describe(event: &TrainerEvent) -> Option<String> {
    Some(match event {
        TrainerEvent::Started(started) => format!(
            "training {} of {} parameters on {}, {} steps{}",
            started.trainable_parameters,
            started.parameters,
            started.device,
            started.total_steps,
            match started.resumed_from_step {
                0 => String::new(),
                step => format!(", going on from step {step}"),
            }
        ),
        TrainerEvent::Step(step) => format!(
            "step {}/{}{}  lr {:.2e}  {:.0} tok/s  {:.0} s left",
            step.step,
            step.total_steps,
            step.train_loss.map(|loss| format!("  loss {loss:.4}")).unwrap_or_default(),
            step.learning_rate,
            step.tokens_per_second,
            step.eta_seconds
        ),
        TrainerEvent::Evaluation(report) => format!(
            "validation after step {}: loss {:.4}, token accuracy {:.4}",
            report.step, report.valid_loss, report.valid_mean_token_accuracy
        ),
        TrainerEvent::StageBegan(progress) => format!(
            "stage {}/{} '{}': {} steps",
            progress.stage, progress.stages, progress.name, progress.steps
        ),
        TrainerEvent::StageEnded { name, kept, reason, .. } => format!(
            "stage '{name}' {}{}",
            if *kept { "kept" } else { "rejected" },
            reason.as_ref().map(|reason| format!(" ({reason})")).unwrap_or_default()
        ),
        TrainerEvent::Checkpoint(written) => format!("checkpoint {}", written.directory.display()),
        TrainerEvent::Working { .. } | TrainerEvent::Reserve { .. } => return None,
        TrainerEvent::MicroBatchReduced { step, from, to, reason } => format!(
            "warn: memory ran out in step {step} with micro-batches of {from}; going on with {to} ({reason})"
        ),
        TrainerEvent::Log { level, message } => format!("{level}: {message}"),
        TrainerEvent::Finished(finished) => format!("adapter in {}", finished.directory.display()),
        TrainerEvent::Stopped { step } => format!("stopped after step {step}; run again to go on"),
        TrainerEvent::Cancelled { step } => format!("cancelled after step {step}"),
        TrainerEvent::Failed { code, message, .. } => format!("failed ({code}): {message}"),
    })
}

//! The leave to take steps: what they cost is charged and durable before anything of the data is touched for them.

use std::time::Duration;

use trainyard_openapi::extension::PrivacySpent;
use trainyard_plan::trainer::TrainerEvent;

use crate::error::Result;
use crate::privacy::local::LocalLedger;
use crate::run::events::Events;
use crate::train::control::Control;

/// How often a run that waits for leave looks whether something else is wanted.
const LOOK: Duration = Duration::from_millis(100);

/// What was charged.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Grant {
    /// The last step that may run, from 1: less than was asked for where the budget holds no more.
    pub until: u64,
    /// What the job has spent with these steps.
    pub spent: PrivacySpent,
}

/// Who keeps the ledger.
#[derive(Debug)]
pub enum Reservations {
    /// The agent that started this trainer: asked by an event, and it answers by a command.
    Agent,
    /// This process, in the output directory.
    Local(Box<LocalLedger>),
}

impl Reservations {
    /// Asks for the steps up to `until` of a run that began after step `from`. `None` where something else was wanted of the run meanwhile.
    ///
    /// # Errors
    /// Where the ledger cannot be written.
    pub fn reserve(
        &mut self,
        from: u64,
        until: u64,
        control: &Control,
        events: &Events,
    ) -> Result<Option<Grant>> {
        match self {
            Self::Local(ledger) => ledger.reserve(from, until).map(Some),
            Self::Agent => {
                events.emit(&TrainerEvent::Reserve { from, until })?;
                loop {
                    if let Some((until, spent)) = control.take_reserved(LOOK) {
                        return Ok(Some(Grant { until, spent }));
                    }
                    if control.is_interrupted() {
                        return Ok(None);
                    }
                }
            }
        }
    }

    /// Notes that the run ended in order after step `step`; gives what the job has then spent. An agent hears of it in its own way.
    ///
    /// # Errors
    /// Where the ledger cannot be written.
    pub fn settle(&mut self, from: u64, step: u64) -> Result<Option<PrivacySpent>> {
        match self {
            Self::Local(ledger) => ledger.settle(step - from).map(Some),
            Self::Agent => Ok(None),
        }
    }
}

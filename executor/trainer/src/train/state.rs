//! Everything that a resume needs beside the adapter and the optimizer's moments. A checkpoint is this, serialised.
//!
//! Orders of rows and dropout masks are functions of seed and step, so no random state is here.

use serde::{Deserialize, Serialize};
use trainyard_openapi::extension::PrivacySpent;
use trainyard_privacy::clip::ClipState;

use crate::continual::StreamState;
use crate::train::history::Row;

/// The layout of the state; another one is refused.
pub const FORMAT: u32 = 1;

/// The state of a run between two steps.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RunState {
    /// [`FORMAT`].
    pub format: u32,
    /// What this state may be resumed with.
    pub binding: Binding,
    /// The device and threads that computed it: with others the last bits differ.
    pub machine: String,
    /// Steps done; also the optimizer's count of updates.
    pub step: u64,
    /// Tokens so far, padding not counted.
    pub tokens: u64,
    /// Tokens with a target so far.
    pub target_tokens: u64,
    /// Seconds of training so far, all attempts together.
    pub training_seconds: f64,
    /// Validation loss before the first step; `None` until it is measured.
    pub initial_valid_loss: Option<f64>,
    /// The last look at the validation data.
    pub last_evaluation: Option<Measured>,
    /// What early stopping remembers.
    pub best: Best,
    /// Whether early stopping has ended the run.
    pub stopped_early: bool,
    /// Rows of a micro-batch, once memory ran out with the planned number; it stays so for the rest of the run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub micro_batch_size: Option<u32>,
    /// What a private run has to remember; of any other there is nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub privacy: Option<PrivateState>,
    /// Where a run with stages is; of any other there is nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub continual: Option<StreamState>,
    /// The figures of every step.
    pub history: Vec<Row>,
}

/// What a private run has to remember. All of it comes from what was noised, or tells nothing of the data.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PrivateState {
    /// The limit on a unit's gradient in the next step.
    pub clip: ClipState,
    /// Sum over the steps of signal over noise, in squared norms.
    pub signal_to_noise: f64,
    /// What was spent when steps were last charged.
    pub spent: Option<PrivacySpent>,
    /// The budget holds no further step.
    pub exhausted: bool,
}

/// Hashes of what the state belongs to, all SHA-256 in hexadecimal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Binding {
    /// The plan.
    pub plan: String,
    /// The training file.
    pub training_data: String,
    /// The validation file.
    pub validation_data: Option<String>,
    /// The base model.
    pub model: String,
}

/// Validation figures.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Measured {
    /// After this step.
    pub step: u64,
    /// Loss of a target token.
    pub loss: f64,
    /// Share of correct target tokens.
    pub accuracy: f64,
}

/// The best validation loss and how long ago it was.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct Best {
    /// The loss; `None` before the first evaluation.
    pub loss: Option<f64>,
    /// Evaluations since.
    pub evaluations_since: u32,
}

impl Best {
    /// Takes an evaluation; whether `patience` is used up.
    pub fn take(&mut self, loss: f64, patience: u32, min_delta: f64) -> bool {
        if self.loss.is_none_or(|best| loss < best - min_delta) {
            *self = Self { loss: Some(loss), evaluations_since: 0 };
        } else {
            self.evaluations_since += 1;
        }
        self.evaluations_since >= patience
    }
}

impl RunState {
    /// The mean over a private run's steps of signal over noise, in squared norms; `None` of any other run, and before the first step.
    pub fn signal_to_noise(&self) -> Option<f64> {
        let private = self.privacy.filter(|_| self.step > 0)?;
        Some(private.signal_to_noise / self.step as f64)
    }

    /// The state before the first step.
    pub fn new(binding: Binding, machine: String) -> Self {
        Self {
            format: FORMAT,
            binding,
            machine,
            step: 0,
            tokens: 0,
            target_tokens: 0,
            training_seconds: 0.0,
            initial_valid_loss: None,
            last_evaluation: None,
            best: Best::default(),
            stopped_early: false,
            micro_batch_size: None,
            privacy: None,
            continual: None,
            history: Vec::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patience_counts_evaluations_without_improvement() {
        let mut best = Best::default();
        let ends: Vec<bool> = [3.0, 2.0, 1.95, 2.1, 1.0, 1.0, 1.0]
            .iter()
            .map(|&loss| best.take(loss, 2, 0.1))
            .collect();
        assert_eq!(ends, [false, false, false, true, false, false, true]);
    }

    /// Figures that lost their last bit on the way through JSON would make the result file of a resumed run another one.
    #[test]
    fn figures_come_back_from_json_bit_for_bit() {
        let mut rng = crate::rng::Rng::new(3, 0);
        let binding = Binding {
            plan: "p".into(),
            training_data: "t".into(),
            validation_data: None,
            model: "m".into(),
        };
        let mut state = RunState::new(binding, "cpu, 1 threads".into());
        for step in 0..2_000 {
            let bits = rng.next_u64() & !(0x7ff << 52) | (0x380 + rng.below(0x80)) << 52;
            let figure = f64::from_bits(bits);
            state.history.push(Row { step, train_loss: Some(figure), ..Row::default() });
        }
        let json = serde_json::to_vec(&state).unwrap();
        assert_eq!(serde_json::from_slice::<RunState>(&json).unwrap(), state);
    }
}

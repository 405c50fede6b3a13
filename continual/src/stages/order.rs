//! The order in which stages are trained.

use serde::{Deserialize, Serialize};

use crate::error::{ContinualError, measured, within};
use crate::random::SplitMix64;

/// A curriculum. Bengio et al., "Curriculum Learning", 2009, begin with what is easy; what order is best for a stream is an open question,
/// and the order as given is that of the user's data in time.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case", deny_unknown_fields)]
pub enum Order {
    /// As the stages were named.
    AsGiven,
    /// By rising difficulty; equal ones as given.
    EasiestFirst {
        /// One number per stage, such as the untrained model's loss on it in nats: the higher, the harder.
        difficulty: Vec<f64>,
    },
    /// By falling difficulty; equal ones as given.
    HardestFirst {
        /// As for `EasiestFirst`.
        difficulty: Vec<f64>,
    },
    /// At random, every order as likely.
    Shuffled {
        /// The seed that decides it.
        seed: u64,
    },
}

impl Order {
    /// The places (from 0) of `stages` stages as given, in the order of training.
    ///
    /// # Errors
    /// Another number of difficulties than stages, or one outside -1e12 to 1e12 or NaN.
    pub fn arrange(&self, stages: usize) -> Result<Vec<usize>, ContinualError> {
        match self {
            Self::AsGiven => Ok((0..stages).collect()),
            Self::EasiestFirst { difficulty } => by_difficulty(stages, difficulty, 1.0),
            Self::HardestFirst { difficulty } => by_difficulty(stages, difficulty, -1.0),
            Self::Shuffled { seed } => Ok(SplitMix64::new(*seed).permutation(stages)),
        }
    }
}

/// The places by rising `sign` times difficulty. The sort is stable.
fn by_difficulty(
    stages: usize,
    difficulty: &[f64],
    sign: f64,
) -> Result<Vec<usize>, ContinualError> {
    let limit = format_args!("{stages} values, one per stage");
    within("difficulty", limit, difficulty.len(), difficulty.len() == stages)?;
    for (stage, value) in difficulty.iter().enumerate() {
        measured(format_args!("difficulty[{stage}]"), *value)?;
    }
    let mut order: Vec<usize> = (0..stages).collect();
    // Adding 0 makes of -0 a 0, which it equals.
    let key = |stage: usize| sign * difficulty[stage] + 0.0;
    order.sort_by(|a, b| key(*a).total_cmp(&key(*b)));
    Ok(order)
}

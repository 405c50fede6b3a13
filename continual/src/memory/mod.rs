//! Replay memory: which examples of past stages are trained on again.
//!
//! It holds references and no data. Each example of a stage is offered once, when the stage has been kept; what is drawn while a stage is
//! trained is then always of stages before it. All chance comes from the seed and stands in the stored state: the same calls after a
//! resume give the same memory and the same draws.

mod example;
mod mixture;
mod policy;
mod reservoir;
mod stored;

use serde::{Deserialize, Serialize};

pub use example::{Example, Source};
pub use mixture::Mixture;
pub use policy::Policy;
use reservoir::Reservoir;
use stored::Fields;

use crate::error::{ContinualError, within};
use crate::name::MAX_STAGES;
use crate::random::SplitMix64;

/// The examples that are remembered, and the chance by which they were and will be chosen.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Fields")]
pub struct Memory {
    policy: Policy,
    capacity: u32,
    chance: SplitMix64,
    /// The last stage of which examples were offered.
    last_stage: Option<u32>,
    /// One sample, or one per stage in their order.
    samples: Vec<Sample>,
}

/// A sample, and the stage that it is of; none where it is of all.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Sample {
    stage: Option<u32>,
    reservoir: Reservoir,
}

/// What went with an erased file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Forgotten {
    /// Its examples that were in the memory.
    pub removed: u64,
    /// Its examples that had been offered, those in the memory included.
    pub offered: u64,
}

impl Memory {
    /// The most examples: a checkpoint carries a reference of some 120 bytes for each.
    pub const MAX_CAPACITY: u32 = 1_000_000;

    /// An empty memory for at most `capacity` examples.
    ///
    /// # Errors
    /// A capacity of 0 or above 1,000,000.
    pub fn new(policy: Policy, capacity: u32, seed: u64) -> Result<Self, ContinualError> {
        let allowed = (1..=Self::MAX_CAPACITY).contains(&capacity);
        within("capacity", "between 1 and 1000000", capacity, allowed)?;
        let chance = SplitMix64::new(seed);
        Ok(Self { policy, capacity, chance, last_stage: None, samples: vec![] })
    }

    /// Offers an example of a stage that was kept; whether it is now in the memory, where it may have taken another's place. No example
    /// may be offered twice: it would be twice as likely to be remembered.
    ///
    /// # Errors
    /// A stage before the last one offered, the 257th stage or a later one, or under [`Policy::BalancedPerStage`] more stages than the
    /// capacity has places.
    pub fn offer(&mut self, example: Example) -> Result<bool, ContinualError> {
        let stage = example.stage;
        within("stage", "below 256", stage, (stage as usize) < MAX_STAGES)?;
        let last = self.last_stage.unwrap_or(0);
        within(
            "stage",
            format_args!("at least {last}, the last one offered"),
            stage,
            stage >= last,
        )?;
        let of = self.policy.sample_of(stage);
        if self.samples.last().is_none_or(|sample| sample.stage != of) {
            self.begin_sample(of)?;
        }
        self.last_stage = Some(stage);
        let newest = self.samples.len() - 1;
        let share = u64::from(self.policy.share(self.capacity, self.samples.len(), newest));
        Ok(self.samples[newest].reservoir.offer(example, share, &mut self.chance))
    }

    /// Adds a sample, for which the others make room.
    fn begin_sample(&mut self, stage: Option<u32>) -> Result<(), ContinualError> {
        let count = self.samples.len() + 1;
        let limit = format_args!("at least {count}, one per stage");
        within("capacity", limit, self.capacity, self.capacity as usize >= count)?;
        for (place, sample) in self.samples.iter_mut().enumerate() {
            let share = u64::from(self.policy.share(self.capacity, count, place));
            sample.reservoir.shrink(share, &mut self.chance);
        }
        self.samples.push(Sample { stage, reservoir: Reservoir::default() });
        Ok(())
    }

    /// Draws `count` examples, each set of them as likely. While `count` is at most the memory's size none comes twice; above it each
    /// comes as often as it fits in whole, and the rest are different ones again.
    ///
    /// # Errors
    /// A `count` above 0 from an empty memory.
    pub fn draw(&mut self, count: u32) -> Result<Vec<Example>, ContinualError> {
        if count == 0 {
            return Ok(vec![]);
        }
        if self.is_empty() {
            return Err(ContinualError::EmptyMemory { asked: count });
        }
        let size = self.len() as u64;
        let (whole, rest) = (u64::from(count) / size, u64::from(count) % size);
        let mut drawn = Vec::with_capacity(count as usize);
        for _ in 0..whole {
            drawn.extend(self.examples().copied());
        }
        let chosen = self.chance.subset(size, rest);
        drawn.extend(chosen.into_iter().filter_map(|place| self.at(place as usize)));
        Ok(drawn)
    }

    /// The example at this place among all of them.
    fn at(&self, mut place: usize) -> Option<Example> {
        for sample in &self.samples {
            let examples = sample.reservoir.examples();
            if let Some(example) = examples.get(place) {
                return Some(*example);
            }
            place -= examples.len();
        }
        None
    }

    /// Erases a file: none of its examples is in the memory afterwards or can be drawn. Examples offered later fill their places, under
    /// [`Policy::BalancedPerStage`] those of the same stage.
    pub fn forget(&mut self, source: Source) -> Forgotten {
        let mut forgotten = Forgotten { removed: 0, offered: 0 };
        for sample in &mut self.samples {
            let (removed, offered) = sample.reservoir.forget(source);
            forgotten.removed += removed;
            forgotten.offered += offered;
        }
        forgotten
    }

    /// Every remembered example.
    pub fn examples(&self) -> impl Iterator<Item = &Example> {
        self.samples.iter().flat_map(|sample| sample.reservoir.examples())
    }

    /// How many examples are remembered.
    #[must_use]
    pub fn len(&self) -> usize {
        self.samples.iter().map(|sample| sample.reservoir.examples().len()).sum()
    }

    /// Whether none is.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many examples were offered and not erased.
    #[must_use]
    pub fn offered(&self) -> u64 {
        self.samples.iter().map(|sample| sample.reservoir.offered()).sum()
    }
}

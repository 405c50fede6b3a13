//! A uniform sample of a stream whose items may also be erased.
//!
//! Algorithm R (Vitter, "Random Sampling with a Reservoir", 1985): the first items fill the sample; item n after them takes the place of a
//! random one with probability capacity / n. An erased item leaves a gap, in the sample or outside, as if it were still there but
//! unseen; the next new item takes one of the gaps at random. That is random pairing (Gemulla, Lehner, Haas, "A Dip in the Reservoir",
//! 2006): at any time the sample is as uniform over what was offered and not erased as if the erased had never come, though it may be
//! smaller than its capacity until the gaps are filled.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::example::{Example, Source};
use crate::error::ContinualError;
use crate::random::SplitMix64;

/// A sample of examples. Its capacity is kept by its owner, who may lower it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Reservoir {
    examples: Vec<Example>,
    /// How many examples of each file were offered; an erased file is absent.
    offered: BTreeMap<Source, u64>,
    /// Erased examples that were in the sample and whose places no new one has taken.
    gaps_inside: u64,
    /// Erased examples that were not in the sample and that no new one has replaced.
    gaps_outside: u64,
}

impl Reservoir {
    /// Every example, in no order that means anything.
    pub(super) fn examples(&self) -> &[Example] {
        &self.examples
    }

    /// How many examples were offered and not erased.
    pub(super) fn offered(&self) -> u64 {
        self.offered.values().sum()
    }

    /// Offers a new example; whether it was taken.
    pub(super) fn offer(
        &mut self,
        example: Example,
        capacity: u64,
        chance: &mut SplitMix64,
    ) -> bool {
        *self.offered.entry(example.source).or_default() += 1;
        let gaps = self.gaps_inside + self.gaps_outside;
        if gaps > 0 {
            let inside = chance.below(gaps) < self.gaps_inside;
            if inside {
                self.gaps_inside -= 1;
                self.examples.push(example);
            } else {
                self.gaps_outside -= 1;
            }
            return inside;
        }
        if (self.examples.len() as u64) < capacity {
            self.examples.push(example);
            return true;
        }
        let place = chance.below(self.offered());
        let taken = place < capacity;
        if taken {
            self.examples[place as usize] = example;
        }
        taken
    }

    /// Lowers the sample to `capacity`, gaps included: what stays is as likely to be any part of the sample as any other.
    pub(super) fn shrink(&mut self, capacity: u64, chance: &mut SplitMix64) {
        loop {
            let places = self.examples.len() as u64 + self.gaps_inside;
            if places <= capacity {
                return;
            }
            let place = chance.below(places);
            if place < self.examples.len() as u64 {
                self.examples.swap_remove(place as usize);
            } else {
                self.gaps_inside -= 1;
                self.gaps_outside += 1;
            }
        }
    }

    /// Erases a file; how many of its examples were in the sample, and how many had been offered.
    pub(super) fn forget(&mut self, source: Source) -> (u64, u64) {
        let before = self.examples.len();
        self.examples.retain(|example| example.source != source);
        let removed = (before - self.examples.len()) as u64;
        let offered = self.offered.remove(&source).unwrap_or(0);
        self.gaps_inside += removed;
        self.gaps_outside += offered - removed;
        (removed, offered)
    }

    /// Refuses a stored sample that no sequence of calls makes.
    pub(super) fn check(&self, capacity: u64) -> Result<(), ContinualError> {
        let Self { examples, offered, gaps_inside, gaps_outside } = self;
        let corrupt = |why| Err(ContinualError::Corrupt { what: "memory", why });
        let Some(places) = (examples.len() as u64).checked_add(*gaps_inside) else {
            return corrupt("the gaps overflow");
        };
        let mut total = gaps_inside.checked_add(*gaps_outside);
        for count in offered.values() {
            total = total.and_then(|total| total.checked_add(*count));
        }
        let Some(total) = total else { return corrupt("the counts overflow") };
        if places != capacity.min(total) {
            return corrupt(
                "a sample has not the size that its capacity and what was offered give",
            );
        }
        let mut held: BTreeMap<Source, u64> = BTreeMap::new();
        for example in examples {
            *held.entry(example.source).or_default() += 1;
        }
        if held.iter().any(|(source, count)| offered.get(source).is_none_or(|n| n < count)) {
            return corrupt("a file has more examples in the memory than were offered");
        }
        let mut sorted = examples.clone();
        sorted.sort_unstable();
        if sorted.windows(2).any(|pair| pair[0] == pair[1]) {
            return corrupt("an example is there twice");
        }
        Ok(())
    }
}

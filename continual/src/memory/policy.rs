//! How the capacity is shared among the stages.

use serde::{Deserialize, Serialize};

/// Which examples are remembered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Policy {
    /// Each example ever offered is as likely: long stages have more of the memory than short ones.
    Reservoir,
    /// Each stage has the same number of places; where the capacity does not divide, the earliest have one more. A stage with fewer
    /// examples than places leaves them empty, as they could not be given back when it grows. Within a stage each example is as likely.
    BalancedPerStage,
}

impl Policy {
    /// The stage of the sample that takes the examples of `stage`; none for a sample of all stages.
    pub(super) fn sample_of(self, stage: u32) -> Option<u32> {
        match self {
            Self::Reservoir => None,
            Self::BalancedPerStage => Some(stage),
        }
    }

    /// The places of the sample at `place` among `samples`, of `capacity` in all.
    pub(super) fn share(self, capacity: u32, samples: usize, place: usize) -> u32 {
        // At most 256 samples.
        let (samples, place) = (samples as u32, place as u32);
        capacity / samples + u32::from(place < capacity % samples)
    }
}

//! Reading a memory back from a checkpoint.

use serde::Deserialize;

use super::{Memory, Policy, Sample};
use crate::error::ContinualError;
use crate::name::MAX_STAGES;
use crate::random::SplitMix64;

/// The stored form, not yet checked.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Fields {
    policy: Policy,
    capacity: u32,
    chance: SplitMix64,
    last_stage: Option<u32>,
    samples: Vec<Sample>,
}

impl TryFrom<Fields> for Memory {
    type Error = ContinualError;

    fn try_from(fields: Fields) -> Result<Self, ContinualError> {
        let Fields { policy, capacity, chance, last_stage, samples } = fields;
        let empty = Self::new(policy, capacity, 0)?;
        let corrupt = |why| Err(ContinualError::Corrupt { what: "memory", why });
        if samples.is_empty() != last_stage.is_none() {
            return corrupt("samples and last_stage contradict each other");
        }
        if samples.len() > MAX_STAGES.min(capacity as usize) {
            return corrupt("there are more samples than stages or places");
        }
        if last_stage.is_some_and(|stage| stage as usize >= MAX_STAGES) {
            return corrupt("last_stage is above the most stages");
        }
        match policy {
            Policy::Reservoir => {
                if samples.len() > 1 || samples.iter().any(|sample| sample.stage.is_some()) {
                    return corrupt("a reservoir has one sample, of all stages");
                }
            }
            Policy::BalancedPerStage => {
                let stages: Vec<Option<u32>> = samples.iter().map(|sample| sample.stage).collect();
                let rising = stages.windows(2).all(|pair| pair[0] < pair[1]);
                if !rising
                    || stages.contains(&None)
                    || stages.last().copied().flatten() != last_stage
                {
                    return corrupt("samples are not one per stage in their order");
                }
            }
        }
        for (place, Sample { stage, reservoir }) in samples.iter().enumerate() {
            reservoir.check(u64::from(policy.share(capacity, samples.len(), place)))?;
            let fits = |of: u32| match stage {
                Some(stage) => of == *stage,
                None => Some(of) <= last_stage,
            };
            if !reservoir.examples().iter().all(|example| fits(example.stage)) {
                return corrupt("an example is of another stage than its sample");
            }
        }
        Ok(Self { chance, last_stage, samples, ..empty })
    }
}

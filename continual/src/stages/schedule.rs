//! Which stage a step belongs to.

use serde::{Deserialize, Serialize};

use crate::error::{ContinualError, within};
use crate::memory::Mixture;
use crate::name::{StageName, check_names};

/// One stage of a stream.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Stage {
    /// Its name.
    pub name: StageName,
    /// Its optimizer steps.
    pub steps: u64,
}

impl Stage {
    /// The most steps of a stage.
    pub const MAX_STEPS: u64 = 1_000_000_000;

    /// The fewest steps of `batch` examples in which `new_examples` fit beside the replayed ones: those of a stage for one pass over its
    /// data. Without replay `mixture` is none, and so it is in the first stage, which has nothing to replay. The mixture is taken from
    /// its beginning; one that is under way differs by a step at most.
    ///
    /// # Errors
    /// No example, a batch of 0, or more steps than [`Stage::MAX_STEPS`].
    pub fn steps_for(
        new_examples: u64,
        batch: u32,
        mixture: Option<&Mixture>,
    ) -> Result<u64, ContinualError> {
        within("new_examples", "at least 1", new_examples, new_examples > 0)?;
        within("batch", "at least 1", batch, batch > 0)?;
        let new_in = |steps: u64| {
            let all = steps * u64::from(batch);
            all - mixture.map_or(0, |mixture| mixture.of_first(all))
        };
        let limit = format_args!("few enough for {} steps", Self::MAX_STEPS);
        let fits = new_in(Self::MAX_STEPS) >= new_examples;
        within("new_examples", limit, new_examples, fits)?;
        // The number of new examples never falls from step to step.
        let (mut too_few, mut enough) = (0, Self::MAX_STEPS);
        while enough - too_few > 1 {
            let middle = too_few.midpoint(enough);
            if new_in(middle) >= new_examples {
                enough = middle;
            } else {
                too_few = middle;
            }
        }
        Ok(enough)
    }
}

/// Where a step is. Steps are counted from 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Position {
    /// The stage, from 0.
    pub stage: usize,
    /// The step within the stage, from 0.
    pub step: u64,
    /// How many steps the stage has.
    pub steps: u64,
}

impl Position {
    /// Whether the stage begins with this step.
    #[must_use]
    pub fn is_first(&self) -> bool {
        self.step == 0
    }

    /// Whether the stage ends with this step: after it all stages are evaluated.
    #[must_use]
    pub fn is_last(&self) -> bool {
        self.step + 1 == self.steps
    }
}

/// The stages in the order in which they are trained.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Vec<Stage>", into = "Vec<Stage>")]
pub struct Schedule(Vec<Stage>);

impl TryFrom<Vec<Stage>> for Schedule {
    type Error = ContinualError;

    /// # Errors
    /// No stage or more than 256, a name twice, a stage without steps or with more than [`Stage::MAX_STEPS`].
    fn try_from(stages: Vec<Stage>) -> Result<Self, ContinualError> {
        check_names(stages.iter().map(|stage| &stage.name))?;
        for Stage { name, steps } in &stages {
            let field = format_args!("steps of stage '{name}'");
            let limit = format_args!("between 1 and {}", Stage::MAX_STEPS);
            within(field, limit, steps, (1..=Stage::MAX_STEPS).contains(steps))?;
        }
        Ok(Self(stages))
    }
}

impl From<Schedule> for Vec<Stage> {
    fn from(schedule: Schedule) -> Self {
        schedule.0
    }
}

impl Schedule {
    /// The stages.
    #[must_use]
    pub fn stages(&self) -> &[Stage] {
        &self.0
    }

    /// The steps of all stages.
    #[must_use]
    pub fn total_steps(&self) -> u64 {
        self.0.iter().map(|stage| stage.steps).sum()
    }

    /// Where `step` is, after as many steps were taken; `None` when the stream is over.
    ///
    /// # Errors
    /// A step above the total.
    pub fn at(&self, step: u64) -> Result<Option<Position>, ContinualError> {
        self.check(step)?;
        let mut within_stage = step;
        for (stage, Stage { steps, .. }) in self.0.iter().enumerate() {
            if within_stage < *steps {
                return Ok(Some(Position { stage, step: within_stage, steps: *steps }));
            }
            within_stage -= steps;
        }
        Ok(None)
    }

    /// The first step of `stage` (from 0); `None` where there is no such stage.
    #[must_use]
    pub fn first_step(&self, stage: usize) -> Option<u64> {
        let before = self.0.get(..stage).filter(|before| before.len() < self.0.len())?;
        Some(before.iter().map(|stage| stage.steps).sum())
    }

    /// The share of all steps that is done after `step` steps, 0 to 1.
    ///
    /// # Errors
    /// A step above the total.
    pub fn progress(&self, step: u64) -> Result<f64, ContinualError> {
        self.check(step)?;
        Ok(step as f64 / self.total_steps() as f64)
    }

    fn check(&self, step: u64) -> Result<(), ContinualError> {
        let total = self.total_steps();
        within(
            "step",
            format_args!("at most {total}, the steps of all stages"),
            step,
            step <= total,
        )
    }
}

//! Examples of earlier stages that are trained on again. What is kept is where they stand; their tokens are made again from the files, and
//! a file that is gone is not replayed.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use trainyard_continual::memory::{Example as Place, Memory, Policy, Source};
use trainyard_openapi::extension::MemoryPolicy;

use crate::continual::{StageAt, json, refused};
use crate::data::Dataset;
use crate::data::encode::Example;
use crate::error::{Result, TrainerError};

/// A memory with the files that its examples stand in.
#[derive(Debug)]
pub struct Rehearsal {
    memory: Memory,
    files: BTreeMap<Source, Rc<Dataset>>,
    drawn: Option<Drawn>,
}

/// What was drawn for a step: a step that is computed again has the same.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Drawn {
    step: u64,
    places: Vec<Place>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Stored {
    memory: Memory,
    drawn: Option<Drawn>,
}

impl Rehearsal {
    /// An empty memory.
    ///
    /// # Errors
    /// A capacity outside its limits.
    pub fn new(policy: MemoryPolicy, capacity: u32, seed: u64) -> Result<Self> {
        let policy = match policy {
            MemoryPolicy::Reservoir => Policy::Reservoir,
            MemoryPolicy::BalancedPerStage => Policy::BalancedPerStage,
        };
        let memory = Memory::new(policy, capacity, seed).map_err(refused)?;
        Ok(Self { memory, files: BTreeMap::new(), drawn: None })
    }

    /// Draws `count` lines for the step after `step`; the same ones when it is asked again.
    ///
    /// # Errors
    /// None but of a count too large for any batch.
    pub fn draw(&mut self, step: u64, count: usize) -> Result<()> {
        if self.drawn.as_ref().is_some_and(|drawn| drawn.step == step) {
            return Ok(());
        }
        let places = match self.memory.is_empty() {
            true => Vec::new(),
            false => self.memory.draw(count as u32).map_err(refused)?,
        };
        self.drawn = Some(Drawn { step, places });
        Ok(())
    }

    /// Where the drawn lines stand.
    pub fn drawn(&self) -> &[Place] {
        self.drawn.as_ref().map_or(&[], |drawn| &drawn.places)
    }

    /// The examples that the drawn lines became.
    pub fn rows(&self) -> Vec<&Example> {
        self.drawn().iter().flat_map(|place| self.examples(place)).collect()
    }

    /// The examples of one line.
    pub fn examples(&self, place: &Place) -> &[Example] {
        self.files.get(&place.source).map_or(&[], |file| file.line(place.row as usize))
    }

    /// Offers every line of a stage that is over.
    ///
    /// # Errors
    /// More stages than the capacity has places.
    pub fn take_up(&mut self, stage: &StageAt) -> Result<()> {
        let source = Source::try_from(stage.training.sha256.clone()).map_err(refused)?;
        self.files.insert(source, Rc::clone(&stage.training));
        for row in 0..stage.training.lines() {
            // A line that was left out for its length has nothing to be replayed.
            if !stage.training.line(row).is_empty() {
                let place = Place { stage: stage.number, source, row: row as u64 };
                self.memory.offer(place).map_err(refused)?;
            }
        }
        Ok(())
    }

    /// Everything that is remembered.
    pub fn places(&self) -> impl Iterator<Item = &Place> {
        self.memory.examples()
    }

    /// Whether nothing is.
    pub fn is_empty(&self) -> bool {
        self.memory.is_empty()
    }

    /// The files that examples stand in, by SHA-256.
    pub fn sources(&self) -> BTreeSet<String> {
        self.memory.examples().map(|place| place.source.to_string()).collect()
    }

    /// Takes the files from `library` and forgets what stands in none of them: how many examples of which file.
    ///
    /// # Errors
    /// None; the hashes come from the memory.
    pub fn open(&mut self, library: &BTreeMap<String, Rc<Dataset>>) -> Result<Vec<(String, u64)>> {
        let mut gone = Vec::new();
        for sha256 in self.sources() {
            let source = Source::try_from(sha256.clone()).map_err(refused)?;
            match library.get(&sha256) {
                Some(file) => {
                    self.files.insert(source, Rc::clone(file));
                }
                None => {
                    gone.push((sha256, self.memory.forget(source).removed));
                    if let Some(drawn) = &mut self.drawn {
                        drawn.places.retain(|place| place.source != source);
                    }
                }
            }
        }
        Ok(gone)
    }

    /// What a resume needs.
    ///
    /// # Errors
    /// Where it cannot be written as JSON.
    pub fn state(&self) -> Result<Value> {
        let stored = Stored { memory: self.memory.clone(), drawn: self.drawn.clone() };
        serde_json::to_value(stored).map_err(json)
    }

    /// Goes on from what [`Rehearsal::state`] gave; the files come with [`Rehearsal::open`].
    ///
    /// # Errors
    /// A checkpoint error for what no memory says of itself.
    pub fn load(&mut self, state: &Value) -> Result<()> {
        let stored: Stored = serde_json::from_value(state.clone())
            .map_err(|error| TrainerError::Checkpoint(format!("the memory: {error}")))?;
        (self.memory, self.drawn) = (stored.memory, stored.drawn);
        Ok(())
    }
}

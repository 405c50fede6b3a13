//! Which rows each optimizer step takes: a pure function of seed and step, so that a resume needs neither state nor replay.

use std::ops::Range;

use trainyard_continual::ContinualError;
use trainyard_continual::memory::Mixture;
use trainyard_continual::stages::Stage;

use crate::rng::Rng;

/// The stream of the run's random numbers that orders epochs.
const STREAM: u64 = 0x5341_4d50;

/// The order of rows over all epochs. Every row comes once an epoch; the last batch of an epoch may be short. Where a batch also has
/// replayed rows, new ones fill the rest of it, over the ends of epochs too, so that only the last batch of all may be short.
#[derive(Debug, Clone, PartialEq)]
pub struct Sampler {
    rows: usize,
    batch_size: usize,
    epochs: usize,
    seed: u64,
    /// The share of the batches that is replayed, and the steps that this makes.
    replay: Option<(Mixture, u64)>,
}

impl Sampler {
    /// An order of `rows` rows in batches of `batch_size`.
    pub fn new(rows: usize, batch_size: usize, epochs: usize, seed: u64) -> Self {
        Self { rows, batch_size: batch_size.max(1), epochs, seed, replay: None }
    }

    /// The same rows in batches of which a share of `ratio` is replayed.
    ///
    /// # Errors
    /// A ratio that leaves too little for new rows.
    pub fn with_replay(mut self, ratio: f64) -> Result<Self, ContinualError> {
        let mixture = Mixture::new(ratio)?;
        let new = (self.rows * self.epochs) as u64;
        let steps = Stage::steps_for(new, self.batch_size as u32, Some(&mixture))?;
        self.replay = Some((mixture, steps));
        Ok(self)
    }

    /// Rows of step `step`, from 0, that are replayed.
    pub fn replayed(&self, step: u64) -> usize {
        let Some((mixture, _)) = &self.replay else { return 0 };
        let batch = self.batch_size as u64;
        (mixture.of_first((step + 1) * batch) - mixture.of_first(step * batch)) as usize
    }

    /// The new rows of the steps before `step`.
    fn new_before(&self, step: u64) -> u64 {
        let all = (self.rows * self.epochs) as u64;
        match &self.replay {
            Some((mixture, _)) => {
                let rows = step * self.batch_size as u64;
                (rows - mixture.of_first(rows)).min(all)
            }
            None => {
                let (epoch, step) = (step / self.steps_per_epoch(), step % self.steps_per_epoch());
                (epoch * self.rows as u64 + step * self.batch_size as u64).min(all)
            }
        }
    }

    /// The new rows of step `step` as places in the epochs laid end to end.
    pub fn places(&self, step: u64) -> Range<u64> {
        self.new_before(step)..self.new_before(step + 1)
    }

    /// Steps in an epoch; of one with replayed rows, as nearly as whole steps allow.
    pub fn steps_per_epoch(&self) -> u64 {
        if let Some((_, steps)) = self.replay {
            return steps.div_ceil(self.epochs.max(1) as u64).max(1);
        }
        self.rows.div_ceil(self.batch_size) as u64
    }

    /// Steps in all.
    pub fn total_steps(&self) -> u64 {
        match self.replay {
            Some((_, steps)) => steps,
            None => self.steps_per_epoch() * self.epochs as u64,
        }
    }

    /// Epochs begun after `steps` steps, as a fraction.
    pub fn epoch_after(&self, steps: u64) -> f64 {
        match self.replay {
            Some(_) => self.new_before(steps) as f64 / self.rows as f64,
            None => steps as f64 / self.steps_per_epoch() as f64,
        }
    }

    /// The rows of an epoch in order.
    pub fn epoch(&self, epoch: u64) -> Vec<usize> {
        let mut order: Vec<usize> = (0..self.rows).collect();
        Rng::new(self.seed, STREAM).fork(epoch).shuffle(&mut order);
        order
    }

    /// Rows of the data.
    pub fn rows(&self) -> usize {
        self.rows
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_once_an_epoch_in_a_new_order() {
        let sampler = Sampler::new(10, 4, 3, 7);
        assert_eq!((sampler.steps_per_epoch(), sampler.total_steps()), (3, 9));
        let (first, second) = (sampler.epoch(0), sampler.epoch(1));
        assert_ne!(first, second);
        assert_eq!(first, sampler.epoch(0));
        assert_ne!(first, Sampler::new(10, 4, 3, 8).epoch(0));
        let places: Vec<_> = (0..9).map(|step| sampler.places(step)).collect();
        assert_eq!(places[..4], [0..4, 4..8, 8..10, 10..14]);
        assert_eq!(places[8], 28..30);
    }

    #[test]
    fn replayed_rows_leave_every_new_one_its_place() {
        let sampler = Sampler::new(10, 4, 3, 7).with_replay(0.25).unwrap();
        assert_eq!(sampler.total_steps(), 10, "30 new rows, 3 a step");
        let mut next = 0;
        for step in 0..10 {
            let places = sampler.places(step);
            assert_eq!((places.start, sampler.replayed(step)), (next, 1));
            next = places.end;
        }
        assert_eq!(next, 30);
        assert!((sampler.epoch_after(5) - 1.5).abs() < 1e-12);
    }
}

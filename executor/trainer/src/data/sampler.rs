//! Which rows each optimizer step takes: a pure function of seed and step, so that a resume needs neither state nor replay.

use crate::rng::Rng;

/// The stream of the run's random numbers that orders epochs.
const STREAM: u64 = 0x5341_4d50;

/// The order of rows over all epochs. Every row comes once an epoch; the last batch of an epoch may be short.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sampler {
    rows: usize,
    batch_size: usize,
    epochs: usize,
    seed: u64,
}

impl Sampler {
    /// An order of `rows` rows in batches of `batch_size`.
    pub fn new(rows: usize, batch_size: usize, epochs: usize, seed: u64) -> Self {
        Self { rows, batch_size: batch_size.max(1), epochs, seed }
    }

    /// Steps in an epoch.
    pub fn steps_per_epoch(&self) -> u64 {
        self.rows.div_ceil(self.batch_size) as u64
    }

    /// Steps in all.
    pub fn total_steps(&self) -> u64 {
        self.steps_per_epoch() * self.epochs as u64
    }

    /// Epochs begun after `steps` steps, as a fraction.
    pub fn epoch_after(&self, steps: u64) -> f64 {
        steps as f64 / self.steps_per_epoch() as f64
    }

    /// The rows of an epoch in order.
    pub fn epoch(&self, epoch: u64) -> Vec<usize> {
        let mut order: Vec<usize> = (0..self.rows).collect();
        Rng::new(self.seed, STREAM).fork(epoch).shuffle(&mut order);
        order
    }

    /// The rows of step `step`, from 0, given the order of its epoch.
    pub fn batch<'a>(&self, order: &'a [usize], step: u64) -> &'a [usize] {
        let start = (step % self.steps_per_epoch()) as usize * self.batch_size;
        &order[start..(start + self.batch_size).min(order.len())]
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
        let mut seen: Vec<usize> =
            (0..3).flat_map(|step| sampler.batch(&first, step).to_vec()).collect();
        seen.sort_unstable();
        assert_eq!(seen, (0..10).collect::<Vec<_>>());
        assert_eq!(sampler.batch(&second, 5).len(), 2);
    }
}

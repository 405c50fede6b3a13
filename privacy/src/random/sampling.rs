//! Who takes part in a step: each unit on its own, with the same probability; and which examples of a user stand for them.

use std::collections::BTreeSet;

use super::SecureRandom;
use crate::error::{PrivacyError, in_range};

impl SecureRandom {
    /// The units of `0..units` that take part in a step, rising; each with probability `rate`, whatever the others do. Often more
    /// or fewer than `rate * units`, and sometimes none: such a step is taken too, with noise alone.
    ///
    /// The probability is `rate` cut to a multiple of 2^-64, so never above it.
    ///
    /// # Errors
    /// `rate` is outside (0, 1].
    pub fn poisson_sample(&mut self, rate: f64, units: usize) -> Result<Vec<usize>, PrivacyError> {
        in_range("sampling_rate", "above 0 and at most 1", rate, rate > 0.0 && rate <= 1.0)?;
        if rate >= 1.0 {
            return Ok((0..units).collect());
        }
        // Exact: scaling by a power of two changes no bit of the mantissa.
        let below = (rate * 2_f64.powi(64)) as u64;
        let expected = rate * units as f64;
        let mut drawn = Vec::with_capacity((expected + 6.0 * expected.sqrt()) as usize + 16);
        drawn.extend((0..units).filter(|_| self.words.next_u64() < below));
        Ok(drawn)
    }

    /// `size` of the examples `0..examples` of one user, rising, every choice equally likely; all of them where there are no more.
    pub fn subset(&mut self, examples: usize, size: usize) -> Vec<usize> {
        // Floyd's way: each round draws among one more, and takes the newest where the drawn one is in already.
        let mut chosen = BTreeSet::new();
        for newest in examples.saturating_sub(size)..examples {
            let drawn = self.below(newest as u64 + 1) as usize;
            if !chosen.insert(drawn) {
                chosen.insert(newest);
            }
        }
        chosen.into_iter().collect()
    }

    /// A number below `limit`, every one equally likely: the high half of a product, with the few low halves that would favour
    /// some numbers refused.
    fn below(&mut self, limit: u64) -> u64 {
        let refused = limit.wrapping_neg() % limit;
        loop {
            let product = u128::from(self.words.next_u64()) * u128::from(limit);
            if product as u64 >= refused {
                return (product >> 64) as u64;
            }
        }
    }
}

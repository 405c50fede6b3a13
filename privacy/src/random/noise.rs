//! Gaussian noise that does not give itself away by its last bits.
//!
//! Floating-point numbers near a sample of a Gaussian are not all reachable, and which ones are depends on what was added: an
//! attacker who sees the sum can rule out values. Holohan and Braghin, "Secure Random Sampling in Differential Privacy", 2021, section 5.1:
//! add up 2n samples and divide by the root of 2n. As in Opacus' secure mode, n is 2: a value is made of four uniform numbers. These have
//! 32 bits or more, so undoing it takes 2^96 tries for each number. Unlike there, the sum is in double precision and rounded once.

use super::SecureRandom;
use super::gaussian::VALUES;
use crate::error::{PrivacyError, in_range};

impl SecureRandom {
    /// Fills `out` with independent noise of mean 0 and standard deviation `deviation`.
    ///
    /// # Errors
    /// `deviation` is not above 0 or so large that noise would not be finite: a step without noise must not pass for a private one.
    pub fn fill_noise(&mut self, deviation: f64, out: &mut [f32]) -> Result<(), PrivacyError> {
        check(deviation)?;
        for out in out.chunks_mut(VALUES) {
            for (value, normal) in out.iter_mut().zip(self.block.draw(&mut self.words)) {
                *value = (normal * deviation) as f32;
            }
        }
        Ok(())
    }

    /// Makes each of `values` `factor * (value + noise)`, the noise independent, of mean 0 and standard deviation `deviation`; the sum of the
    /// squares of `value + noise`. Each is rounded once.
    ///
    /// # Errors
    /// As for [`SecureRandom::fill_noise`].
    pub fn add_noise(
        &mut self,
        deviation: f64,
        factor: f64,
        values: &mut [f32],
    ) -> Result<f64, PrivacyError> {
        check(deviation)?;
        let mut squares = 0.0;
        for values in values.chunks_mut(VALUES) {
            squares += add(self.block.draw(&mut self.words), (deviation, factor), values);
        }
        Ok(squares)
    }

    /// One value of noise, such as for a count.
    ///
    /// # Errors
    /// As for [`SecureRandom::fill_noise`].
    pub fn noise(&mut self, deviation: f64) -> Result<f64, PrivacyError> {
        check(deviation)?;
        Ok(self.block.draw(&mut self.words)[0] * deviation)
    }
}

/// Several at a time, with a sum each: as vector instructions do it.
fn add(normals: &[f64], (deviation, factor): (f64, f64), values: &mut [f32]) -> f64 {
    const LANES: usize = 8;
    let mut squares = [0.0; LANES];
    let one = |value: &mut f32, normal: f64, square: &mut f64| {
        let noisy = f64::from(*value) + normal * deviation;
        *value = (noisy * factor) as f32;
        *square += noisy * noisy;
    };
    let (values, last_values) = values.as_chunks_mut::<LANES>();
    let (normals, last_normals) = normals.split_at(values.len() * LANES);
    for (values, normals) in values.iter_mut().zip(normals.as_chunks::<LANES>().0) {
        for lane in 0..LANES {
            one(&mut values[lane], normals[lane], &mut squares[lane]);
        }
    }
    for ((value, normal), square) in last_values.iter_mut().zip(last_normals).zip(&mut squares) {
        one(value, *normal, square);
    }
    squares.iter().sum()
}

fn check(deviation: f64) -> Result<(), PrivacyError> {
    let within = (1e-30..=1e30).contains(&deviation);
    in_range("noise standard deviation", "between 1e-30 and 1e30", deviation, within)?;
    Ok(())
}

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

    /// Adds independent noise of mean 0 and standard deviation `deviation` to each of `values`.
    ///
    /// # Errors
    /// As for [`SecureRandom::fill_noise`].
    pub fn add_noise(&mut self, deviation: f64, values: &mut [f32]) -> Result<(), PrivacyError> {
        check(deviation)?;
        for values in values.chunks_mut(VALUES) {
            for (value, normal) in values.iter_mut().zip(self.block.draw(&mut self.words)) {
                *value = (f64::from(*value) + normal * deviation) as f32;
            }
        }
        Ok(())
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

fn check(deviation: f64) -> Result<(), PrivacyError> {
    let within = (1e-30..=1e30).contains(&deviation);
    in_range("noise standard deviation", "between 1e-30 and 1e30", deviation, within)?;
    Ok(())
}

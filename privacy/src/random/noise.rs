//! Gaussian noise that does not give itself away by its last bits.
//!
//! Floating-point numbers near a sample of a Gaussian are not all reachable, and which ones are depends on what was added: an
//! attacker who sees the sum can rule out values. Holohan and Braghin, "Secure Random Sampling in Differential Privacy", 2021, section 5.1:
//! add up 2n samples and divide by the root of 2n, which for n = 2 takes 2^159 tries to undo in double precision. As in Opacus' secure mode,
//! n is 2 and one sample at the start is thrown away; unlike there, the sum is in double precision and rounded once.

use rand_distr::{Distribution, StandardNormal};

use super::SecureRandom;
use crate::error::{PrivacyError, in_range};

/// Samples in a value of noise.
const SAMPLES: usize = 4;

impl SecureRandom {
    /// Fills `out` with independent noise of mean 0 and standard deviation `deviation`.
    ///
    /// # Errors
    /// `deviation` is not above 0 or so large that noise would not be finite: a step without noise must not pass for a private one.
    pub fn fill_noise(&mut self, deviation: f64, out: &mut [f32]) -> Result<(), PrivacyError> {
        let scale = scale(deviation)?;
        self.normal();
        for value in out {
            *value = (self.sum() * scale) as f32;
        }
        Ok(())
    }

    /// Adds independent noise of mean 0 and standard deviation `deviation` to each of `values`.
    ///
    /// # Errors
    /// As for [`SecureRandom::fill_noise`].
    pub fn add_noise(&mut self, deviation: f64, values: &mut [f32]) -> Result<(), PrivacyError> {
        let scale = scale(deviation)?;
        self.normal();
        for value in values {
            *value = (f64::from(*value) + self.sum() * scale) as f32;
        }
        Ok(())
    }

    /// One value of noise, such as for a count.
    ///
    /// # Errors
    /// As for [`SecureRandom::fill_noise`].
    pub fn noise(&mut self, deviation: f64) -> Result<f64, PrivacyError> {
        let scale = scale(deviation)?;
        self.normal();
        Ok(self.sum() * scale)
    }

    #[inline]
    fn sum(&mut self) -> f64 {
        (0..SAMPLES).map(|_| self.normal()).sum()
    }

    #[inline]
    fn normal(&mut self) -> f64 {
        StandardNormal.sample(&mut self.0)
    }
}

/// What a sum of samples is multiplied by.
fn scale(deviation: f64) -> Result<f64, PrivacyError> {
    let within = (1e-30..=1e30).contains(&deviation);
    in_range("noise standard deviation", "between 1e-30 and 1e30", deviation, within)?;
    Ok(deviation / (SAMPLES as f64).sqrt())
}

//! Noise on a flat gradient, drawn by several threads: for a small model on a fast machine one alone would cost a tenth of a step.

use trainyard_privacy::random::SecureRandom;

use crate::error::{Result, TrainerError};

/// Numbers that a thread is worth starting for.
const SHARE_MIN: usize = 1 << 16;

/// A generator a thread, each with a key of its own.
#[derive(Debug)]
pub struct Noise(Vec<SecureRandom>);

impl Noise {
    /// Generators for `threads` threads.
    ///
    /// # Errors
    /// Where the operating system gives no random bytes.
    pub fn from_system(threads: u32) -> Result<Self> {
        let each = (0..threads.max(1)).map(|_| SecureRandom::from_system());
        Ok(Self(each.collect::<std::result::Result<_, _>>().map_err(no_randomness)?))
    }

    /// Makes each value `factor * (value + noise)`, the noise independent and Gaussian of standard deviation `deviation`; the sum of the squares
    /// of `value + noise`.
    ///
    /// # Errors
    /// A deviation that is no sensible number: a step without noise must not pass for a private one.
    pub fn add(&mut self, deviation: f64, factor: f64, values: &mut [f32]) -> Result<f64> {
        let share = values.len().div_ceil(self.0.len()).max(SHARE_MIN);
        let squares: std::result::Result<f64, _> = std::thread::scope(|scope| {
            let shares = values.chunks_mut(share).zip(&mut self.0);
            let add = |(values, random): (_, &mut SecureRandom)| {
                random.add_noise(deviation, factor, values)
            };
            let threads: Vec<_> = shares.map(|share| scope.spawn(move || add(share))).collect();
            let squares = threads.into_iter().map(|thread| {
                thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
            });
            squares.sum()
        });
        squares.map_err(|error| TrainerError::Privacy(error.to_string()))
    }
}

/// The operating system gives no random bytes.
pub fn no_randomness(error: getrandom::Error) -> TrainerError {
    TrainerError::Privacy(format!("the operating system gives no random bytes: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A million values by three threads: mean and variance within six standard errors, which fails one run in 250 million; and no two
    /// threads drew the same.
    #[test]
    fn it_has_the_mean_and_the_variance_that_it_says() {
        let (count, deviation) = (1_000_000, 2.5);
        let mut values = vec![0_f32; count];
        Noise::from_system(3).unwrap().add(deviation, 1.0, &mut values).unwrap();
        let n = count as f64;
        let mean = values.iter().map(|value| f64::from(*value)).sum::<f64>() / n;
        let variance = values.iter().map(|value| f64::from(*value).powi(2)).sum::<f64>() / n;
        assert!(mean.abs() < 6.0 * deviation / n.sqrt(), "{mean}");
        let ratio = variance / (deviation * deviation);
        assert!((ratio - 1.0).abs() < 6.0 * (2.0 / n).sqrt(), "{ratio}");
        let share = count.div_ceil(3);
        let same = values[..share].iter().zip(&values[share..]).filter(|(a, b)| a == b).count();
        assert!(same < share / 100, "{same}");
    }

    #[test]
    fn a_step_without_noise_does_not_pass_for_a_private_one() {
        let mut noise = Noise::from_system(1).unwrap();
        for deviation in [0.0, -1.0, f64::NAN, f64::INFINITY] {
            assert!(noise.add(deviation, 1.0, &mut [0.0; 4]).is_err());
        }
    }
}

//! Randomness that an attacker cannot foresee: the noise of each step and who takes part in it.
//!
//! `ChaCha20` under a key of 256 bits from the operating system. The key is never stored, shown or copied, and is wiped with the generator:
//! whoever knew it could subtract the noise. So a run that resumes draws a new key, and private runs do not repeat bit for bit.

mod gaussian;
mod noise;
mod sampling;
mod words;

use std::fmt;

use gaussian::Block;
use words::Words;
use zeroize::Zeroize;

/// A generator with a key of its own. It cannot be cloned, serialised or printed.
pub struct SecureRandom {
    words: Words,
    /// Where noise is made, kept from one call to the next.
    block: Box<Block>,
}

impl fmt::Debug for SecureRandom {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecureRandom { .. }")
    }
}

impl SecureRandom {
    /// A generator with a fresh key from the operating system. One for each thread and each purpose: there is no way to split one.
    ///
    /// # Errors
    /// Only where the operating system gives no random bytes.
    pub fn from_system() -> Result<Self, getrandom::Error> {
        let mut key = [0_u8; 32];
        getrandom::fill(&mut key)?;
        let words = Words::new(&key);
        key.zeroize();
        Ok(Self { words, block: Box::default() })
    }
}

//! Chance from a seed and a counter. Not for privacy or secrets: whoever knows some words can compute the others.

use serde::{Deserialize, Serialize};

/// What the state moves by from word to word: 2^64 divided by the golden ratio, made odd.
const STEP: u64 = 0x9e37_79b9_7f4a_7c15;

/// `SplitMix64` (Steele, Lea, Flood, "Fast Splittable Pseudorandom Number Generators", 2014) with its state kept as seed and count of
/// words: word n is a function of `seed + n * STEP` alone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SplitMix64 {
    seed: u64,
    /// Words drawn so far.
    drawn: u64,
}

impl SplitMix64 {
    /// A generator at its first word.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self { seed, drawn: 0 }
    }

    /// The next word: 64 uniform bits.
    pub fn word(&mut self) -> u64 {
        self.drawn = self.drawn.wrapping_add(1);
        let mut z = self.seed.wrapping_add(self.drawn.wrapping_mul(STEP));
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A whole number from 0 to below `bound`, each as likely as the others to the last bit; 0 for a bound of 0 or 1. Lemire, "Fast
    /// Random Integer Generation in an Interval", 2019.
    pub fn below(&mut self, bound: u64) -> u64 {
        if bound < 2 {
            return 0;
        }
        // The 2^64 mod `bound` products whose low half is smallest are drawn again: what remains is a multiple of `bound`.
        let uneven = bound.wrapping_neg() % bound;
        loop {
            let product = u128::from(self.word()) * u128::from(bound);
            if product as u64 >= uneven {
                return (product >> 64) as u64;
            }
        }
    }

    /// `count` different numbers from 0 to below `bound`, rising; every subset as likely. All of them where `count` is not below
    /// `bound`. Floyd's algorithm (Bentley, Floyd, "A sample of brilliance", 1987): as many words as numbers.
    pub fn subset(&mut self, bound: u64, count: u64) -> Vec<u64> {
        let mut chosen = std::collections::BTreeSet::new();
        for last in bound.saturating_sub(count)..bound {
            let number = self.below(last + 1);
            if !chosen.insert(number) {
                chosen.insert(last);
            }
        }
        chosen.into_iter().collect()
    }

    /// The numbers from 0 to below `count` in a random order, every order as likely (Fisher and Yates).
    pub fn permutation(&mut self, count: usize) -> Vec<usize> {
        let mut order: Vec<usize> = (0..count).collect();
        for last in (1..count).rev() {
            order.swap(last, self.below(last as u64 + 1) as usize);
        }
        order
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_those_of_the_published_generator() {
        // The first words of the reference code in C, seed 1234567.
        let mut random = SplitMix64::new(1_234_567);
        let words: Vec<u64> = (0..5).map(|_| random.word()).collect();
        assert_eq!(
            words,
            [
                6_457_827_717_110_365_317,
                3_203_168_211_198_807_973,
                9_817_491_932_198_370_423,
                4_593_380_528_125_082_431,
                16_408_922_859_458_223_821,
            ]
        );
    }
}

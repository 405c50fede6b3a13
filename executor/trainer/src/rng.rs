//! The run's own random numbers: counter-based Philox4x32-10 (Salmon et al., "Parallel random numbers: as easy as 1, 2,
//! 3", SC 2011).
//!
//! A generator is a key (seed and stream) and a counter: its state is small, can be saved, and a stream can be replayed
//! from any point. libtorch's global generator is never used.

use serde::{Deserialize, Serialize};

const MULTIPLIERS: [u32; 2] = [0xD251_1F53, 0xCD9E_8D57];
const WEYL: [u32; 2] = [0x9E37_79B9, 0xBB67_AE85];
const ROUNDS: usize = 10;

/// A stream of random numbers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rng {
    seed: u64,
    stream: u64,
    /// How many 32-bit words were drawn.
    drawn: u64,
}

impl Rng {
    /// Stream `stream` of the run with `seed`, at its beginning.
    pub fn new(seed: u64, stream: u64) -> Self {
        Self { seed, stream, drawn: 0 }
    }

    /// A stream of its own for part `index` of this one; does not advance this one.
    pub fn fork(&self, index: u64) -> Self {
        // The mix is SplitMix64's finaliser: neighbouring indices give unrelated streams.
        let mut z =
            self.stream.wrapping_add(index.wrapping_add(1).wrapping_mul(0x9E37_79B9_7F4A_7C15));
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        Self { seed: self.seed, stream: z ^ (z >> 31), drawn: 0 }
    }

    /// 32 random bits.
    pub fn next_u32(&mut self) -> u32 {
        let block = self.drawn / 4;
        let word = (self.drawn % 4) as usize;
        self.drawn += 1;
        self.block(block)[word]
    }

    /// Fills with random words: those that [`Rng::next_u32`] would give, four for the price of one.
    pub fn fill_u32(&mut self, out: &mut [u32]) {
        let of_begun_block = (self.drawn.next_multiple_of(4) - self.drawn) as usize;
        let (head, rest) = out.split_at_mut(of_begun_block.min(out.len()));
        for word in head {
            *word = self.next_u32();
        }
        for words in rest.chunks_mut(4) {
            words.copy_from_slice(&self.block(self.drawn / 4)[..words.len()]);
            self.drawn += words.len() as u64;
        }
    }

    /// 64 random bits.
    pub fn next_u64(&mut self) -> u64 {
        u64::from(self.next_u32()) | (u64::from(self.next_u32()) << 32)
    }

    /// Uniform in [0, 1), with 24 bits.
    pub fn uniform(&mut self) -> f32 {
        unit(self.next_u32())
    }

    /// Standard normal, by the Box-Muller transform.
    pub fn normal(&mut self) -> f32 {
        // 1 - u lies in (0, 1], so that the logarithm is finite.
        let radius = (-2.0 * f64::from(1.0 - self.uniform()).ln()).sqrt();
        (radius * (std::f64::consts::TAU * f64::from(self.uniform())).cos()) as f32
    }

    /// Uniform in [0, n), without bias (Lemire 2019). `n` must be above 0.
    pub fn below(&mut self, n: u64) -> u64 {
        debug_assert!(n > 0);
        loop {
            let product = u128::from(self.next_u64()) * u128::from(n);
            let low = product as u64;
            if low >= n || low >= n.wrapping_neg() % n {
                return (product >> 64) as u64;
            }
        }
    }

    /// Fisher-Yates.
    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for i in (1..items.len()).rev() {
            items.swap(i, self.below(i as u64 + 1) as usize);
        }
    }

    /// Fills with uniform numbers in [low, high).
    pub fn fill_uniform(&mut self, out: &mut [f32], low: f32, high: f32) {
        let mut words = [0; 256];
        for values in out.chunks_mut(words.len()) {
            let words = &mut words[..values.len()];
            self.fill_u32(words);
            for (value, word) in values.iter_mut().zip(words) {
                *value = low + (high - low) * unit(*word);
            }
        }
    }

    fn block(&self, block: u64) -> [u32; 4] {
        let counter =
            [block as u32, (block >> 32) as u32, self.stream as u32, (self.stream >> 32) as u32];
        philox([self.seed as u32, (self.seed >> 32) as u32], counter)
    }
}

/// A word's upper 24 bits as a number in [0, 1).
fn unit(word: u32) -> f32 {
    (word >> 8) as f32 / 16_777_216.0
}

/// Philox4x32-10: ten rounds of multiplication and exchange.
fn philox(mut key: [u32; 2], mut x: [u32; 4]) -> [u32; 4] {
    for round in 0..ROUNDS {
        if round > 0 {
            key = [key[0].wrapping_add(WEYL[0]), key[1].wrapping_add(WEYL[1])];
        }
        let a = u64::from(MULTIPLIERS[0]) * u64::from(x[0]);
        let b = u64::from(MULTIPLIERS[1]) * u64::from(x[2]);
        x = [
            (b >> 32) as u32 ^ x[1] ^ key[0],
            b as u32,
            (a >> 32) as u32 ^ x[3] ^ key[1],
            a as u32,
        ];
    }
    x
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Known answers of the authors' Random123 distribution (`kat_vectors`, philox4x32-10).
    #[test]
    fn philox_known_answers() {
        assert_eq!(philox([0, 0], [0; 4]), [0x6627_e8d5, 0xe169_c58d, 0xbc57_ac4c, 0x9b00_dbd8]);
        let ones = u32::MAX;
        assert_eq!(
            philox([ones; 2], [ones; 4]),
            [0x408f_276d, 0x41c8_3b0e, 0xa20b_c7c6, 0x6d54_51fd]
        );
        assert_eq!(
            philox(
                [0xa409_3822, 0x299f_31d0],
                [0x243f_6a88, 0x85a3_08d3, 0x1319_8a2e, 0x0370_7344]
            ),
            [0xd16c_fe09, 0x94fd_cceb, 0x5001_e420, 0x2412_6ea1]
        );
    }

    #[test]
    fn words_come_the_same_one_by_one_and_together() {
        for skipped in 0..5 {
            let (mut single, mut filled) = (Rng::new(7, 1), Rng::new(7, 1));
            for _ in 0..skipped {
                assert_eq!(single.next_u32(), filled.next_u32());
            }
            let mut words = [0; 11];
            filled.fill_u32(&mut words);
            assert_eq!(words, std::array::from_fn(|_| single.next_u32()));
            assert_eq!(single, filled);
        }
    }

    #[test]
    fn a_saved_state_goes_on_where_it_was() {
        let mut rng = Rng::new(7, 1);
        for _ in 0..5 {
            rng.next_u32();
        }
        let saved = serde_json::to_string(&rng).unwrap();
        let mut again: Rng = serde_json::from_str(&saved).unwrap();
        assert_eq!(
            (0..9).map(|_| rng.next_u32()).collect::<Vec<_>>(),
            (0..9).map(|_| again.next_u32()).collect::<Vec<_>>()
        );
        assert_ne!(Rng::new(7, 1).fork(0).next_u64(), Rng::new(7, 1).fork(1).next_u64());
    }

    #[test]
    fn distributions_have_their_moments() {
        let mut rng = Rng::new(42, 0);
        let n = 20_000;
        let normal: Vec<f64> = (0..n).map(|_| f64::from(rng.normal())).collect();
        let mean = normal.iter().sum::<f64>() / f64::from(n);
        let variance = normal.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / f64::from(n);
        assert!(mean.abs() < 0.03 && (variance - 1.0).abs() < 0.05, "{mean} {variance}");
        let mut counts = [0_u32; 6];
        for _ in 0..6_000 {
            counts[rng.below(6) as usize] += 1;
        }
        assert!(counts.iter().all(|count| (850..1150).contains(count)), "{counts:?}");
        let mut order: Vec<u32> = (0..100).collect();
        rng.shuffle(&mut order);
        assert_ne!(order, (0..100).collect::<Vec<_>>());
        order.sort_unstable();
        assert_eq!(order, (0..100).collect::<Vec<_>>());
    }
}

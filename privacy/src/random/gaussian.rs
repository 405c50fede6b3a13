//! Standard normal values, many at a time: by Box and Muller, in loops that a compiler turns into vector instructions.
//!
//! A value is the sum of two samples of a pair each, `(r1 sin t1 + r2 sin t2) / sqrt(2)`, that is of four uniform numbers. It has the
//! distribution that `(x1 + y1 + x2 + y2) / 2` has with both samples of each pair, since `x + y` of one pair is `sqrt(2) r sin(t + pi / 4)`;
//! half of the sines are saved.
//!
//! Angles have 32 bits. Radii have 32 bits too, but where the first 16 of them are zero they get 64 more: else no sample could lie beyond
//! 6.8 standard deviations, nor take any but a few values beyond five.

use std::f64::consts::{FRAC_1_SQRT_2, LN_2, PI};

use zeroize::Zeroize;

use super::words::Words;

/// Values that are made at a time. A block and what it is made of stay in the first cache.
pub(super) const VALUES: usize = 256;

/// A radius from a number below this is made of more bits.
const FINE_BELOW: u32 = 1 << 16;
const TO_UNIT: f64 = 1.0 / 4_294_967_296.0;

/// Values and what they were made of, wiped on drop.
pub(super) struct Block {
    /// Of each value two radii and two angles, in little endian: first the one radius of all values, then the other, then the angles.
    words: [[u8; 4]; 4 * VALUES],
    /// Uniform on (0, 1), for the radii.
    uniforms: [f64; 2 * VALUES],
    values: [f64; VALUES],
}

impl Default for Block {
    fn default() -> Self {
        Self { words: [[0; 4]; 4 * VALUES], uniforms: [0.0; 2 * VALUES], values: [0.0; VALUES] }
    }
}

impl Drop for Block {
    fn drop(&mut self) {
        self.words.zeroize();
        self.uniforms.zeroize();
        self.values.zeroize();
    }
}

impl Block {
    /// New values, independent of one another and of all before.
    pub(super) fn draw(&mut self, words: &mut Words) -> &[f64; VALUES] {
        words.fill(self.words.as_flattened_mut());
        self.make(|| words.next_u64());
        &self.values
    }

    /// Makes values of the words; `more` gives further ones.
    fn make(&mut self, more: impl FnMut() -> u64) {
        #[cfg(target_arch = "x86_64")]
        if is_x86_feature_detected!("fma") {
            if is_x86_feature_detected!("avx512f") && is_x86_feature_detected!("avx512dq") {
                // SAFETY: the processor has the instructions that this is compiled for; so below.
                return unsafe { self.make_by_eight(more) };
            }
            if is_x86_feature_detected!("avx2") {
                // SAFETY: see above.
                return unsafe { self.make_by_four(more) };
            }
        }
        self.make_as::<{ cfg!(target_arch = "aarch64") }>(more);
    }

    #[cfg(target_arch = "x86_64")]
    #[target_feature(enable = "avx512f,avx512dq,fma")]
    fn make_by_eight(&mut self, more: impl FnMut() -> u64) {
        self.make_as::<true>(more);
    }

    #[cfg(target_arch = "x86_64")]
    #[target_feature(enable = "avx2,fma")]
    fn make_by_four(&mut self, more: impl FnMut() -> u64) {
        self.make_as::<true>(more);
    }

    #[inline(always)]
    fn make_as<const FUSED: bool>(&mut self, more: impl FnMut() -> u64) {
        let mut least = u32::MAX;
        for (uniform, word) in self.uniforms.iter_mut().zip(&self.words) {
            let word = u32::from_le_bytes(*word);
            least = least.min(word);
            *uniform = (f64::from(word) + 0.5) * TO_UNIT;
        }
        if least < FINE_BELOW {
            self.refine(more);
        }
        self.transform::<FUSED>();
    }

    /// Gives the radii that are made of small words more bits.
    #[cold]
    fn refine(&mut self, mut more: impl FnMut() -> u64) {
        for (uniform, word) in self.uniforms.iter_mut().zip(&self.words) {
            let word = u32::from_le_bytes(*word);
            if word < FINE_BELOW {
                *uniform = (f64::from(word) + (more() as f64 + 0.5) * TO_UNIT * TO_UNIT) * TO_UNIT;
            }
        }
    }

    #[inline(always)]
    fn transform<const FUSED: bool>(&mut self) {
        let (radii, angles) = (&self.uniforms, &self.words);
        for (place, value) in self.values.iter_mut().enumerate() {
            let one = sample::<FUSED>(radii[place], angles[2 * VALUES + place]);
            let other = sample::<FUSED>(radii[VALUES + place], angles[3 * VALUES + place]);
            *value = (one + other) * FRAC_1_SQRT_2;
        }
    }
}

/// One sample of a pair. `FUSED`: by instructions that multiply and add at once, as everything below.
#[inline(always)]
fn sample<const FUSED: bool>(radius: f64, angle: [u8; 4]) -> f64 {
    (-2.0 * ln::<FUSED>(radius)).sqrt() * sin_half_turn::<FUSED>(i32::from_le_bytes(angle))
}

/// The natural logarithm of a number on (0, 1), to 1e-13 of it: `2 artanh((m - 1) / (m + 1)) + e ln 2`, the mantissa `m` between the root of a
/// half and that of two, the series cut at a term of 3e-14.
#[inline(always)]
fn ln<const FUSED: bool>(x: f64) -> f64 {
    const ONE: u64 = 1_f64.to_bits();
    const LEAST: u64 = FRAC_1_SQRT_2.to_bits();
    const MANTISSA: u64 = (1 << 52) - 1;
    /// 2^52, in whose last bits a whole number is a float.
    const WHOLE: f64 = 4_503_599_627_370_496.0;
    // Nothing here overflows, but a build that looks for it would take one number at a time.
    let shifted = x.to_bits().wrapping_add(ONE - LEAST);
    let m = f64::from_bits((shifted & MANTISSA).wrapping_add(LEAST));
    let e = f64::from_bits((shifted >> 52) | WHOLE.to_bits()) - (WHOLE + 1023.0);
    let s = (m - 1.0) / (m + 1.0);
    let odd = [2.0, 2.0 / 3.0, 2.0 / 5.0, 2.0 / 7.0, 2.0 / 9.0, 2.0 / 11.0, 2.0 / 13.0, 2.0 / 15.0];
    fma::<FUSED>(s, polynomial::<FUSED, 8>(s * s, odd), e * LN_2)
}

/// `sin(pi word / 2^32)`: over all words the sine of a uniform angle, since the other half of the circle has the same sines. The series is cut at
/// a term of 5e-14.
#[inline(always)]
fn sin_half_turn<const FUSED: bool>(word: i32) -> f64 {
    let x = f64::from(word) * (PI * TO_UNIT);
    let odd = [
        1.0,
        -1.0 / 6.0,
        1.0 / 120.0,
        -1.0 / 5_040.0,
        1.0 / 362_880.0,
        -1.0 / 39_916_800.0,
        1.0 / 6_227_020_800.0,
        -1.0 / 1_307_674_368_000.0,
        1.0 / 355_687_428_096_000.0,
    ];
    x * polynomial::<FUSED, 9>(x * x, odd)
}

/// By Horner's rule, lowest power first.
#[inline(always)]
fn polynomial<const FUSED: bool, const N: usize>(x: f64, coefficients: [f64; N]) -> f64 {
    let mut sum = 0.0;
    for next in coefficients.iter().rev() {
        sum = fma::<FUSED>(sum, x, *next);
    }
    sum
}

#[inline(always)]
fn fma<const FUSED: bool>(a: f64, b: f64, c: f64) -> f64 {
    if FUSED { a.mul_add(b, c) } else { a * b + c }
}

#[cfg(test)]
mod tests {
    use std::f64::consts::SQRT_2;

    use super::*;

    /// A block whose first words are the given ones: radii and angles.
    fn block(radii: [u32; 4], angles: [i32; 4]) -> Block {
        let mut block = Block::default();
        let mut words = Words::new(&[7; 32]);
        words.fill(block.words.as_flattened_mut());
        for place in 0..4 {
            block.words[place] = radii[place].to_le_bytes();
            block.words[2 * VALUES + place] = angles[place].to_le_bytes();
        }
        block
    }

    #[test]
    fn values_are_those_of_the_formula() {
        let mut block = block([0, u32::MAX, 1, 1 << 31], [i32::MIN, i32::MAX, 0, 1]);
        block.make(|| 0);
        let angles = block.words[2 * VALUES..].iter().map(|word| i32::from_le_bytes(*word));
        let angles: Vec<i32> = angles.collect();
        let sample = |of: usize| {
            let radius = (-2.0 * libm::log(block.uniforms[of])).sqrt();
            radius * libm::sin(PI * f64::from(angles[of]) / 4_294_967_296.0)
        };
        let expected: Vec<f64> =
            (0..VALUES).map(|of| (sample(of) + sample(VALUES + of)) / SQRT_2).collect();
        let mut ways: Vec<fn(&mut Block)> =
            vec![|block| block.make_as::<false>(|| 0), |block| block.make(|| 0)];
        #[cfg(target_arch = "x86_64")]
        if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
            // SAFETY: the processor has the instructions that this is compiled for.
            ways.push(|block| unsafe { block.make_by_four(|| 0) });
        }
        for way in ways {
            way(&mut block);
            for (value, expected) in block.values.iter().zip(&expected) {
                assert!((value - expected).abs() < 1e-12, "{value} {expected}");
            }
        }
    }

    #[test]
    fn small_numbers_for_radii_get_more_bits() {
        let cut = f64::from(FINE_BELOW - 1) * TO_UNIT;
        let mut block = block([0, FINE_BELOW - 1, FINE_BELOW, u32::MAX], [0; 4]);
        block.make(|| 0);
        assert_eq!(block.uniforms[0], 0.5 * TO_UNIT.powi(3));
        assert!(block.uniforms[1] >= cut && block.uniforms[1] < cut + TO_UNIT * 1e-9);
        assert_eq!(block.uniforms[2], (f64::from(FINE_BELOW) + 0.5) * TO_UNIT);
        assert!(block.uniforms[3] < 1.0);
        // Nothing is beyond what a double holds, and the furthest sample lies far out.
        let furthest = (-2.0 * ln::<false>(block.uniforms[0])).sqrt();
        assert!((11.0..12.0).contains(&furthest), "{furthest}");
    }
}

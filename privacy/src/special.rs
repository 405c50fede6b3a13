//! Functions that the standard library lacks, accurate in the tails that privacy accounting lives in.

use std::f64::consts::LN_2;

/// `ln(e^a + e^b)` without overflow.
pub(crate) fn log_add(a: f64, b: f64) -> f64 {
    let (low, high) = if a < b { (a, b) } else { (b, a) };
    if low == f64::NEG_INFINITY { high } else { high + (low - high).exp().ln_1p() }
}

/// `ln(e^a - e^b)`; `None` where b is the larger.
pub(crate) fn log_sub(a: f64, b: f64) -> Option<f64> {
    if b == f64::NEG_INFINITY {
        Some(a)
    } else if a < b {
        None
    } else {
        Some(a + (-(b - a).exp_m1()).ln())
    }
}

/// `ln(erfc(x) / 2)`: the log of the upper tail of a normal variable with variance 1/2.
pub(crate) fn log_half_erfc(x: f64) -> f64 {
    if x < 20.0 {
        return libm::erfc(x).ln() - LN_2;
    }
    // erfc underflows above 26. Its asymptotic series, whose terms shrink by more than 2 x^2 / k at first, is exact to the last
    // bit well before it turns.
    let inverse = 1.0 / (2.0 * x * x);
    let (mut term, mut sum) = (1.0, 1.0);
    for k in 1..20 {
        term *= -f64::from(2 * k - 1) * inverse;
        sum += term;
        if term.abs() < f64::EPSILON {
            break;
        }
    }
    -x * x - (x * std::f64::consts::PI.sqrt()).ln() + sum.ln() - LN_2
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tails_join_and_keep_their_precision() {
        // log(erfc(x) / 2) by mpmath with 50 digits.
        for (x, expected) in [
            (-3.0, -1.104_530_949_849_909_4e-5),
            (0.5, -1.428_158_310_397_029_7),
            (5.0, -27.894_036_726_097_38),
            (19.5, -384.487_237_218_660_4),
            (20.0, -404.262_490_514_664_2),
            (25.0, -629.485_186_354_631_6),
            (40.0, -1_604.954_703_833_833_5),
            (200.0, -40_006.563_841_989_64),
        ] {
            let error = ((log_half_erfc(x) - expected) / expected).abs();
            // Near 0 the log itself loses what erfc keeps.
            assert!(error < if x < 0.0 { 1e-11 } else { 1e-14 }, "{x}: {error}");
        }
    }

    #[test]
    fn logs_add_and_subtract() {
        assert!((log_add(0.0, 0.0) - LN_2).abs() < 1e-15);
        assert!((log_add(1000.0, 0.0) - 1000.0).abs() < 1e-12);
        assert!((log_sub(LN_2, 0.0).unwrap()).abs() < 1e-15);
        assert_eq!(log_sub(0.0, 1.0), None);
        assert_eq!(log_sub(2.0, 2.0), Some(f64::NEG_INFINITY));
    }
}

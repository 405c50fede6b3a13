//! Composition where the answer has a closed form: steps that take every unit are one Gaussian with less noise.

use proptest::prelude::*;
use trainyard_privacy::prv::PrvAccountant;
use trainyard_privacy::rdp::RdpAccountant;
use trainyard_privacy::{Phase, PrivacyError};

/// Delta of a Gaussian mechanism with this noise multiplier at `epsilon`. Balle and Wang, "Improving the Gaussian Mechanism for
/// Differential Privacy", 2018, theorem 8.
fn gaussian_delta(noise: f64, epsilon: f64) -> f64 {
    let cdf = |x: f64| 0.5 * libm::erfc(-x / std::f64::consts::SQRT_2);
    cdf(0.5 / noise - epsilon * noise) - epsilon.exp() * cdf(-0.5 / noise - epsilon * noise)
}

#[test]
fn composition_of_gaussians_is_exact_down_to_the_smallest_delta() {
    let mut prv = PrvAccountant::default();
    for (noise, steps) in [(5.0, 10), (1.0, 1), (40.0, 5000), (20.0, 100)] {
        let total = noise / f64::sqrt(f64::from(steps));
        let phase = Phase::new(noise, 1.0, u64::try_from(steps).unwrap()).unwrap();
        for delta in [1e-3, 1e-5, 1e-8, 1e-12, 1e-15] {
            let found = prv.epsilon(&[phase], delta).unwrap();
            let named = format!("noise {noise}, {steps} steps, delta {delta}: {found:?}");
            // Epsilon from delta by bisection of the closed form.
            let (mut low, mut high) = (0.0, 1000.0);
            for _ in 0..80 {
                let middle = f64::midpoint(low, high);
                if gaussian_delta(total, middle) > delta { low = middle } else { high = middle }
            }
            assert!((found.estimate - high).abs() < 1e-3, "{named}, exactly {high}");
            assert!(found.lower < high && high < found.upper, "{named}, exactly {high}");
        }
    }
}

#[test]
fn mixed_phases_of_gaussians_are_exact_too() {
    // Precisions add up: 1/3^2 * 2 + 1/6^2 * 8 + 1/12^2 * 64 = 8/9, the noise of one mechanism is the root of 9/8.
    let phases = [(3.0, 2), (6.0, 8), (12.0, 64)].map(|(n, t)| Phase::new(n, 1.0, t).unwrap());
    let found = PrvAccountant::new(0.001).unwrap().epsilon(&phases, 1e-6).unwrap();
    let delta = gaussian_delta((9.0_f64 / 8.0).sqrt(), found.estimate);
    assert!((delta / 1e-6 - 1.0).abs() < 2e-3, "{found:?}: {delta}");
    assert!(found.upper - found.lower < 0.0025, "{found:?}");
}

#[test]
fn long_runs_keep_their_precision_and_widen_their_errors() {
    let mut prv = PrvAccountant::default();
    let long = Phase::new(1.0, 0.0002, 2_000_000).unwrap();
    let found = prv.epsilon(&[long], 1e-9).unwrap();
    assert_eq!(found.points, PrvAccountant::MAX_POINTS);
    assert!(found.epsilon_error > 0.01 && found.epsilon_error < 0.1, "{found:?}");
    let rdp = RdpAccountant::default().epsilon(&[long], 1e-9).unwrap().epsilon;
    assert!(found.estimate < rdp && found.estimate > 0.8 * rdp, "{found:?}, Rényi orders {rdp}");
}

#[test]
fn nothing_spent_costs_nothing_and_bad_input_is_named() {
    let mut prv = PrvAccountant::default();
    let none = Phase::new(1.0, 0.1, 0).unwrap();
    assert_eq!(prv.epsilon(&[none], 1e-5).unwrap().upper, 0.0);
    assert_eq!(prv.epsilon(&[], 1e-5).unwrap().upper, 0.0);
    assert_eq!(RdpAccountant::default().epsilon(&[none], 1e-5).unwrap().epsilon, 0.0);
    let refused = prv.epsilon(&[none], 0.0).unwrap_err();
    assert!(matches!(refused, PrivacyError::OutOfRange { field: "delta", .. }), "{refused}");
    assert!(PrvAccountant::new(0.0).is_err());
}

#[test]
fn tiny_noise_is_answered_by_orders_at_least() {
    let mut rdp = RdpAccountant::default();
    for phase in [Phase::new(0.01, 1.0, 1_000_000), Phase::new(0.01, 0.5, 10)] {
        let found = rdp.epsilon(&[phase.unwrap()], 1e-5).unwrap();
        assert!(found.epsilon > 1000.0, "{found:?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]

    /// Realistic settings of any kind: the bounds stand in order, under Rényi's, and rise with the steps.
    #[test]
    fn bounds_stand_in_order(
        noise in 0.5..20.0_f64,
        log_rate in -4.0..0.0_f64,
        log_steps in 0.0..4.0_f64,
        log_delta in -10.0..-3.0_f64,
        second in proptest::option::of((0.6..4.0_f64, 1..200_u64)),
    ) {
        let steps = 10_f64.powf(log_steps) as u64;
        let rate = 10_f64.powf(log_rate);
        let delta = 10_f64.powf(log_delta);
        let phases = |times: u64| {
            let first = Phase::new(noise, rate, steps * times).unwrap();
            let second = second.map(|(noise, steps)| Phase::new(noise, 0.03, steps).unwrap());
            std::iter::once(first).chain(second).collect::<Vec<_>>()
        };
        let mut prv = PrvAccountant::new(0.05).unwrap();
        let found = prv.epsilon(&phases(1), delta).unwrap();
        let rdp = RdpAccountant::default().epsilon(&phases(1), delta).unwrap().epsilon;
        prop_assert!(found.lower <= found.estimate && found.estimate < found.upper, "{found:?}");
        prop_assert!(found.lower <= rdp, "{found:?} Rényi {rdp}");
        let more = prv.epsilon(&phases(2), delta).unwrap();
        prop_assert!(more.upper > found.lower, "{found:?} {more:?}");
    }
}

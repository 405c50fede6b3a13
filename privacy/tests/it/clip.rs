//! Clipping's formulas and units.

use proptest::prelude::*;
use serde_json::json;
use trainyard_privacy::clip::{Adaptive, Clipping, automatic_factor, flat_factor};
use trainyard_privacy::random::SecureRandom;
use trainyard_privacy::unit::{Population, PrivacyUnit};
use trainyard_privacy::{Accountant, Accounting, Budget, Phase};

fn adaptive() -> Adaptive {
    serde_json::from_value(json!({"initial_norm": 1.0, "count_noise": 5.0})).unwrap()
}

#[test]
fn modes_read_and_name_what_is_wrong() {
    for (mode, sensitivity) in [
        (json!({"type": "flat", "max_norm": 0.7}), Some(0.7)),
        (json!({"type": "per_layer", "max_norms": [3.0, 4.0]}), Some(5.0)),
        (json!({"type": "automatic"}), Some(1.0)),
        (json!({"type": "adaptive", "initial_norm": 1.0, "count_noise": 10.0}), None),
    ] {
        let clipping: Clipping = serde_json::from_value(mode).unwrap();
        clipping.check().unwrap();
        assert_eq!(clipping.sensitivity(), sensitivity);
        let again = serde_json::to_value(&clipping).unwrap();
        assert_eq!(serde_json::from_value::<Clipping>(again).unwrap(), clipping);
    }
    for (mode, field) in [
        (json!({"type": "flat", "max_norm": 0.0}), "max_norm"),
        (json!({"type": "per_layer", "max_norms": []}), "max_norms"),
        (json!({"type": "automatic", "stability": 0.0}), "stability"),
        (json!({"type": "adaptive", "initial_norm": 1.0, "count_noise": 0.0}), "count_noise"),
        (json!({"type": "adaptive", "initial_norm": 1e9, "count_noise": 1.0}), "initial_norm"),
    ] {
        let refused = serde_json::from_value::<Clipping>(mode).unwrap().check().unwrap_err();
        assert!(refused.to_string().starts_with(field), "{refused}");
    }
    assert!(serde_json::from_value::<Clipping>(json!({"type": "flat", "max": 1.0})).is_err());
}

proptest! {
    #[test]
    fn no_unit_moves_the_sum_further_than_the_sensitivity(
        norm in prop_oneof![0.0..1e-3_f64, 0.0..10.0_f64, 1.0..1e30_f64, Just(f64::INFINITY), Just(f64::NAN)],
        limit in 1e-3..100.0_f64,
    ) {
        let moved = |factor: f64| if factor == 0.0 { 0.0 } else { factor * norm };
        // But for the rounding of one division and one product.
        prop_assert!(moved(flat_factor(norm, limit)) <= limit * (1.0 + 2.0 * f64::EPSILON));
        prop_assert!(moved(automatic_factor(norm, 0.01)) <= 1.0);
        prop_assert!(flat_factor(norm, limit) <= 1.0);
    }
}

#[test]
fn the_count_s_noise_is_paid_by_the_gradients() {
    let settings = adaptive();
    // The value of Opacus' formula: (2^-2 - 10^-2)^(-1/2).
    let gradients = settings.gradient_noise_multiplier(2.0).unwrap();
    assert!((gradients - 2.041_241_452_319_315).abs() < 1e-12);
    // Both releases in one step of the plain Gaussian cost what the accounted multiplier does alone: their precisions add up.
    let mut accountant = Accountant::default();
    let mut epsilon = |noises: &[f64]| {
        let phases: Vec<Phase> =
            noises.iter().map(|noise| Phase::new(*noise, 1.0, 1).unwrap()).collect();
        accountant.epsilon(Accounting::Rdp, &phases, 1e-6).unwrap()
    };
    let together = epsilon(&[gradients, 2.0 * settings.count_noise]);
    assert!((together - epsilon(&[2.0])).abs() < 1e-9);
    let refused = settings.gradient_noise_multiplier(10.0).unwrap_err().to_string();
    assert!(refused.starts_with("count_noise must be above half"), "{refused}");
}

#[test]
fn the_limit_finds_the_quantile() {
    let mut random = SecureRandom::from_system().unwrap();
    // Norms uniform between 0 and 8: the quantile 0.75 lies at 6.
    let settings = Adaptive { quantile: 0.75, ..adaptive() };
    let mut state = settings.start();
    let (mut sum, mut count) = (0.0, 0.0);
    for step in 0..600 {
        let drawn = random.poisson_sample(0.05, 4000).unwrap();
        let below = drawn.iter().filter(|unit| **unit as f64 / 500.0 <= state.norm).count();
        let noise = random.noise(settings.count_noise).unwrap();
        state = settings.next(state, below, drawn.len(), 200.0, noise);
        if step >= 200 {
            (sum, count) = (sum + state.norm, count + 1.0);
        }
    }
    // The mean over 400 steps strays by about 0.03: 0.5 is beyond any chance.
    assert!((sum / count - 6.0).abs() < 0.5, "{}", sum / count);
    // Noise alone, from an empty batch, is a step too; the limits hold.
    assert_eq!(settings.next(state, 0, 0, 200.0, 1e9).norm, settings.min_norm);
    assert_eq!(settings.next(state, 0, 0, 200.0, -1e9).norm, settings.max_norm);
}

#[test]
fn units_set_rate_and_delta() {
    let users = PrivacyUnit::User { examples_per_user: 8 };
    let population = Population::new(users, 1000).unwrap();
    assert_eq!(population.sampling_rate(50.0).unwrap(), 0.05);
    assert!(population.sampling_rate(1001.0).is_err());
    assert!((population.default_delta() - 1000_f64.powf(-1.1)).abs() < 1e-18);
    population.check_delta(population.default_delta()).unwrap();
    let refused = population.check_delta(0.002).unwrap_err().to_string();
    assert!(refused.contains("1 divided by the number of units"), "{refused}");
    assert!(Population::new(PrivacyUnit::User { examples_per_user: 0 }, 1000).is_err());
    assert!(Population::new(PrivacyUnit::Example, 3).is_err());
    let wire = serde_json::to_value(population).unwrap();
    assert_eq!(wire, json!({"unit": {"type": "user", "examples_per_user": 8}, "units": 1000}));

    let guarantee = Budget::new(1.0, 1e-6).unwrap();
    assert_eq!(Population::group(&guarantee, 1), Some((1.0, 1e-6)));
    let (epsilon, delta) = Population::group(&guarantee, 3).unwrap();
    let e = std::f64::consts::E;
    assert!((epsilon - 3.0).abs() < 1e-12 && (delta - 1e-6 * (1.0 + e + e * e)).abs() < 1e-15);
    assert_eq!(Population::group(&guarantee, 40), None);
}

//! The audit's bound against scipy (`golden/gen/audit.py`), and on mechanisms whose epsilon is known.

use serde::Deserialize;
use trainyard_privacy::audit::Guesses;
use trainyard_privacy::random::SecureRandom;
use trainyard_privacy::{Accountant, Accounting, Phase};

#[derive(Deserialize)]
struct Row {
    canaries: u32,
    guessed: u32,
    correct: u32,
    delta: f64,
    confidence: f64,
    p_value_at_1: f64,
    epsilon: f64,
}

#[test]
fn the_bound_is_that_of_the_theorem() {
    let rows: Vec<Row> = serde_json::from_str(include_str!("../golden/audit.json")).unwrap();
    for Row { canaries, guessed, correct, delta, confidence, p_value_at_1, epsilon } in rows {
        let guesses = Guesses { canaries, guessed, correct };
        let bound = guesses.epsilon_lower_bound(delta, confidence).unwrap();
        assert!((bound - epsilon).abs() < 1e-6, "{guesses:?}: {bound}, scipy {epsilon}");
        let p_value = guesses.p_value(1.0, delta).unwrap();
        assert!((p_value - p_value_at_1).abs() < 1e-9, "{guesses:?}: {p_value} {p_value_at_1}");
    }
}

/// Guesses against a Gaussian mechanism that adds its noise to each canary's own count: 1 where it is in, 0 where it is out.
fn attack(noise: f64, canaries: usize, guesses: u32) -> Guesses {
    let mut random = SecureRandom::from_system().unwrap();
    let inside = random.poisson_sample(0.5, canaries).unwrap();
    let mut scores = vec![(0.0, false); canaries];
    inside.iter().for_each(|canary| scores[*canary] = (1.0, true));
    for (score, _) in &mut scores {
        *score += random.noise(noise).unwrap();
    }
    Guesses::from_scores(&scores, guesses, guesses).unwrap()
}

#[test]
fn honest_noise_passes_and_missing_noise_is_found() {
    let delta = 1e-5;
    let step = Phase::new(1.0, 1.0, 1).unwrap();
    let accounted = Accountant::default().epsilon(Accounting::Prv, &[step], delta).unwrap();
    // With confidence 1 - 1e-9 a false alarm has at most that chance.
    let honest = attack(1.0, 4000, 100).epsilon_lower_bound(delta, 1.0 - 1e-9).unwrap();
    assert!(honest <= accounted, "{honest} above {accounted}");
    // A tenth of the noise that was accounted: the best 200 guesses are right but for a chance far below 1e-9.
    let broken = attack(0.1, 4000, 100).epsilon_lower_bound(delta, 0.95).unwrap();
    assert!(broken > 0.8 * accounted, "{broken} beside {accounted}");
    let broken = attack(0.1, 40_000, 5000).epsilon_lower_bound(1e-7, 0.95).unwrap();
    assert!(broken > accounted, "{broken} beside {accounted}");
}

#[test]
fn counts_that_contradict_each_other_are_refused() {
    for (canaries, guessed, correct, field) in
        [(0, 0, 0, "canaries"), (10, 11, 5, "guessed"), (10, 5, 6, "correct")]
    {
        let refused = Guesses { canaries, guessed, correct }.p_value(1.0, 0.0).unwrap_err();
        assert!(refused.to_string().starts_with(field), "{refused}");
    }
    assert!(Guesses::from_scores(&[(f64::NAN, true)], 1, 0).is_err());
    assert!(Guesses::from_scores(&[(1.0, true)], 1, 1).is_err());
    let none = Guesses { canaries: 10, guessed: 0, correct: 0 };
    assert_eq!(none.epsilon_lower_bound(1e-5, 0.95).unwrap(), 0.0);
}

//! The search for noise against Opacus' (`golden/gen/noise.py`), its promise, and what fits into a budget.

use serde::Deserialize;
use trainyard_privacy::rdp::{Orders, RdpAccountant};
use trainyard_privacy::{Accountant, Accounting, Budget, Phase, PrivacyError};

#[derive(Deserialize)]
struct Row {
    accountant: Accounting,
    epsilon: f64,
    delta: f64,
    sampling_rate: f64,
    steps: u64,
    noise_multiplier: f64,
}

#[test]
fn noise_equals_opacus() {
    let rows: Vec<Row> = serde_json::from_str(include_str!("../golden/noise.json")).unwrap();
    assert!(rows.len() >= 30);
    for row in rows {
        let mut accountant = Accountant::default();
        if row.accountant == Accounting::Rdp {
            accountant.rdp = RdpAccountant::new(Orders::opacus());
        }
        let target = Budget::new(row.epsilon, row.delta).unwrap();
        let found = accountant
            .noise_multiplier(row.accountant, &target, &[], row.sampling_rate, row.steps)
            .unwrap();
        let difference = (found.noise_multiplier - row.noise_multiplier).abs();
        let named = format!("{:?} {} {}", row.accountant, row.epsilon, row.sampling_rate);
        assert!(difference < 0.01, "{named}: {found:?}, opacus {}", row.noise_multiplier);
        // Enough, and the smallest that is.
        assert!(found.epsilon <= row.epsilon, "{named}");
        let less = Phase::new(found.noise_multiplier * 0.9998, row.sampling_rate, row.steps);
        let with_less = accountant.epsilon(row.accountant, &[less.unwrap()], row.delta).unwrap();
        assert!(with_less > row.epsilon, "{named}: {with_less} with less noise");
    }
}

#[test]
fn what_was_spent_calls_for_more_noise_or_none_helps() {
    let mut accountant = Accountant::default();
    let target = Budget::new(3.0, 1e-6).unwrap();
    let mut noise =
        |spent: &[Phase]| accountant.noise_multiplier(Accounting::Prv, &target, spent, 0.01, 500);
    let fresh = noise(&[]).unwrap();
    let spent = Phase::new(1.2, 0.01, 1000).unwrap();
    let second = noise(&[spent]).unwrap();
    assert!(second.noise_multiplier > fresh.noise_multiplier * 1.03, "{fresh:?} {second:?}");
    let too_much = Phase::new(0.5, 0.1, 1000).unwrap();
    let refused = noise(&[too_much]).unwrap_err();
    assert!(matches!(refused, PrivacyError::Unreachable { target: 3.0, .. }), "{refused}");
}

#[test]
fn steps_that_fit_are_the_most_that_fit() {
    let mut accountant = Accountant::default();
    let budget = Budget::new(2.0, 1e-5).unwrap();
    let next = Phase::new(1.0, 0.01, 1).unwrap();
    for spent in [vec![], vec![Phase::new(2.0, 0.02, 300).unwrap()]] {
        let mut counts = vec![];
        for accounting in [Accounting::Rdp, Accounting::Prv] {
            let steps = accountant.steps_within(accounting, &spent, &next, &budget).unwrap();
            let mut fits = |steps| {
                let phases: Vec<Phase> =
                    spent.iter().copied().chain([next.with_steps(steps)]).collect();
                accountant.fits(accounting, &phases, &budget).unwrap()
            };
            assert!(fits(steps), "{accounting:?}: {steps}");
            assert!(!fits(steps + 1 + steps / 900), "{accounting:?}: {steps} is not the most");
            counts.push(steps);
        }
        assert!(counts[1] > counts[0], "composition is tighter: {counts:?}");
    }
}

#[test]
fn a_forecast_rises_to_the_plan_s_cost() {
    let mut accountant = Accountant::default();
    let planned = Phase::new(1.0, 0.01, 1000).unwrap();
    let curve = accountant.forecast(&[], &planned, 1e-5, 7).unwrap();
    assert!(curve.windows(2).all(|pair| pair[0].epsilon < pair[1].epsilon), "{curve:?}");
    let last = curve.last().unwrap();
    assert_eq!(last.steps, 1000);
    assert!((last.epsilon - 2.101_365).abs() < 1e-3, "{last:?}");
}

#[test]
fn values_out_of_range_are_named() {
    for (found, field) in [
        (Phase::new(0.0, 0.1, 1).unwrap_err(), "noise_multiplier"),
        (Phase::new(f64::NAN, 0.1, 1).unwrap_err(), "noise_multiplier"),
        (Phase::new(1.0, 0.0, 1).unwrap_err(), "sampling_rate"),
        (Phase::new(1.0, 1.01, 1).unwrap_err(), "sampling_rate"),
        (Phase::new(1.0, 0.5, u64::MAX).unwrap_err(), "steps"),
        (Budget::new(-1.0, 1e-5).unwrap_err(), "epsilon"),
        (Budget::new(1.0, 0.5).unwrap_err(), "delta"),
    ] {
        assert!(found.to_string().starts_with(field), "{found}");
    }
    let phase = r#"{"mechanism":"gaussian","noise_multiplier":1.0,"sampling_rate":0.5,"steps":3}"#;
    assert!(serde_json::from_str::<Phase>(phase).is_err(), "a mechanism that is not the rate's");
}

//! The gate: just at the limit, beyond it, and on the held-out set.

use trainyard_continual::gate::{Fall, Gate, Place, Verdict};
use trainyard_continual::matrix::{ForgettingMatrix, Metric, Scores};

use crate::{assert_refused, example, names};

/// Losses with a held-out column: stage a was trained to 1.0, then b, by which a rose to 1.25.
fn losses() -> ForgettingMatrix {
    let base = Scores { stages: vec![2.0, 3.0, 4.0], held_out: Some(2.5) };
    let mut matrix = ForgettingMatrix::new(Metric::loss(), names(3), base).unwrap();
    matrix.keep(0, Scores { stages: vec![1.0, 2.75, 4.0], held_out: Some(2.75) }).unwrap();
    matrix.keep(1, Scores { stages: vec![1.25, 1.5, 4.0], held_out: Some(3.0) }).unwrap();
    matrix
}

/// The last stage was never trained: whatever its loss, no gate may mind.
fn seen(a: f64, b: f64, held_out: f64) -> Scores {
    Scores { stages: vec![a, b, 99.0], held_out: Some(held_out) }
}

#[test]
fn a_loss_may_rise_by_the_limit_and_no_more() {
    let gate = Gate::new(0.5, None).unwrap();
    // Halves and quarters are exact: 1.5 is just 0.5 above the best, 1.0, which is not the last.
    let verdict = gate.judge(&losses(), &seen(1.5, 1.5, 9.0)).unwrap();
    assert!(verdict.keeps());
    let Verdict::Keep { closest: Some(closest) } = &verdict else { panic!("{verdict}") };
    assert_eq!((closest.best, closest.seen, closest.fall, closest.limit), (1.0, 1.5, 0.5, 0.5));
    let verdict = gate.judge(&losses(), &seen(1.5 + f64::EPSILON, 1.0, 9.0)).unwrap();
    assert!(!verdict.keeps());
}

#[test]
fn a_rejection_names_stage_limit_and_value() {
    let gate = Gate::new(0.1, Some(0.25)).unwrap();
    let verdict = gate.judge(&losses(), &seen(1.5, 1.75, 3.0)).unwrap();
    let Verdict::Reject { falls } = &verdict else { panic!("{verdict}") };
    let places: Vec<&Place> = falls.iter().map(|fall| &fall.place).collect();
    let stage = |stage: usize| Place::Stage { stage, name: names(2)[stage].clone() };
    assert_eq!(places, [&stage(0), &stage(1), &Place::HeldOut]);
    // The best on the held-out set is the base model's.
    let held_out = &falls[2];
    assert_eq!(
        (held_out.best, held_out.seen, held_out.fall, held_out.limit),
        (2.5, 3.0, 0.5, 0.25)
    );
    assert_eq!(
        verdict.to_string(),
        "rejected: loss on stage 'a' is 1.5, 0.500000 worse than the best before, 1; max_forgetting allows 0.1; \
         loss on stage 'b' is 1.75, 0.250000 worse than the best before, 1.5; max_forgetting allows 0.1; \
         loss on the held-out set is 3, 0.500000 worse than the best before, 2.5; max_held_out_fall allows 0.25"
    );
    let stored = serde_json::to_string(&verdict).unwrap();
    assert_eq!(serde_json::from_str::<Verdict>(&stored).unwrap(), verdict);
}

#[test]
fn scores_fall_where_losses_rise() {
    let mut matrix = example();
    let complete = Gate::new(0.2, None).unwrap().judge(&matrix, &Scores::of_stages(vec![0.5; 3]));
    assert_refused(complete, &["stage", "below the 3 stages", "got 3"]);
    matrix = {
        let rows: Vec<Vec<f64>> = matrix.turned()[..1].to_vec();
        crate::matrix_of(matrix.metric().direction(), &[0.1; 3], &rows)
    };
    let gate = Gate::new(0.25, None).unwrap();
    let judge =
        |scores: [f64; 3]| gate.judge(&matrix, &Scores::of_stages(scores.to_vec())).unwrap();
    // Only stages trained before count: b may be anything.
    assert!(judge([0.7, 0.0, 0.0]).keeps());
    assert!(!judge([0.6, 1.0, 1.0]).keeps());
    let better = judge([0.95, 0.5, 0.5]);
    assert_eq!(
        better.to_string(),
        "kept: score on stage 'a' is 0.95, 0.050000 better than the best before, 0.9; max_forgetting allows 0.25"
    );
}

#[test]
fn the_first_stage_has_nothing_to_forget_but_the_held_out_set() {
    let base = Scores { stages: vec![2.0; 2], held_out: Some(2.0) };
    let matrix = ForgettingMatrix::new(Metric::loss(), names(2), base).unwrap();
    let scores = Scores { stages: vec![9.0; 2], held_out: Some(3.0) };
    let verdict = Gate::new(0.0, None).unwrap().judge(&matrix, &scores).unwrap();
    assert_eq!(verdict, Verdict::Keep { closest: None });
    assert_eq!(verdict.to_string(), "kept: there was nothing before to forget");
    let verdict = Gate::new(0.0, Some(0.5)).unwrap().judge(&matrix, &scores).unwrap();
    let Verdict::Reject { falls } = verdict else { panic!("{verdict}") };
    let [Fall { place, fall, .. }] = falls.as_slice() else { panic!("{falls:?}") };
    assert_eq!((place, *fall), (&Place::HeldOut, 1.0));
}

#[test]
fn limits_are_checked() {
    assert_refused(Gate::new(-0.1, None), &["max_forgetting", "at least 0", "got -0.1"]);
    assert_refused(Gate::new(f64::NAN, None), &["max_forgetting", "finite", "got NaN"]);
    assert_refused(Gate::new(0.0, Some(-1.0)), &["max_held_out_fall", "at least 0", "got -1"]);
    let gate = Gate::new(0.1, Some(0.5)).unwrap();
    let row = Scores::of_stages(vec![0.5; 2]);
    let matrix =
        crate::matrix_of(trainyard_continual::matrix::Direction::HigherIsBetter, &[0.1; 2], &[]);
    assert_refused(
        gate.judge(&matrix, &row),
        &["max_held_out_fall", "without a held-out column", "got 0.5"],
    );
    let short = Scores::of_stages(vec![0.5]);
    assert_refused(gate.judge(&matrix, &short), &["scores", "2 values", "got 1"]);
    let stored = serde_json::to_string(&gate).unwrap();
    assert_eq!(serde_json::from_str::<Gate>(&stored).unwrap(), gate);
    for bad in [
        r#"{"max_forgetting":-1.0,"max_held_out_fall":null}"#,
        r#"{"max_forgetting":0.0,"more":1}"#,
    ] {
        assert!(serde_json::from_str::<Gate>(bad).is_err(), "{bad}");
    }
}

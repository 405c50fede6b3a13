//! The measures against the reference's example, against Avalanche (`golden/gen/metrics.py`), and where they are not defined.

use proptest::prelude::*;
use serde::Deserialize;
use trainyard_continual::matrix::Direction;
use trainyard_continual::metrics::{
    Summary, avalanche, average_score, backward_transfer, forgetting, forgetting_of_stages,
    forward_transfer, intransigence,
};

use crate::{assert_refused, example, matrix_of};

const TOLERANCE: f64 = 1e-12;

fn close(found: Option<f64>, expected: Option<f64>, what: &str) {
    match (found, expected) {
        (Some(found), Some(expected)) => {
            assert!((found - expected).abs() < TOLERANCE, "{what}: {found}, expected {expected}");
        }
        (found, expected) => assert_eq!(found, expected, "{what}"),
    }
}

#[test]
fn the_example_of_the_reference() {
    let matrix = example();
    close(average_score(&matrix), Some(2.35 / 3.0), "ACC");
    close(backward_transfer(&matrix), Some(-0.175), "BWT");
    close(forward_transfer(&matrix), Some(0.075), "FWT");
    close(forgetting(&matrix), Some(0.175), "F");
    let of_stages = forgetting_of_stages(&matrix);
    close(Some(of_stages[0]), Some(0.3), "F of the first stage");
    close(Some(of_stages[1]), Some(0.05), "F of the second stage");
    let joint = intransigence(&matrix, &[0.95, 0.9, 0.9]).unwrap();
    close(joint, Some((0.05 + 0.05 - 0.05) / 3.0), "I");
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Golden {
    base: Vec<f64>,
    rows: Vec<Vec<f64>>,
    avalanche: Vec<Reported>,
    forgetting_max: Vec<Option<f64>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Reported {
    acc: Option<f64>,
    bwt: Option<f64>,
    fwt: Option<f64>,
    forgetting: Option<f64>,
}

#[test]
fn after_every_stage_the_measures_are_those_that_avalanche_reports() {
    let golden: Vec<Golden> = serde_json::from_str(include_str!("../golden/metrics.json")).unwrap();
    assert!(golden.len() >= 50 && golden.iter().all(|case| case.rows.len() == case.base.len()));
    let mut compared = 0;
    for Golden { base, rows, avalanche: reported, forgetting_max } in golden {
        let stages = rows.len();
        for (trained, (Reported { acc, bwt, fwt, forgetting: first }, best)) in
            (1..=stages).zip(reported.into_iter().zip(forgetting_max))
        {
            let matrix = matrix_of(Direction::HigherIsBetter, &base, &rows[..trained]);
            close(average_score(&matrix), acc, "acc");
            close(backward_transfer(&matrix), bwt, "bwt");
            close(avalanche::backward_transfer(&matrix), bwt, "Avalanche's bwt");
            close(avalanche::forgetting(&matrix), first, "Avalanche's forgetting");
            close(avalanche::forward_transfer(&matrix), fwt, "Avalanche's fwt");
            close(forgetting(&matrix), best, "forgetting");
            if trained == stages {
                close(forward_transfer(&matrix), fwt, "fwt, after the last stage the same");
            }
            compared += 1;
        }
    }
    assert_eq!(compared, 10 * (2..=8).sum::<usize>());
}

#[test]
fn too_few_rows_define_nothing() {
    let none = Summary::of(&matrix_of(Direction::HigherIsBetter, &[0.1; 3], &[]));
    let nothing = Summary {
        average_score: None,
        backward_transfer: None,
        forward_transfer: None,
        forgetting: None,
        avalanche_forgetting: None,
        avalanche_backward_transfer: None,
        avalanche_forward_transfer: None,
    };
    assert_eq!(none, nothing);
    let single = matrix_of(Direction::HigherIsBetter, &[0.1], &[vec![0.5]]);
    assert_eq!(Summary::of(&single), Summary { average_score: Some(0.5), ..nothing });
    assert!(forgetting_of_stages(&single).is_empty());
    assert_eq!(intransigence(&single, &[0.75]).unwrap(), Some(0.25));
    let losses = matrix_of(Direction::LowerIsBetter, &[3.0], &[vec![2.0]]);
    assert_eq!(intransigence(&losses, &[1.75]).unwrap(), Some(0.25), "a joint run has less loss");
    let untrained = matrix_of(Direction::HigherIsBetter, &[0.1], &[]);
    assert_eq!(intransigence(&untrained, &[0.75]).unwrap(), None);
    assert_refused(intransigence(&single, &[]), &["joint", "1 values", "got 0"]);
    assert_refused(intransigence(&single, &[f64::NAN]), &["joint[0]", "got NaN"]);
}

#[test]
fn a_rejected_stage_forgets_nothing() {
    let rows = [vec![0.9, 0.2, 0.1]];
    let mut matrix = matrix_of(Direction::HigherIsBetter, &[0.1; 3], &rows);
    matrix.reject(1).unwrap();
    assert_eq!(forgetting(&matrix), Some(0.0));
    assert_eq!(average_score(&matrix), Some((0.9 + 0.2) / 2.0));
}

#[test]
fn a_summary_is_stored_and_read_back() {
    let summary = Summary::of(&example());
    let stored = serde_json::to_string(&summary).unwrap();
    assert_eq!(serde_json::from_str::<Summary>(&stored).unwrap(), summary);
    assert!(serde_json::from_str::<Summary>(&stored.replace("forgetting\":", "other\":")).is_err());
}

proptest! {
    /// Losses are scores with the sign turned: no measure but the sign of what went in tells them apart.
    #[test]
    fn losses_are_negated_scores(values in proptest::collection::vec(0.0..9.0, 2..8_usize)
        .prop_flat_map(|base| {
            let count = base.len();
            let row = proptest::collection::vec(0.0..9.0, count);
            (Just(base), proptest::collection::vec(row, 0..=count))
        }))
    {
        let (base, rows) = values;
        let losses = matrix_of(Direction::LowerIsBetter, &base, &rows);
        let negated = |row: &Vec<f64>| row.iter().map(|value| -value).collect::<Vec<f64>>();
        let rows: Vec<Vec<f64>> = rows.iter().map(negated).collect();
        let scores = matrix_of(Direction::HigherIsBetter, &negated(&base), &rows);
        prop_assert_eq!(Summary::of(&losses), Summary::of(&scores));
        // The best before is at least the first: forgetting is at least what backward transfer says.
        if let (Some(best), Some(first)) = (forgetting(&losses), avalanche::forgetting(&losses)) {
            prop_assert!(best >= first - 1e-12);
        }
    }
}

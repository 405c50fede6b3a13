//! How a matrix is built and stored, and what it refuses.

use trainyard_continual::matrix::{Direction, ForgettingMatrix, Metric, Outcome, Scores};
use trainyard_continual::{ContinualError, StageName};

use crate::{assert_refused, example, names};

fn with_held_out() -> ForgettingMatrix {
    let base = Scores { stages: vec![2.0, 3.0, 4.0], held_out: Some(2.5) };
    ForgettingMatrix::new(Metric::loss(), names(3), base).unwrap()
}

fn row(stages: [f64; 3], held_out: f64) -> Scores {
    Scores { stages: stages.to_vec(), held_out: Some(held_out) }
}

#[test]
fn rows_are_added_as_stages_end_and_a_rejected_one_repeats_the_row_before() {
    let mut matrix = with_held_out();
    matrix.reject(0).unwrap();
    assert_eq!(matrix.latest(), matrix.base(), "nothing was kept yet: the base model is in force");
    matrix.keep(1, row([1.5, 1.0, 3.5], 2.6)).unwrap();
    matrix.reject(2).unwrap();
    let outcomes: Vec<Outcome> = matrix.rows().iter().map(|row| row.outcome()).collect();
    assert_eq!(outcomes, [Outcome::Rejected, Outcome::Kept, Outcome::Rejected]);
    assert_eq!(matrix.rows()[2].scores(), matrix.rows()[1].scores());
    assert_eq!(matrix.turned()[1], [-1.5, -1.0, -3.5]);
    assert_eq!(matrix.turned_base(), [-2.0, -3.0, -4.0]);
    assert_eq!(example().turned()[0], [0.9, 0.2, 0.1]);
}

#[test]
fn a_stored_matrix_comes_back_bit_for_bit() {
    let mut matrix = with_held_out();
    matrix.keep(0, row([0.1 + 0.2, f64::MIN_POSITIVE, 1.0 / 3.0], -0.0)).unwrap();
    matrix.reject(1).unwrap();
    let stored = serde_json::to_string(&matrix).unwrap();
    let again: ForgettingMatrix = serde_json::from_str(&stored).unwrap();
    assert_eq!(again, matrix);
    assert_eq!(serde_json::to_string(&again).unwrap(), stored);
    let (mut again, mut unbroken) = (again, matrix);
    again.keep(2, row([1.0; 3], 1.0)).unwrap();
    unbroken.keep(2, row([1.0; 3], 1.0)).unwrap();
    assert_eq!(again, unbroken);
}

#[test]
fn what_does_not_fit_is_refused_and_changes_nothing() {
    let mut matrix = with_held_out();
    matrix.keep(0, row([1.0, 2.0, 3.0], 2.5)).unwrap();
    let before = matrix.clone();
    let short = Scores { stages: vec![1.0, 2.0], held_out: Some(1.0) };
    assert_refused(matrix.keep(1, short), &["scores", "3 values, one per stage", "got 2"]);
    let nan = row([1.0, f64::NAN, 3.0], 2.5);
    assert_refused(matrix.keep(1, nan), &["scores[1]", "between -1e12 and 1e12", "got NaN"]);
    let infinite = row([1.0, 1.0, f64::INFINITY], 2.5);
    assert_refused(matrix.keep(1, infinite), &["scores[2]", "got inf"]);
    let nan = row([1.0; 3], f64::NAN);
    assert_refused(matrix.keep(1, nan), &["held_out", "got NaN"]);
    let none = Scores::of_stages(vec![1.0; 3]);
    assert_refused(matrix.keep(1, none), &["held_out", "a number, as in the base row", "got none"]);
    let twice = matrix.keep(0, row([1.0; 3], 1.0)).unwrap_err();
    assert!(matches!(twice, ContinualError::StageTwice { stage: 0, rows: 1, .. }), "{twice}");
    assert_refused(matrix.reject(0), &["stage 0 ('a') was recorded before", "1 rows"]);
    assert_refused(matrix.reject(2), &["stage", "1, the next without a row", "got 2"]);
    assert_refused(matrix.reject(3), &["stage", "below the 3 stages", "got 3"]);
    assert_eq!(matrix, before);
    let held_out = Scores { stages: vec![1.0; 3], held_out: Some(7.5) };
    assert_refused(example().check(&held_out), &["held_out", "absent", "got 7.5"]);
}

#[test]
fn streams_and_names_have_limits() {
    let matrix = |names: Vec<StageName>, count| {
        ForgettingMatrix::new(Metric::loss(), names, Scores::of_stages(vec![1.0; count]))
    };
    assert_refused(matrix(vec![], 0), &["stages", "between 1 and 256", "got 0"]);
    let many: Vec<StageName> =
        (0..257).map(|n| StageName::try_from(n.to_string()).unwrap()).collect();
    assert_refused(matrix(many, 257), &["stages", "between 1 and 256", "got 257"]);
    let twice = [names(2), names(1)].concat();
    assert_refused(matrix(twice, 3), &["stages", "different names", "'a' twice"]);
    assert_refused(matrix(names(2), 3), &["scores", "2 values", "got 3"]);
    let name = |text: &str| StageName::try_from(text);
    assert_refused(name(""), &["stage name", "between 1 and 128 characters", "got 0"]);
    assert_refused(name(&"ä".repeat(129)), &["stage name", "got 129"]);
    assert!(name(&"ä".repeat(128)).is_ok());
    assert_refused(name(" a"), &["stage name", "without a space at either end", "got  a"]);
    assert_refused(name("=1+1"), &["stage name", "begun with none of = + - @", "got =1+1"]);
    assert_refused(name("a\u{1}b"), &["stage name", "control characters", "a\\u{1}b"]);
    assert_refused(name("a\u{fffe}"), &["stage name", "control characters"]);
    let metric = |name: &str| Metric::new(name, Direction::HigherIsBetter);
    assert_refused(metric(""), &["metric name", "between 1 and 64", "got 0"]);
    assert_refused(metric("Loss"), &["metric name", "lower-case letters", "got Loss"]);
}

#[test]
fn a_stored_matrix_is_checked_like_a_new_one() {
    let mut matrix = with_held_out();
    matrix.keep(0, row([1.0, 2.0, 3.0], 2.5)).unwrap();
    matrix.reject(1).unwrap();
    let stored = serde_json::to_value(&matrix).unwrap();
    let refused = |change: fn(&mut serde_json::Value), part: &str| {
        let mut changed = stored.clone();
        change(&mut changed);
        let text = serde_json::from_value::<ForgettingMatrix>(changed).unwrap_err().to_string();
        assert!(text.contains(part), "{text:?} lacks {part:?}");
    };
    refused(|m| m["more"] = 1.into(), "unknown field `more`");
    refused(|m| m["rows"][0]["more"] = 1.into(), "unknown field `more`");
    refused(|m| m["rows"][0]["scores"]["more"] = 1.into(), "unknown field `more`");
    refused(|m| m["metric"]["more"] = 1.into(), "unknown field `more`");
    refused(|m| m["rows"][0]["scores"]["stages"] = vec![1.0].into(), "3 values");
    refused(|m| m["rows"][1]["scores"]["held_out"] = 9.0.into(), "rejected stage differs");
    refused(|m| m["stages"][1] = "a".into(), "'a' twice");
    refused(|m| m["stages"][1] = "".into(), "between 1 and 128");
    refused(
        |m| {
            let extra = m["rows"][1].clone();
            m["rows"].as_array_mut().unwrap().extend([extra.clone(), extra]);
        },
        "below the 3 stages",
    );
}

//! Averages and concatenations against the sums that they stand for.

use proptest::prelude::*;
use trainyard_continual::merge::{Concatenation, Ema, Part};

use crate::assert_refused;

#[test]
fn coefficients_of_a_known_average() {
    let ema = Ema::new(0.5).unwrap();
    assert_eq!(ema.step(), (0.5, 0.5));
    assert_eq!(ema.coefficients(1).unwrap(), [1.0]);
    assert_eq!(ema.coefficients(4).unwrap(), [0.125, 0.125, 0.25, 0.5]);
    assert_eq!(Ema::new(0.0).unwrap().coefficients(3).unwrap(), [0.0, 0.0, 1.0]);
}

#[test]
fn limits_are_checked() {
    for decay in [-0.1, 1.0, f64::NAN] {
        let value = format!("got {decay}");
        assert_refused(Ema::new(decay), &["decay", "at least 0 and below 1", &value]);
    }
    let ema = Ema::new(0.9).unwrap();
    for count in [0, 1_000_001] {
        let value = format!("got {count}");
        assert_refused(ema.coefficients(count), &["count", "between 1 and 1000000", &value]);
    }
    assert_eq!(serde_json::from_str::<Ema>(r#"{"decay":0.9}"#).unwrap(), ema);
    for bad in [r#"{"decay":1.0}"#, r#"{"decay":0.9,"more":1}"#] {
        assert!(serde_json::from_str::<Ema>(bad).is_err(), "{bad}");
    }
}

fn part(rank: u32, scale: f64, weight: f64) -> Part {
    Part { rank, scale, weight }
}

#[test]
fn ranks_add_up_to_a_limit() {
    let plan = Concatenation::plan(&[part(8, 2.0, 0.5), part(16, 0.25, -1.0)], 24).unwrap();
    assert_eq!(plan.rank(), 24);
    let placed: Vec<_> = plan.parts().iter().map(|p| (p.offset, p.rank, p.factor)).collect();
    assert_eq!(placed, [(0, 8, 1.0), (8, 16, -0.25)]);
    let refused = Concatenation::plan(&[part(8, 2.0, 0.5), part(17, 0.25, 1.0)], 24);
    assert_refused(refused, &["rank", "at most 24", "got 25 of 2 adapters"]);
    let huge = [part(u32::MAX, 1.0, 1.0), part(u32::MAX, 1.0, 1.0)];
    assert_refused(Concatenation::plan(&huge, u32::MAX), &["rank", "got 8589934590 of 2"]);
}

#[test]
fn parts_are_checked() {
    let plan = |second| Concatenation::plan(&[part(8, 2.0, 0.5), second], 512);
    assert_refused(Concatenation::plan(&[], 512), &["parts", "at least 1 adapter", "got 0"]);
    assert_refused(plan(part(0, 1.0, 1.0)), &["parts[1].rank", "at least 1", "got 0"]);
    assert_refused(plan(part(8, 0.0, 1.0)), &["parts[1].scale", "above 0", "got 0"]);
    assert_refused(plan(part(8, f64::NAN, 1.0)), &["parts[1].scale", "finite", "got NaN"]);
    assert_refused(plan(part(8, 1.0, 0.0)), &["parts[1].weight", "other than 0", "got 0"]);
    assert_refused(plan(part(8, 1.0, f64::INFINITY)), &["parts[1].weight", "finite", "got inf"]);
    assert_refused(plan(part(8, 1e300, 1e300)), &["parts[1].weight", "finite product"]);
    assert_refused(plan(part(8, 1e-300, 1e-300)), &["parts[1].weight", "not rounded to 0"]);
}

/// The product of B (out, r) and A (r, in), row by row.
fn product(b: &[Vec<f64>], a: &[Vec<f64>]) -> Vec<f64> {
    let inputs = a[0].len();
    let cell = |row: &Vec<f64>, column: usize| -> f64 {
        row.iter().zip(a).map(|(left, right)| left * right[column]).sum()
    };
    b.iter().flat_map(|row| (0..inputs).map(move |column| cell(row, column))).collect()
}

proptest! {
    /// The mean kept step by step is the sum with the coefficients, which add up to 1.
    #[test]
    fn coefficients_are_those_of_the_recursion(
        decay in 0.0..0.9999, values in proptest::collection::vec(-10.0..10.0, 1..60),
    ) {
        let ema = Ema::new(decay).unwrap();
        let (kept, added) = ema.step();
        let mut mean: f64 = values[0];
        values[1..].iter().for_each(|value| mean = kept * mean + added * value);
        let weights = ema.coefficients(values.len()).unwrap();
        let sum: f64 = weights.iter().zip(&values).map(|(weight, value)| weight * value).sum();
        prop_assert!((mean - sum).abs() < 1e-11, "{} {}", mean, sum);
        prop_assert!((weights.iter().sum::<f64>() - 1.0).abs() < 1e-12);
    }

    /// The plan carried out on small matrices gives the weighted sum of the updates.
    #[test]
    fn a_concatenation_is_the_weighted_sum(
        parts in proptest::collection::vec((1_u32..4, 0.1..4.0_f64, 0.1..2.0_f64, proptest::bool::ANY), 1..5),
        numbers in proptest::collection::vec(-1.0..1.0, 64),
    ) {
        let (outputs, inputs) = (3, 2);
        let parts: Vec<Part> = parts
            .into_iter()
            .map(|(rank, scale, weight, minus)| part(rank, scale, if minus { -weight } else { weight }))
            .collect();
        let plan = Concatenation::plan(&parts, 512).unwrap();
        let mut next = numbers.iter().cycle().copied();
        let mut matrix = |rows: usize, columns: usize| -> Vec<Vec<f64>> {
            (0..rows).map(|_| next.by_ref().take(columns).collect()).collect()
        };
        let mut expected = vec![0.0; outputs * inputs];
        let mut stacked_a: Vec<Vec<f64>> = vec![];
        let mut stacked_b = vec![vec![]; outputs];
        for (part, placed) in parts.iter().zip(plan.parts()) {
            let rank = part.rank as usize;
            let (b, a) = (matrix(outputs, rank), matrix(rank, inputs));
            for (sum, cell) in expected.iter_mut().zip(product(&b, &a)) {
                *sum += part.weight * part.scale * cell;
            }
            prop_assert_eq!(placed.offset as usize, stacked_a.len());
            stacked_a.extend(a);
            for (row, own) in stacked_b.iter_mut().zip(b) {
                row.extend(own.iter().map(|value| value * placed.factor));
            }
        }
        prop_assert_eq!(plan.rank() as usize, stacked_a.len());
        for (found, expected) in product(&stacked_b, &stacked_a).into_iter().zip(expected) {
            prop_assert!((found - expected).abs() < 1e-12, "{} {}", found, expected);
        }
    }
}

//! The share of replayed examples over many steps.

use proptest::prelude::*;
use trainyard_continual::memory::Mixture;

use crate::assert_refused;

#[test]
fn over_many_steps_exactly_the_ratio_is_replayed() {
    for (ratio, batch, steps, total) in [
        (0.05, 8, 1000, 400),
        (0.1, 1, 1000, 100),
        (0.2, 32, 500, 3200),
        (0.07, 16, 100_000, 112_000),
        (0.0, 32, 100, 0),
        (0.9, 7, 1000, 6300),
    ] {
        let mut mixture = Mixture::new(ratio).unwrap();
        let replayed: u64 = (0..steps).map(|_| u64::from(mixture.replayed(batch).unwrap())).sum();
        assert_eq!(replayed, total, "{ratio} of {steps} batches of {batch}");
    }
}

#[test]
fn limits_are_checked() {
    for ratio in [-0.1, 0.91, f64::NAN] {
        let value = format!("got {ratio}");
        assert_refused(Mixture::new(ratio), &["ratio", "between 0 and 0.9", &value]);
    }
    let end = r#"{"ratio":0.5,"examples":4503599627370496}"#;
    let mut mixture: Mixture = serde_json::from_str(end).unwrap();
    assert_refused(mixture.replayed(1), &["examples", "at most 4503599627370496"]);
    assert_eq!(mixture.replayed(0).unwrap(), 0);
    for bad in [
        r#"{"ratio":0.5,"examples":4503599627370497}"#,
        r#"{"ratio":1.5,"examples":0}"#,
        r#"{"ratio":0.5,"examples":0,"more":1}"#,
    ] {
        assert!(serde_json::from_str::<Mixture>(bad).is_err(), "{bad}");
    }
}

proptest! {
    /// Whatever the batches and wherever the run was stored: never off by more than a half, and each batch within one of its part.
    #[test]
    fn the_replayed_part_never_drifts(
        ratio in 0.0..=0.9,
        batches in proptest::collection::vec(0_u32..5000, 1..200),
        resume_at in 0_usize..200,
    ) {
        let mut mixture = Mixture::new(ratio).unwrap();
        let (mut all, mut replayed) = (0.0, 0.0);
        for (step, batch) in batches.into_iter().enumerate() {
            if step == resume_at {
                mixture = serde_json::from_str(&serde_json::to_string(&mixture).unwrap()).unwrap();
            }
            let part = f64::from(mixture.replayed(batch).unwrap());
            prop_assert!(part <= f64::from(batch));
            prop_assert!((part - ratio * f64::from(batch)).abs() <= 1.0 + 1e-9);
            all += f64::from(batch);
            replayed += part;
            prop_assert!((replayed - ratio * all).abs() <= 0.5 + 1e-9, "{replayed} of {all}");
        }
    }
}

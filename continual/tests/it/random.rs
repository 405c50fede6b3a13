//! The generator: uniform below every bound, every subset and order as likely, and the same after it was stored.

use std::collections::BTreeMap;

use trainyard_continual::random::SplitMix64;

use crate::chi_square::of_equal_cells;

#[test]
fn numbers_below_a_bound_are_uniform() {
    let mut random = SplitMix64::new(1);
    for bound in [2, 3, 7, 40] {
        let mut counts = vec![0.0; bound as usize];
        for _ in 0..100_000 {
            counts[random.below(bound) as usize] += 1.0;
        }
        let statistic = of_equal_cells(&counts);
        assert!(statistic < 1.0, "bound {bound}: {statistic}");
    }
    assert_eq!((random.below(0), random.below(1)), (0, 0));
    // Of this bound every third number would come twice as often, were words that do not divide evenly not drawn again.
    let mut residues = [0.0; 3];
    for _ in 0..30_000 {
        residues[(random.below(3 << 62) % 3) as usize] += 1.0;
    }
    assert!(of_equal_cells(&residues) < 1.0, "{residues:?}");
}

#[test]
fn every_subset_and_every_order_is_as_likely() {
    let mut random = SplitMix64::new(2);
    let mut subsets: BTreeMap<Vec<u64>, f64> = BTreeMap::new();
    let mut orders: BTreeMap<Vec<usize>, f64> = BTreeMap::new();
    for _ in 0..60_000 {
        *subsets.entry(random.subset(6, 3)).or_default() += 1.0;
        *orders.entry(random.permutation(4)).or_default() += 1.0;
    }
    assert_eq!((subsets.len(), orders.len()), (20, 24));
    assert!(subsets.keys().all(|subset| subset.windows(2).all(|pair| pair[0] < pair[1])));
    let subsets: Vec<f64> = subsets.into_values().collect();
    let orders: Vec<f64> = orders.into_values().collect();
    assert!(of_equal_cells(&subsets) < 1.0 && of_equal_cells(&orders) < 1.0);
    assert_eq!(random.subset(3, 9), [0, 1, 2]);
    assert_eq!(random.subset(0, 2), Vec::<u64>::new());
}

#[test]
fn a_stored_generator_goes_on() {
    let mut random = SplitMix64::new(u64::MAX);
    for _ in 0..17 {
        random.word();
    }
    let stored = serde_json::to_string(&random).unwrap();
    assert_eq!(stored, r#"{"seed":18446744073709551615,"drawn":17}"#);
    let mut again: SplitMix64 = serde_json::from_str(&stored).unwrap();
    assert_eq!(
        (0..5).map(|_| again.word()).collect::<Vec<_>>(),
        (0..5).map(|_| random.word()).collect::<Vec<_>>()
    );
    assert!(serde_json::from_str::<SplitMix64>(r#"{"seed":1,"drawn":0,"more":0}"#).is_err());
}

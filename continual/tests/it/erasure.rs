//! Erasing a file from the memory: it is gone, it is counted, and what is remembered later is as if it had never been there.

use trainyard_continual::memory::{Forgotten, Memory, Policy};

use crate::chi_square::of_inclusions;
use crate::memory::{offer, source};

#[test]
fn nothing_of_an_erased_file_remains() {
    for policy in [Policy::Reservoir, Policy::BalancedPerStage] {
        let mut memory = Memory::new(policy, 60, 5).unwrap();
        // File 1 gave rows to both stages.
        offer(&mut memory, 0, 0, 0..200);
        offer(&mut memory, 0, 1, 0..100);
        offer(&mut memory, 1, 1, 100..250);
        offer(&mut memory, 1, 2, 0..50);
        let held = memory.examples().filter(|example| example.source == source(1)).count();
        assert!(held > 0 && memory.len() == 60);
        let forgotten = memory.forget(source(1));
        assert_eq!(forgotten, Forgotten { removed: held as u64, offered: 250 });
        assert_eq!((memory.len(), memory.offered()), (60 - held, 250));
        assert!(memory.examples().all(|example| example.source != source(1)));
        let stored = serde_json::to_string(&memory).unwrap();
        assert!(
            !stored.contains(&source(1).to_string()),
            "its hash is gone from the checkpoint too"
        );
        for _ in 0..200 {
            assert!(memory.draw(10).unwrap().iter().all(|example| example.source != source(1)));
        }
        assert_eq!(memory.forget(source(1)), Forgotten { removed: 0, offered: 0 });
        assert_eq!(memory.forget(source(9)), Forgotten { removed: 0, offered: 0 });
        // Later examples fill its places, however many there are.
        offer(&mut memory, 1, 3, 0..1000);
        assert_eq!(memory.len(), if policy == Policy::Reservoir { 60 } else { memory.len() });
        assert!(memory.len() <= 60);
    }
}

#[test]
fn a_memory_of_which_all_was_erased_is_empty_and_fills_again() {
    let mut memory = Memory::new(Policy::Reservoir, 10, 6).unwrap();
    offer(&mut memory, 0, 0, 0..100);
    assert_eq!(memory.forget(source(0)), Forgotten { removed: 10, offered: 100 });
    assert!(memory.is_empty() && memory.draw(1).is_err());
    offer(&mut memory, 1, 1, 0..100);
    assert_eq!(memory.len(), 10);
}

#[test]
fn after_an_erasure_each_example_is_still_as_likely() {
    // 30 rows of file 0 and 20 of file 1, 12 places. File 1 is erased; then 25 of file 2 come, of which the first 20 take gaps.
    let draws = 20_000;
    let (mut before, mut after) = (vec![0.0; 30], vec![0.0; 55]);
    for seed in 0..draws {
        let mut memory = Memory::new(Policy::Reservoir, 12, seed).unwrap();
        offer(&mut memory, 0, 0, 0..15);
        offer(&mut memory, 0, 1, 0..20);
        offer(&mut memory, 0, 0, 15..30);
        memory.forget(source(1));
        memory.examples().for_each(|example| before[example.row as usize] += 1.0);
        offer(&mut memory, 1, 2, 30..55);
        assert_eq!(memory.len(), 12, "all gaps are filled");
        memory.examples().for_each(|example| after[example.row as usize] += 1.0);
    }
    // The size of the sample varies from seed to seed, which makes the statistic a little smaller; the chance of an example does not.
    let statistic = of_inclusions(&before, draws as f64);
    assert!(statistic < 1.0, "before: {statistic}");
    let statistic = of_inclusions(&after, draws as f64);
    assert!(statistic < 1.0, "after: {statistic}");
}

#[test]
fn an_erasure_leaves_balanced_stages_uniform_when_they_are_lowered() {
    // Of stage 0 file 1 is erased and the gaps are not all filled when stage 1 lowers its share from 12 to 6.
    let draws = 20_000;
    let mut counts = vec![0.0; 33];
    for seed in 0..draws {
        let mut memory = Memory::new(Policy::BalancedPerStage, 12, seed).unwrap();
        offer(&mut memory, 0, 0, 0..28);
        offer(&mut memory, 0, 1, 0..12);
        memory.forget(source(1));
        offer(&mut memory, 0, 2, 28..31);
        offer(&mut memory, 1, 3, 0..1);
        let of_stage = memory.examples().filter(|example| example.stage == 0);
        of_stage.for_each(|example| counts[example.row as usize] += 1.0);
    }
    counts.truncate(31);
    let statistic = of_inclusions(&counts, draws as f64);
    assert!(statistic < 1.0, "{statistic}");
}

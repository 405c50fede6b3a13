//! The memory: each example as likely, stages in balance, and a resume that goes on exactly.

use proptest::prelude::*;
use trainyard_continual::ContinualError;
use trainyard_continual::memory::{Example, Memory, Policy, Source};

use crate::assert_refused;
use crate::chi_square::of_inclusions;

pub(crate) fn source(number: u8) -> Source {
    Source::new([number; 32])
}

pub(crate) fn example(stage: u32, file: u8, row: u64) -> Example {
    Example { stage, source: source(file), row }
}

pub(crate) fn offer(memory: &mut Memory, stage: u32, file: u8, rows: std::ops::Range<u64>) {
    for row in rows {
        memory.offer(example(stage, file, row)).unwrap();
    }
}

fn count_of(memory: &Memory, stage: u32) -> usize {
    memory.examples().filter(|example| example.stage == stage).count()
}

#[test]
fn each_example_is_as_likely_to_be_remembered() {
    // 40 items in two stages, 12 places, 20,000 seeds.
    let draws = 20_000;
    let mut counts = vec![0.0; 40];
    for seed in 0..draws {
        let mut memory = Memory::new(Policy::Reservoir, 12, seed).unwrap();
        offer(&mut memory, 0, 0, 0..25);
        offer(&mut memory, 1, 1, 25..40);
        assert_eq!((memory.len(), memory.offered()), (12, 40));
        memory.examples().for_each(|example| counts[example.row as usize] += 1.0);
    }
    let statistic = of_inclusions(&counts, draws as f64);
    assert!(statistic < 1.0, "{statistic}");
    // The same test sees an item that is remembered a tenth more often.
    counts[39] *= 1.1;
    assert!(of_inclusions(&counts, draws as f64) > 1.0, "a test that cannot fail");
}

#[test]
fn stages_are_in_balance_and_each_example_of_one_is_as_likely() {
    // Stages of 30, 10 and 20: 11 places are 4, 4 and 3. The first sample was lowered twice and the last never.
    let draws = 20_000;
    let sizes = [30, 10, 20];
    let mut counts: Vec<Vec<f64>> = sizes.iter().map(|size| vec![0.0; *size as usize]).collect();
    for seed in 0..draws {
        let mut memory = Memory::new(Policy::BalancedPerStage, 11, seed).unwrap();
        for (stage, size) in sizes.into_iter().enumerate() {
            offer(&mut memory, stage as u32, stage as u8, 0..size);
        }
        assert_eq!([0, 1, 2].map(|stage| count_of(&memory, stage)), [4, 4, 3]);
        for Example { stage, row, .. } in memory.examples() {
            counts[*stage as usize][*row as usize] += 1.0;
        }
    }
    for (stage, counts) in counts.iter().enumerate() {
        let statistic = of_inclusions(counts, draws as f64);
        assert!(statistic < 1.0, "stage {stage}: {statistic}");
    }
}

#[test]
fn a_reservoir_keeps_stages_by_their_size_and_a_balanced_one_does_not() {
    let kept = |policy| {
        let mut memory = Memory::new(policy, 100, 7).unwrap();
        offer(&mut memory, 0, 0, 0..9000);
        offer(&mut memory, 1, 1, 0..1000);
        [0, 1].map(|stage| count_of(&memory, stage))
    };
    let [long, short] = kept(Policy::Reservoir);
    // 90 expected, a hypergeometric count with a deviation of 3: five of them.
    assert!(long + short == 100 && long.abs_diff(90) <= 15, "{long} and {short}");
    assert_eq!(kept(Policy::BalancedPerStage), [50, 50]);
}

#[test]
fn draws_are_uniform_and_none_comes_twice_before_all_have_come() {
    let mut memory = Memory::new(Policy::BalancedPerStage, 20, 3).unwrap();
    offer(&mut memory, 0, 0, 0..10);
    offer(&mut memory, 4, 1, 10..20);
    let draws = 20_000;
    let mut counts = vec![0.0; 20];
    for _ in 0..draws {
        let mut drawn = memory.draw(6).unwrap();
        drawn.iter().for_each(|example| counts[example.row as usize] += 1.0);
        drawn.sort_unstable();
        drawn.dedup();
        assert_eq!(drawn.len(), 6, "no example twice");
    }
    let statistic = of_inclusions(&counts, f64::from(draws));
    assert!(statistic < 1.0, "{statistic}");
    let drawn = memory.draw(47).unwrap();
    let times = |row| drawn.iter().filter(|example| example.row == row).count();
    let times: Vec<usize> = (0..20).map(times).collect();
    assert_eq!((times.iter().sum::<usize>(), times.iter().filter(|n| **n == 3).count()), (47, 7));
    assert!(times.iter().all(|n| *n == 2 || *n == 3));
    assert_eq!(memory.draw(0).unwrap(), []);
    let mut empty = Memory::new(Policy::Reservoir, 5, 0).unwrap();
    assert_eq!(empty.draw(3).unwrap_err(), ContinualError::EmptyMemory { asked: 3 });
    assert_eq!(empty.draw(0).unwrap(), []);
}

#[test]
fn limits_are_checked() {
    for capacity in [0, 1_000_001] {
        let refused = Memory::new(Policy::Reservoir, capacity, 0);
        let value = format!("got {capacity}");
        assert_refused(refused, &["capacity", "between 1 and 1000000", &value]);
    }
    let mut memory = Memory::new(Policy::BalancedPerStage, 2, 0).unwrap();
    offer(&mut memory, 3, 0, 0..5);
    assert_refused(memory.offer(example(2, 0, 9)), &["stage", "at least 3", "got 2"]);
    assert_refused(memory.offer(example(256, 0, 9)), &["stage", "below 256", "got 256"]);
    offer(&mut memory, 5, 0, 5..7);
    let before = memory.clone();
    let refused = memory.offer(example(6, 0, 9));
    assert_refused(refused, &["capacity", "at least 3, one per stage", "got 2"]);
    assert_eq!(memory, before);
    for text in ["", "ab", &"A".repeat(64), &"g".repeat(64), &"é".repeat(32)] {
        let refused = Source::try_from(text.to_owned());
        assert_refused(refused, &["source", "64 lower-case hexadecimal digits", "got '"]);
    }
    let hash = "0123456789abcdef".repeat(4);
    assert_eq!(Source::try_from(hash.clone()).unwrap().to_string(), hash);
}

#[test]
fn a_stored_memory_is_checked() {
    let mut memory = Memory::new(Policy::BalancedPerStage, 6, 1).unwrap();
    offer(&mut memory, 0, 0, 0..10);
    offer(&mut memory, 1, 1, 0..10);
    memory.forget(source(1));
    offer(&mut memory, 1, 2, 0..3);
    let stored = serde_json::to_value(&memory).unwrap();
    assert_eq!(serde_json::from_value::<Memory>(stored.clone()).unwrap(), memory);
    let refused = |change: fn(&mut serde_json::Value), part: &str| {
        let mut changed = stored.clone();
        change(&mut changed);
        let text = serde_json::from_value::<Memory>(changed).unwrap_err().to_string();
        assert!(text.contains(part), "{text:?} lacks {part:?}");
    };
    refused(|m| m["more"] = 1.into(), "unknown field `more`");
    refused(|m| m["samples"][0]["reservoir"]["more"] = 1.into(), "unknown field `more`");
    refused(|m| m["capacity"] = 0.into(), "between 1 and 1000000");
    refused(|m| m["capacity"] = 4.into(), "has not the size");
    refused(|m| m["last_stage"] = serde_json::Value::Null, "contradict each other");
    refused(|m| m["last_stage"] = 7.into(), "one per stage");
    refused(|m| m["samples"][0]["stage"] = 1.into(), "one per stage");
    refused(|m| m["policy"] = "reservoir".into(), "a reservoir has one sample");
    refused(|m| m["samples"][0]["reservoir"]["gaps_inside"] = 1.into(), "has not the size");
    refused(|m| m["samples"][0]["reservoir"]["gaps_inside"] = u64::MAX.into(), "overflow");
    refused(|m| m["samples"][0]["reservoir"]["gaps_outside"] = u64::MAX.into(), "overflow");
    refused(
        |m| m["samples"][0]["reservoir"]["examples"][0]["stage"] = 1.into(),
        "another stage than its sample",
    );
    refused(
        |m| {
            let examples = &mut m["samples"][0]["reservoir"]["examples"];
            examples[0] = examples[1].clone();
        },
        "there twice",
    );
    refused(
        |m| m["samples"][0]["reservoir"]["examples"][0]["source"] = "ab".repeat(32).into(),
        "more examples in the memory than were offered",
    );
    refused(
        |m| m["samples"][0]["reservoir"]["examples"][0]["source"] = "ab".into(),
        "64 lower-case hexadecimal digits",
    );
}

/// What is done to a memory.
#[derive(Debug, Clone)]
enum Call {
    Offer { later: u32, file: u8, rows: u64 },
    Draw(u32),
    Forget(u8),
}

fn calls() -> impl Strategy<Value = Vec<Call>> {
    let call = prop_oneof![
        4 => (0_u32..2, 0_u8..4, 1_u64..30)
            .prop_map(|(later, file, rows)| Call::Offer { later, file, rows }),
        3 => (0_u32..20).prop_map(Call::Draw),
        1 => (0_u8..4).prop_map(Call::Forget),
    ];
    proptest::collection::vec(call, 1..30)
}

fn policy() -> impl Strategy<Value = Policy> {
    prop_oneof![Just(Policy::Reservoir), Just(Policy::BalancedPerStage)]
}

proptest! {
    /// Storing and reading it back between any two calls changes nothing of what comes after.
    #[test]
    fn a_resume_goes_on_exactly(
        policy in policy(), capacity in 1_u32..40, seed: u64, calls in calls(), resume_at in 0_usize..30,
    ) {
        let mut unbroken = Memory::new(policy, capacity, seed).unwrap();
        let mut resumed = unbroken.clone();
        let (mut stage, mut next_row) = (0, 0);
        for (place, call) in calls.into_iter().enumerate() {
            if place == resume_at {
                let stored = serde_json::to_string(&resumed).unwrap();
                resumed = serde_json::from_str(&stored).unwrap();
            }
            match call {
                Call::Offer { later, file, rows } => {
                    stage += later;
                    for row in next_row..next_row + rows {
                        let example = example(stage, file, row);
                        prop_assert_eq!(unbroken.offer(example), resumed.offer(example));
                    }
                    next_row += rows;
                }
                Call::Draw(count) => prop_assert_eq!(unbroken.draw(count), resumed.draw(count)),
                Call::Forget(file) => {
                    prop_assert_eq!(unbroken.forget(source(file)), resumed.forget(source(file)));
                }
            }
            prop_assert_eq!(&unbroken, &resumed);
            prop_assert!(unbroken.len() <= capacity as usize);
            // What its own checks refuse never comes of its own calls.
            let stored = serde_json::to_string(&unbroken).unwrap();
            prop_assert!(serde_json::from_str::<Memory>(&stored).is_ok());
        }
    }
}

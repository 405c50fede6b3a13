//! The schedule of a stream, and the orders of its stages.

use proptest::prelude::*;
use trainyard_continual::StageName;
use trainyard_continual::memory::Mixture;
use trainyard_continual::stages::{Order, Position, Schedule, Stage};

use crate::assert_refused;

fn schedule(steps: &[u64]) -> Schedule {
    let stage = |(place, steps): (usize, &u64)| {
        let name = StageName::try_from(format!("stage {place}")).unwrap();
        Stage { name, steps: *steps }
    };
    Schedule::try_from(steps.iter().enumerate().map(stage).collect::<Vec<_>>()).unwrap()
}

#[test]
fn each_step_has_its_stage() {
    let schedule = schedule(&[3, 1, 2]);
    assert_eq!(schedule.total_steps(), 6);
    let at = |step| schedule.at(step).unwrap();
    let position = |stage, step, steps| Some(Position { stage, step, steps });
    let all: Vec<_> = (0..=6).map(at).collect();
    let expected = [
        position(0, 0, 3),
        position(0, 1, 3),
        position(0, 2, 3),
        position(1, 0, 1),
        position(2, 0, 2),
        position(2, 1, 2),
        None,
    ];
    assert_eq!(all, expected);
    let ends: Vec<bool> = all.iter().flatten().map(Position::is_last).collect();
    assert_eq!(ends, [false, false, true, true, false, true]);
    let starts: Vec<bool> = all.iter().flatten().map(Position::is_first).collect();
    assert_eq!(starts, [true, false, false, true, true, false]);
    assert_eq!(
        [0, 1, 2, 3].map(|stage| schedule.first_step(stage)),
        [Some(0), Some(3), Some(4), None]
    );
    assert_eq!([0, 3, 6].map(|step| schedule.progress(step).unwrap()), [0.0, 0.5, 1.0]);
    assert_refused(schedule.at(7), &["step", "at most 6", "got 7"]);
    assert_refused(schedule.progress(7), &["step", "at most 6", "got 7"]);
}

#[test]
fn streams_have_limits() {
    let stage = |name: &str, steps| Stage { name: StageName::try_from(name).unwrap(), steps };
    let of = |stages: Vec<Stage>| Schedule::try_from(stages);
    assert_refused(of(vec![]), &["stages", "between 1 and 256", "got 0"]);
    assert_refused(of(vec![stage("a", 1), stage("a", 1)]), &["stages", "'a' twice"]);
    let limit = "between 1 and 1000000000";
    assert_refused(of(vec![stage("a", 1), stage("b", 0)]), &["steps of stage 'b'", limit, "got 0"]);
    assert_refused(of(vec![stage("a", 1_000_000_001)]), &["stage 'a'", limit, "got 1000000001"]);
    let stored = serde_json::to_string(&schedule(&[3, 1])).unwrap();
    assert_eq!(stored, r#"[{"name":"stage 0","steps":3},{"name":"stage 1","steps":1}]"#);
    assert_eq!(serde_json::from_str::<Schedule>(&stored).unwrap(), schedule(&[3, 1]));
    for bad in ["[]", r#"[{"name":"a","steps":0}]"#, r#"[{"name":"a","steps":1,"more":1}]"#] {
        assert!(serde_json::from_str::<Schedule>(bad).is_err(), "{bad}");
    }
}

#[test]
fn one_pass_over_the_data_takes_enough_steps_and_no_more() {
    assert_eq!(Stage::steps_for(100, 10, None).unwrap(), 10);
    assert_eq!(Stage::steps_for(101, 10, None).unwrap(), 11);
    // Of 10 examples 2 are replayed: 8 new ones a step.
    let fifth = Mixture::new(0.2).unwrap();
    assert_eq!(Stage::steps_for(80, 10, Some(&fifth)).unwrap(), 10);
    assert_eq!(Stage::steps_for(81, 10, Some(&fifth)).unwrap(), 11);
    assert_refused(Stage::steps_for(0, 8, None), &["new_examples", "at least 1", "got 0"]);
    assert_refused(Stage::steps_for(8, 0, None), &["batch", "at least 1", "got 0"]);
    let refused = Stage::steps_for(u64::MAX, u32::MAX, None);
    assert_refused(refused, &["new_examples", "few enough for 1000000000 steps"]);
}

#[test]
fn stages_are_ordered_by_their_difficulty() {
    let difficulty = vec![2.0, 0.0, 3.0, -0.0, 2.0];
    let order = |order: Order| order.arrange(5).unwrap();
    assert_eq!(order(Order::AsGiven), [0, 1, 2, 3, 4]);
    assert_eq!(order(Order::EasiestFirst { difficulty: difficulty.clone() }), [1, 3, 0, 4, 2]);
    assert_eq!(order(Order::HardestFirst { difficulty }), [2, 0, 4, 1, 3]);
    let shuffled = order(Order::Shuffled { seed: 4 });
    assert_eq!(shuffled, order(Order::Shuffled { seed: 4 }));
    let mut sorted = shuffled.clone();
    sorted.sort_unstable();
    assert_eq!(sorted, [0, 1, 2, 3, 4]);
    assert!((0..20).any(|seed| order(Order::Shuffled { seed }) != shuffled));
    let few = Order::EasiestFirst { difficulty: vec![1.0] }.arrange(2);
    assert_refused(few, &["difficulty", "2 values, one per stage", "got 1"]);
    let nan = Order::HardestFirst { difficulty: vec![1.0, f64::NAN] }.arrange(2);
    assert_refused(nan, &["difficulty[1]", "between -1e12 and 1e12", "got NaN"]);
    let stored = serde_json::to_string(&Order::Shuffled { seed: 4 }).unwrap();
    assert_eq!(stored, r#"{"type":"shuffled","seed":4}"#);
    assert!(serde_json::from_str::<Order>(r#"{"type":"shuffled","seed":4,"more":1}"#).is_err());
}

proptest! {
    /// Asked anew at any step, the schedule says what counting from the beginning says.
    #[test]
    fn a_resume_at_any_step_is_in_the_right_stage(steps in proptest::collection::vec(1_u64..20, 1..12)) {
        let schedule = schedule(&steps);
        let mut step = 0;
        for (stage, steps) in steps.iter().enumerate() {
            prop_assert_eq!(schedule.first_step(stage), Some(step));
            for within in 0..*steps {
                let expected = Position { stage, step: within, steps: *steps };
                prop_assert_eq!(schedule.at(step).unwrap(), Some(expected));
                step += 1;
            }
        }
        prop_assert_eq!(schedule.at(step).unwrap(), None);
        prop_assert_eq!(schedule.total_steps(), step);
    }

    /// The steps of one pass hold all new examples, and one step less does not, by the mixture's own count.
    #[test]
    fn one_pass_agrees_with_the_mixture(new in 1_u64..3000, batch in 1_u32..64, ratio in 0.0..=0.9) {
        let mixture = Mixture::new(ratio).unwrap();
        let steps = Stage::steps_for(new, batch, Some(&mixture)).unwrap();
        let mut walked = mixture;
        let (mut seen, mut before) = (0, 0);
        for _ in 0..steps {
            before = seen;
            seen += u64::from(batch - walked.replayed(batch).unwrap());
        }
        prop_assert!(before < new && new <= seen, "{} {} {}", before, new, seen);
    }
}

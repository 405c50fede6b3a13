//! A short run of the nemesis: each fault once, on a service that works meanwhile. `make nemesis` and `make zombies` do more.
#![allow(clippy::print_stdout, reason = "the figures are the result")]

use trainyard_nemesis::fault::course;
use trainyard_nemesis::fleet::Options;
use trainyard_nemesis::run::{Evil, Scenario, play};

#[tokio::test(flavor = "multi_thread")]
async fn no_promise_is_broken_by_any_fault() {
    let directory = tempfile::tempdir().expect("a directory");
    let seed = std::process::id().into();
    let scenario = Scenario {
        seed,
        jobs: 60,
        epochs: 6,
        max_length: 128,
        evil: Evil::Course(course(seed, 24)),
        options: Options::default(),
        standstill: None,
    };
    let Some(outcome) = play(directory.path(), &scenario).await else { return };
    println!("seed {seed}: {:?}\n{}", outcome.done, outcome.report);
    assert!(outcome.report.is_clean(), "seed {seed}, logs in {}", directory.keep().display());
    assert_eq!(outcome.report.acknowledged, 60);
}

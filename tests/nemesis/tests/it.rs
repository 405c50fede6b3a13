//! Short runs of the nemesis: each fault once on a service that works meanwhile, runs that go on after their lease, a claim that the record
//! forgot. `make nemesis`, `make zombies` and `make nemesis-mutants` do more.
#![allow(clippy::print_stdout, reason = "the figures are the result")]
#![allow(clippy::expect_used, reason = "a set-up that fails is a failed test")]

use trainyard_nemesis::run::{Outcome, Scenario, play};

#[tokio::test(flavor = "multi_thread")]
async fn no_promise_is_broken_by_any_fault() {
    let Some(outcome) = played(|seed| Scenario::faults(seed, 24, 60)).await else { return };
    assert_eq!(outcome.report.acknowledged, 60);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_goes_on_beside_another_hands_nothing_over() {
    let Some(outcome) = played(|seed| Scenario::zombies(seed, 8)).await else { return };
    assert!(outcome.done.zombies >= 8 && outcome.report.fenced > 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_claim_that_the_record_forgot_holds_nothing() {
    let Some(outcome) = played(|seed| Scenario::forgotten(seed, 1)).await else { return };
    assert!(outcome.done.zombies == 1 && outcome.report.fenced > 0);
}

/// Plays a scenario after which every promise has been kept; none where Ceph is not installed, which is said.
async fn played(scenario: impl Fn(u64) -> Scenario) -> Option<Outcome> {
    let directory = tempfile::tempdir().expect("a directory");
    let seed = std::process::id().into();
    let outcome = play(directory.path(), &scenario(seed)).await?;
    println!("seed {seed}: {:?}\n{}", outcome.done, outcome.report);
    assert!(outcome.report.is_clean(), "seed {seed}, logs in {}", directory.keep().display());
    Some(outcome)
}

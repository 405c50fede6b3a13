//! The ledger's rules one by one. `ledger_crashes.rs` has them hold together under random crashes.

use serde_json::json;
use trainyard_openapi::id::JobId;
use trainyard_privacy::ledger::{Ledger, LedgerError, Reservation, Reserved, State, recompute};
use trainyard_privacy::rdp::{Orders, RdpAccountant};
use trainyard_privacy::unit::{Population, PrivacyUnit};
use trainyard_privacy::{Accountant, Accounting, Budget, Phase};

fn open(epsilon: f64, accounting: Accounting) -> Ledger {
    let population = Population::new(PrivacyUnit::Example, 10_000).unwrap();
    let dataset = "ab".repeat(32).try_into().unwrap();
    let tenant = trainyard_openapi::id::TenantId::generate().unwrap();
    let budget = Budget::new(epsilon, 1e-5).unwrap();
    Ledger::open(tenant, dataset, population, budget, accounting).unwrap()
}

fn reservation(job: &JobId, epoch: u64, steps: u64) -> Reservation {
    let phase = Phase::new(1.0, 0.01, steps).unwrap();
    Reservation { job: job.clone(), epoch, number: 0, unit: PrivacyUnit::Example, phase }
}

fn reserve(
    ledger: &mut Ledger,
    accountant: &mut Accountant,
    reservation: &Reservation,
) -> Result<Reserved, LedgerError> {
    let version = ledger.version();
    ledger.reserve(accountant, version, reservation)
}

fn job() -> JobId {
    JobId::generate().unwrap()
}

#[test]
fn a_run_is_charged_for_what_it_reserved_until_it_settles() {
    let (mut ledger, mut accountant, job) =
        (open(3.0, Accounting::Rdp), Accountant::default(), job());
    let left = reserve(&mut ledger, &mut accountant, &reservation(&job, 1, 1000)).unwrap();
    assert!((left.epsilon - 2.101_365).abs() < 1e-3, "{left:?}");
    assert!((left.epsilon + left.remaining_epsilon - 3.0).abs() < 1e-12);
    ledger.commit(1, &job, 1, 0, 400).unwrap();
    assert_eq!(ledger.charged()[0].steps(), 1000);
    // 450 ran, 50 of them in no checkpoint: they count all the same.
    ledger.settle(2, &job, 1, 0, 450).unwrap();
    assert_eq!(ledger.charged()[0].steps(), 450);
    assert_eq!(ledger.version(), 3);
    assert!(ledger.spent(&mut accountant).unwrap() < 1.8);
}

#[test]
fn a_crash_and_a_takeover_charge_all_that_was_reserved() {
    let (mut ledger, mut accountant, job) =
        (open(3.0, Accounting::Rdp), Accountant::default(), job());
    reserve(&mut ledger, &mut accountant, &reservation(&job, 1, 300)).unwrap();
    ledger.commit(1, &job, 1, 0, 100).unwrap();
    // The next claim goes on from step 100; steps 101 to 300 may have been seen and are run again with other noise.
    reserve(&mut ledger, &mut accountant, &reservation(&job, 2, 200)).unwrap();
    assert_eq!(ledger.entries()[0].state(), State::Crashed);
    assert_eq!(ledger.charged()[0].steps(), 500);
    let late = ledger.commit(3, &job, 1, 0, 300).unwrap_err();
    assert!(matches!(late, LedgerError::StaleEpoch { epoch: 1, latest: 2, .. }), "{late}");
    ledger.crash(3, &job, 2).unwrap();
    ledger.crash(4, &job, 2).unwrap();
    assert_eq!((ledger.version(), ledger.charged()[0].steps()), (4, 500));
    let over = reserve(&mut ledger, &mut accountant, &reservation(&job, 2, 250)).unwrap_err();
    assert!(matches!(over, LedgerError::Ended { .. }), "{over}");
}

#[test]
fn a_budget_holds_over_jobs_and_says_what_remains() {
    for accounting in [Accounting::Rdp, Accounting::Prv] {
        let (mut ledger, mut accountant) = (open(2.0, accounting), Accountant::default());
        reserve(&mut ledger, &mut accountant, &reservation(&job(), 1, 600)).unwrap();
        let before = ledger.clone();
        let second = job();
        let refused = reserve(&mut ledger, &mut accountant, &reservation(&second, 1, 900));
        let refused = refused.unwrap_err();
        assert_eq!(ledger, before, "a refusal changes nothing");
        let LedgerError::BudgetExceeded {
            remaining_epsilon, requested_epsilon, steps_left, ..
        } = refused
        else {
            panic!("{refused}");
        };
        assert!(requested_epsilon > 2.0 && remaining_epsilon > 0.0, "{refused}");
        assert!(refused.to_string().contains("remains"), "{refused}");
        let fits = reservation(&second, 1, steps_left);
        let left = reserve(&mut ledger, &mut accountant, &fits).unwrap();
        assert!(left.epsilon <= 2.0, "{left:?}");
        let more = reservation(&second, 1, steps_left + 2 + steps_left / 500);
        assert!(reserve(&mut ledger, &mut accountant, &more).is_err(), "{accounting:?}");
    }
}

#[test]
fn noise_chosen_by_composition_fits_a_ledger_that_counts_by_it() {
    let mut accountant = Accountant::default();
    let mut ledger = open(2.0, Accounting::Prv);
    let budget = *ledger.budget();
    let found = accountant.noise_multiplier(Accounting::Prv, &budget, &[], 0.01, 800).unwrap();
    let phase = Phase::new(found.noise_multiplier, 0.01, 800).unwrap();
    let whole = Reservation { job: job(), epoch: 1, number: 0, unit: PrivacyUnit::Example, phase };
    reserve(&mut ledger, &mut accountant, &whole).unwrap();
    let mut by_orders = open(2.0, Accounting::Rdp);
    assert!(reserve(&mut by_orders, &mut accountant, &whole).is_err(), "Rényi orders are looser");
}

#[test]
fn changes_name_their_version_and_can_be_repeated() {
    let (mut ledger, mut accountant, job) =
        (open(3.0, Accounting::Rdp), Accountant::default(), job());
    let first = reservation(&job, 1, 100);
    ledger.reserve(&mut accountant, 0, &first).unwrap();
    let conflict = ledger.reserve(&mut accountant, 0, &first).unwrap_err();
    assert_eq!(conflict, LedgerError::VersionConflict { expected: 0, found: 1 });
    assert!(ledger.commit(0, &job, 1, 0, 1).is_err());
    assert!(ledger.settle(7, &job, 1, 0, 1).is_err());
    assert!(ledger.crash(7, &job, 1).is_err());
    // Read again, the lost answer's change is there, and saying it again changes nothing.
    ledger.reserve(&mut accountant, 1, &first).unwrap();
    ledger.commit(1, &job, 1, 0, 60).unwrap();
    ledger.commit(2, &job, 1, 0, 60).unwrap();
    ledger.settle(2, &job, 1, 0, 80).unwrap();
    ledger.settle(3, &job, 1, 0, 80).unwrap();
    assert_eq!((ledger.version(), ledger.entries().len()), (3, 1));
}

#[test]
fn totals_only_rise_within_what_was_reserved() {
    let (mut ledger, mut accountant, job) =
        (open(3.0, Accounting::Rdp), Accountant::default(), job());
    reserve(&mut ledger, &mut accountant, &reservation(&job, 1, 100)).unwrap();
    ledger.commit(1, &job, 1, 0, 60).unwrap();
    let steps = |error: LedgerError| match error {
        LedgerError::Steps { field, least, most, .. } => (field, least, most),
        other => panic!("{other}"),
    };
    assert_eq!(steps(ledger.commit(2, &job, 1, 0, 101).unwrap_err()), ("committed", 60, 100));
    assert_eq!(steps(ledger.commit(2, &job, 1, 0, 59).unwrap_err()), ("committed", 60, 100));
    assert_eq!(steps(ledger.settle(2, &job, 1, 0, 59).unwrap_err()), ("ran", 60, 100));
    let fewer = reserve(&mut ledger, &mut accountant, &reservation(&job, 1, 99)).unwrap_err();
    assert_eq!(steps(fewer).1, 100);
    assert!(matches!(ledger.commit(2, &job, 1, 5, 1), Err(LedgerError::Unknown { number: 5, .. })));
    let mut other = reservation(&job, 1, 200);
    other.phase = Phase::new(0.9, 0.01, 200).unwrap();
    let refused = reserve(&mut ledger, &mut accountant, &other).unwrap_err();
    assert_eq!(refused.to_string(), "the phase was reserved with noise_multiplier 1, not 0.9");
    let unit = PrivacyUnit::User { examples_per_user: 2 };
    let of_users = Reservation { unit, ..reservation(&job, 1, 200) };
    let refused = reserve(&mut ledger, &mut accountant, &of_users).unwrap_err().to_string();
    assert!(refused.starts_with("unit must be example"), "{refused}");
    // Another mechanism is another phase of the run.
    other.number = 1;
    reserve(&mut ledger, &mut accountant, &other).unwrap();
    assert_eq!(ledger.charged().len(), 2);
}

#[test]
fn a_lower_budget_lets_nothing_more_in() {
    let (mut ledger, mut accountant, job) =
        (open(3.0, Accounting::Rdp), Accountant::default(), job());
    reserve(&mut ledger, &mut accountant, &reservation(&job, 1, 500)).unwrap();
    ledger.set_budget(1, Budget::new(0.5, 1e-5).unwrap()).unwrap();
    assert_eq!(ledger.remaining(&mut accountant).unwrap(), 0.0);
    let refused = reserve(&mut ledger, &mut accountant, &reservation(&job, 1, 501)).unwrap_err();
    assert!(matches!(refused, LedgerError::BudgetExceeded { steps_left: 0, .. }), "{refused}");
    assert!(
        ledger.set_budget(2, Budget::new(1.0, 0.01).unwrap()).is_err(),
        "delta above 1 / units"
    );
}

#[test]
fn a_stored_ledger_is_checked_when_it_is_read() {
    let (mut ledger, mut accountant, job) =
        (open(3.0, Accounting::Rdp), Accountant::default(), job());
    reserve(&mut ledger, &mut accountant, &reservation(&job, 1, 100)).unwrap();
    let stored = serde_json::to_value(&ledger).unwrap();
    assert_eq!(serde_json::from_value::<Ledger>(stored.clone()).unwrap(), ledger);
    let twice = json!([stored["entries"][0], stored["entries"][0]]);
    for (pointer, value) in [
        ("/entries/0/committed", json!(101)),
        ("/entries/0/state", json!({"type": "settled", "ran": 101})),
        ("/entries/0/reserved/noise_multiplier", json!(-1.0)),
        ("/entries", twice),
        ("/budget/delta", json!(0.01)),
        ("/dataset", json!("AB")),
        ("/population/units", json!(0)),
    ] {
        let mut bad = stored.clone();
        *bad.pointer_mut(pointer).unwrap() = value;
        assert!(serde_json::from_value::<Ledger>(bad).is_err(), "{pointer}");
    }
}

#[test]
fn an_independent_sum_agrees() {
    let (mut ledger, mut accountant) = (open(900.0, Accounting::Rdp), Accountant::default());
    for (noise, rate, steps, number) in
        [(1.0, 0.01, 500, 0), (0.8, 0.02, 200, 1), (5.0, 1.0, 3, 2), (0.5, 0.001, 50, 3)]
    {
        let phase = Phase::new(noise, rate, steps).unwrap();
        let one = Reservation { job: job(), epoch: 1, number, unit: PrivacyUnit::Example, phase };
        reserve(&mut ledger, &mut accountant, &one).unwrap();
    }
    let ours = RdpAccountant::new(Orders::opacus()).epsilon(&ledger.charged(), 1e-5).unwrap();
    let other = recompute(ledger.entries(), 1e-5);
    assert!((ours.epsilon - other.epsilon.epsilon).abs() < 1e-6, "{ours:?} {other:?}");
    assert_eq!(other.charged.len(), 4);
    assert_eq!((other.committed, other.uncommitted), (0, 753));
}

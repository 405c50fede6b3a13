//! The protocol holds, and each way to break it is found: short enough for every run. `make model-check` prints the figures.

use trainyard_model_check::{Variant, check};

/// The figure that the protocol is checked for: so many states at least.
const STATES: usize = 500_000;

#[test]
fn the_protocol_holds_in_every_state() {
    let report = check(Variant::Protocol, 3, 2);
    assert!(report.is_as_expected(), "{}", report.ways.join("\n"));
    assert!(report.states >= STATES, "{} states", report.states);
}

#[test]
fn what_it_has_to_bear_it_bears() {
    for variant in Variant::ALL.into_iter().filter(|variant| variant.flaw().is_none()) {
        let report = check(variant, 2, 2);
        assert!(report.is_as_expected(), "{variant:?}: {}", report.ways.join("\n"));
    }
}

#[test]
fn every_broken_variant_is_found() {
    for variant in Variant::ALL.into_iter().filter(|variant| variant.flaw().is_some()) {
        let report = check(variant, 2, 2);
        assert!(report.is_as_expected(), "{variant:?} passed as if it were whole");
    }
}

//! One variant, checked.

use std::time::{Duration, Instant};

use stateright::{Checker, HasDiscoveries, Model};

use crate::world::Protocol;
use crate::{Variant, stuck};

/// What came of it.
#[derive(Debug, Clone)]
pub struct Report {
    /// What was checked.
    pub variant: Variant,
    /// Different states.
    pub states: usize,
    /// Names of what does not hold.
    pub violated: Vec<&'static str>,
    /// The shortest way to each violation that was met, an action a line.
    pub ways: Vec<String>,
    /// How long it took.
    pub took: Duration,
}

impl Report {
    /// Whether exactly what has to be found was found: nothing in what the protocol has to bear, the planted flaw in the rest.
    pub fn is_as_expected(&self) -> bool {
        match self.variant.flaw() {
            None => self.violated.is_empty(),
            Some(flaw) => self.violated.contains(&flaw),
        }
    }
}

/// Checks every state of `variant` with at most `faults` faults on a path. A broken variant is searched until its flaw is found.
pub fn check(variant: Variant, faults: u8, threads: usize) -> Report {
    let start = Instant::now();
    let model = Protocol { variant, faults };
    let mut violated = Vec::new();
    let mut ways = Vec::new();
    let mut states = 0;
    if variant.flaw() != Some(stuck::NAME) {
        let until = match variant.flaw() {
            Some(flaw) => HasDiscoveries::AnyOf([flaw].into()),
            None => HasDiscoveries::All,
        };
        let checker = model.checker().threads(threads).finish_when(until).spawn_bfs().join();
        states = checker.unique_state_count();
        for (name, path) in checker.discoveries() {
            violated.push(name);
            let actions = path.into_actions();
            let actions: Vec<_> = actions.iter().map(|action| format!("  {action:?}")).collect();
            ways.push(format!("{name}:\n{}", actions.join("\n")));
        }
    }
    if variant.flaw().is_none() || variant.flaw() == Some(stuck::NAME) {
        let found = stuck::search(model);
        states = states.max(found.states);
        if let Some(example) = found.example {
            violated.push(stuck::NAME);
            ways.push(format!("{}: {} states, such as\n  {example:?}", stuck::NAME, found.stuck));
        }
    }
    violated.sort_unstable();
    Report { variant, states, violated, ways, took: start.elapsed() }
}

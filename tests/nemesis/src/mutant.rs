//! The service with one guard left out. The checker has to find that something is wrong, or its silence about the whole service would be
//! worth nothing.

use std::time::Duration;

use crate::fault::{Fault, Link, Planned};
use crate::fleet::Options;
use crate::run::{Evil, Scenario};

/// A way to break the service.
#[derive(Debug, Clone, Copy)]
pub struct Mutant {
    /// Its name.
    pub name: &'static str,
    without: Option<&'static str>,
    appendfsync: &'static str,
    /// The faults that show it, over and over; none where it takes runs held past their lease.
    faults: &'static [Fault],
}

/// All of them.
pub const MUTANTS: &[Mutant] = &[
    of_guard("fence", &[]),
    of_guard("reaper", &[Fault::KillExecutor]),
    of_guard("redispatch", &[Fault::PurgeQueue, Fault::DeleteQueue]),
    of_guard("idempotency", &[Fault::HalfClose(Link::Redis), Fault::KillApi]),
    of_guard("single-claim", &[Fault::OldTickets]),
    Mutant {
        name: "lazy fsync",
        without: None,
        appendfsync: "everysec",
        faults: &[Fault::PowerCut],
    },
];

const fn of_guard(name: &'static str, faults: &'static [Fault]) -> Mutant {
    Mutant { name, without: Some(name), appendfsync: "always", faults }
}

impl Mutant {
    /// A run that shows it, if the checker sees anything.
    pub fn scenario(&self, seed: u64) -> Scenario {
        let planned = |number: usize| Planned {
            fault: self.faults[number % self.faults.len()],
            whom: number,
            lasts: Duration::from_millis(500),
            calm: Duration::from_millis(1000),
        };
        let evil = match self.faults {
            [] => Evil::Zombies(20),
            _ => Evil::Course((0..8).map(planned).collect()),
        };
        Scenario {
            seed,
            jobs: 40,
            epochs: 6,
            max_length: 256,
            evil,
            options: Options { appendfsync: self.appendfsync, without: self.without },
            // What is stuck is so for good: leases and tickets are long over by then.
            standstill: Some(Duration::from_secs(25)),
        }
    }
}

//! The service with one guard left out. The checker has to find that something is wrong, or its silence about the whole service would be
//! worth nothing; and it has to find nothing where the same befalls the whole service, or what it found was not the missing guard.

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
    /// Redis syncs its log once a second, which the whole service refuses.
    lazy: bool,
    shown_by: Shown,
}

/// What shows that it is broken.
#[derive(Debug, Clone, Copy)]
enum Shown {
    /// These, over and over.
    Faults(&'static [Fault]),
    /// Runs that go on beside another of their job.
    Zombies,
    /// Claims that the record forgets.
    Forgotten,
}

/// All of them.
pub const MUTANTS: &[Mutant] = &[
    of_guard("fence", Shown::Zombies),
    of_guard("nonce", Shown::Forgotten),
    of_guard("reaper", Shown::Faults(&[Fault::KillExecutor])),
    of_guard("redispatch", Shown::Faults(&[Fault::PurgeQueue, Fault::DeleteQueue])),
    of_guard("idempotency", Shown::Faults(&[Fault::HalfClose(Link::Redis), Fault::KillApi])),
    of_guard("single-claim", Shown::Faults(&[Fault::OldTickets])),
    Mutant {
        name: "lazy fsync",
        without: None,
        lazy: true,
        shown_by: Shown::Faults(&[Fault::PowerCut]),
    },
];

const fn of_guard(name: &'static str, shown_by: Shown) -> Mutant {
    Mutant { name, without: Some(name), lazy: false, shown_by }
}

impl Mutant {
    /// A run that shows it, if the checker sees anything.
    pub fn scenario(&self, seed: u64) -> Scenario {
        let mut scenario = self.control(seed);
        scenario.options.without = self.without;
        if self.lazy {
            scenario.options.appendfsync = "everysec";
        }
        scenario
    }

    /// The same with nothing left out.
    pub fn control(&self, seed: u64) -> Scenario {
        // What is stuck is so for good: leases and tickets are long over by then.
        let standstill = Some(Duration::from_secs(25));
        let scenario = match self.shown_by {
            Shown::Zombies => Scenario::zombies(seed, 12),
            Shown::Forgotten => Scenario::forgotten(seed, 2),
            Shown::Faults(faults) => {
                let planned = |number: usize| Planned {
                    fault: faults[number % faults.len()],
                    whom: number,
                    lasts: Duration::from_millis(500),
                    calm: Duration::from_millis(1000),
                };
                Scenario {
                    jobs: 40,
                    max_length: 256,
                    evil: Evil::Course((0..8).map(planned).collect()),
                    options: Options::default(),
                    ..Scenario::faults(seed, 0, 0)
                }
            }
        };
        Scenario { standstill, ..scenario }
    }
}

//! Everything that has a state, and where it begins.

use std::hash::Hash;

use stateright::{Model, Property};

use crate::action::{self, Action};
use crate::record::{Phase, Record};
use crate::{Variant, properties, step};

/// How many executors there are.
pub const EXECUTORS: usize = 2;

/// The model.
#[derive(Debug, Clone, Copy)]
pub struct Protocol {
    /// What of it is broken.
    pub variant: Variant,
    /// How many faults may happen.
    pub faults: u8,
}

/// One state of the whole system.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct World {
    /// Whether the client has been told that its job is taken.
    pub told: bool,
    /// The job, as the store answers it.
    pub job: Option<Record>,
    /// The job, as a power cut leaves it.
    pub on_disk: Option<Record>,
    /// Jobs that the client's one request has made.
    pub jobs: u8,
    /// Whether the claim is the last write, which a failover may lose.
    pub claim_is_last: bool,
    /// Whether the owner has ended the job.
    pub cancelled: bool,
    /// Tickets that wait to be published.
    pub outbox: Vec<u8>,
    /// Messages in the queue, in no order.
    pub queue: Vec<u8>,
    /// The executors.
    pub executors: [Executor; EXECUTORS],
    /// Nonces drawn so far.
    pub nonces: u8,
    /// Faults that may still happen.
    pub faults: u8,
    /// Whether a run changed a job that was not its own.
    pub foreign_commit: bool,
    /// Whether a job was taken from a run that kept its lease.
    pub lease_taken: bool,
}

/// An executor with one slot.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Executor {
    /// A message that is not acknowledged.
    pub ticket: Option<u8>,
    /// The nonce of a claim without an answer so far; 0 for none.
    pub nonce: u8,
    /// What it trains.
    pub run: Option<Run>,
    /// Whether it stands still, past any lease.
    pub stalled: bool,
}

/// A run, as its executor knows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Run {
    /// The claim's number.
    pub epoch: u8,
    /// The claim's random part.
    pub nonce: u8,
    /// Steps done.
    pub step: u8,
    /// The step of its last checkpoint.
    pub saved: u8,
}

impl World {
    /// Before anything happened.
    pub fn new(faults: u8) -> Self {
        Self {
            told: false,
            job: None,
            on_disk: None,
            jobs: 0,
            claim_is_last: false,
            cancelled: false,
            outbox: Vec::new(),
            queue: Vec::new(),
            executors: Default::default(),
            nonces: 0,
            faults,
            foreign_commit: false,
            lease_taken: false,
        }
    }

    /// Whether ticket `seq` is still under way to a claim.
    pub fn is_under_way(&self, seq: u8) -> bool {
        let held = self.executors.iter().any(|executor| executor.ticket == Some(seq));
        held || self.outbox.contains(&seq) || self.queue.contains(&seq)
    }

    /// Whether somebody keeps the lease of the running job: has it, or asks once more for the answer to its claim.
    pub fn lease_is_kept(&self) -> bool {
        let Some(job) = self.job.filter(|job| matches!(job.phase, Phase::Running { .. })) else {
            return false;
        };
        self.executors.iter().any(|executor| {
            let has = executor.run.is_some_and(|run| job.is_held_by(&run));
            !executor.stalled && (has || executor.nonce == job.nonce)
        })
    }
}

impl Model for Protocol {
    type State = World;
    type Action = Action;

    fn init_states(&self) -> Vec<World> {
        vec![World::new(self.faults)]
    }

    fn actions(&self, world: &World, actions: &mut Vec<Action>) {
        action::enabled(self.variant, world, actions);
    }

    fn next_state(&self, world: &World, action: Action) -> Option<World> {
        let mut next = world.clone();
        step::take(self.variant, &mut next, action);
        Some(next)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        properties::all()
    }
}

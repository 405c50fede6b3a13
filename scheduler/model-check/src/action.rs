//! What can happen next.

use crate::Variant;
use crate::record::{Phase, STEPS};
use crate::world::World;

/// One atomic step. `answered` says whether the caller got the answer of the script; an executor is named by its index.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[allow(missing_docs)]
pub enum Action {
    Submit { answered: bool },
    Cancel,
    Dispatch,
    Redispatch,
    Publish { seq: u8, confirmed: bool },
    Receive { executor: usize, seq: u8 },
    Claim { executor: usize, answered: bool },
    Acknowledge { executor: usize },
    Train { executor: usize },
    Checkpoint { executor: usize, answered: bool },
    Complete { executor: usize, answered: bool },
    Heartbeat { executor: usize },
    Resume { executor: usize },
    Expire,
    Fsync,
    // Nothing but faults from here on.
    RedispatchEarly,
    GiveBack { executor: usize },
    Stall { executor: usize },
    Crash { executor: usize },
    Lose { seq: u8 },
    Duplicate { seq: u8 },
    WipeQueue,
    PowerCut,
    ForgetClaim,
}

impl Action {
    /// Whether it costs a fault.
    pub const fn is_fault(self) -> bool {
        matches!(
            self,
            Self::Submit { answered: false }
                | Self::Publish { confirmed: false, .. }
                | Self::Claim { answered: false, .. }
                | Self::Checkpoint { answered: false, .. }
                | Self::Complete { answered: false, .. }
                | Self::RedispatchEarly
                | Self::GiveBack { .. }
                | Self::Stall { .. }
                | Self::Crash { .. }
                | Self::Lose { .. }
                | Self::Duplicate { .. }
                | Self::WipeQueue
                | Self::PowerCut
                | Self::ForgetClaim
        )
    }
}

/// Everything that can happen in `world`.
pub(crate) fn enabled(variant: Variant, world: &World, actions: &mut Vec<Action>) {
    of_client_and_scheduler(variant, world, actions);
    of_messages(world, actions);
    for executor in 0..world.executors.len() {
        of_executor(variant, world, executor, actions);
    }
    if variant == Variant::LazyFsync && world.on_disk != world.job {
        actions.extend([Action::Fsync, Action::PowerCut]);
    }
    if variant.forgets() && world.claim_is_last {
        actions.push(Action::ForgetClaim);
    }
    if world.faults == 0 {
        actions.retain(|action| !action.is_fault());
    }
}

fn of_client_and_scheduler(variant: Variant, world: &World, actions: &mut Vec<Action>) {
    if !world.told {
        actions.extend([Action::Submit { answered: true }, Action::Submit { answered: false }]);
    }
    let Some(job) = world.job else { return };
    if world.told && !world.cancelled && !job.is_over() {
        actions.push(Action::Cancel);
    }
    let reaper = variant != Variant::NoReaper;
    match job.phase {
        Phase::Queued => actions.push(Action::Dispatch),
        Phase::Dispatched if reaper && variant != Variant::NoRedispatch => {
            actions.push(if world.is_under_way(job.seq) {
                Action::RedispatchEarly
            } else {
                Action::Redispatch
            });
        }
        Phase::Running { .. } if reaper && !world.lease_is_kept() => actions.push(Action::Expire),
        _ => {}
    }
}

fn of_messages(world: &World, actions: &mut Vec<Action>) {
    for &seq in &world.outbox {
        actions.push(Action::Publish { seq, confirmed: true });
        actions.push(Action::Publish { seq, confirmed: false });
    }
    for (index, &seq) in world.queue.iter().enumerate() {
        if !world.queue[..index].contains(&seq) {
            actions.extend([Action::Lose { seq }, Action::Duplicate { seq }]);
        }
    }
    if world.queue.len() > 1 {
        actions.push(Action::WipeQueue);
    }
}

fn of_executor(variant: Variant, world: &World, executor: usize, actions: &mut Vec<Action>) {
    let this = world.executors[executor];
    if this.stalled {
        actions.extend([Action::Resume { executor }, Action::Crash { executor }]);
        return;
    }
    if this.ticket.is_none() && this.run.is_none() {
        for (index, &seq) in world.queue.iter().enumerate() {
            if !world.queue[..index].contains(&seq) {
                actions.push(Action::Receive { executor, seq });
            }
        }
        return;
    }
    actions.extend([Action::Stall { executor }, Action::Crash { executor }]);
    let Some(run) = this.run else {
        actions.push(Action::Claim { executor, answered: true });
        actions.push(Action::Claim { executor, answered: false });
        return;
    };
    if this.ticket.is_some() {
        actions.push(Action::Acknowledge { executor });
    }
    if run.step == STEPS {
        actions.push(Action::Complete { executor, answered: true });
        actions.push(Action::Complete { executor, answered: false });
    } else if run.step == run.saved {
        actions.push(Action::Train { executor });
    } else {
        actions.push(Action::Checkpoint { executor, answered: true });
        actions.push(Action::Checkpoint { executor, answered: false });
    }
    let admitted = world.job.is_some_and(|job| job.admits(variant, &run));
    let cancelled = world.job.is_some_and(|job| job.phase == Phase::Running { cancel: true });
    if !admitted || cancelled {
        actions.push(Action::Heartbeat { executor });
    } else {
        actions.push(Action::GiveBack { executor });
    }
}

//! What each action does.

use crate::Variant;
use crate::action::Action;
use crate::record::{Claimed, Phase, Record};
use crate::world::{Run, World};

/// Takes a step that is enabled.
pub(crate) fn take(variant: Variant, world: &mut World, action: Action) {
    if action.is_fault() {
        world.faults -= 1;
    }
    match action {
        Action::Submit { answered } => submit(variant, world, answered),
        Action::Cancel => {
            world.cancelled = true;
            write(world, Record::cancel);
        }
        Action::Dispatch | Action::Redispatch | Action::RedispatchEarly => {
            if let Some(seq) = write(world, Record::dispatch).flatten() {
                world.outbox.push(seq);
            }
        }
        Action::Publish { seq, confirmed } => publish(variant, world, seq, confirmed),
        Action::Receive { executor, seq } => {
            remove(&mut world.queue, seq);
            world.executors[executor].ticket = Some(seq);
        }
        Action::Claim { executor, answered } => claim(variant, world, executor, answered),
        Action::Acknowledge { executor } => world.executors[executor].ticket = None,
        Action::Train { executor } => on_run(world, executor, |run| run.step += 1),
        Action::Checkpoint { executor, answered } => {
            commit(variant, world, executor, answered, |job, run| job.checkpoint(run.step));
        }
        Action::Complete { executor, answered } => {
            commit(variant, world, executor, answered, |job, _| job.complete());
        }
        Action::Heartbeat { executor } | Action::GiveBack { executor } => {
            give_back(variant, world, executor);
        }
        Action::Stall { executor } => world.executors[executor].stalled = true,
        Action::Resume { executor } => world.executors[executor].stalled = false,
        Action::Crash { executor } => crash(variant, world, executor),
        Action::Expire => {
            write(world, Record::give_back);
        }
        Action::Lose { seq } => remove(&mut world.queue, seq),
        Action::Duplicate { seq } => world.queue.push(seq),
        Action::WipeQueue => world.queue.clear(),
        Action::Fsync => world.on_disk = world.job,
        Action::PowerCut => world.job = world.on_disk,
        Action::ForgetClaim => {
            write(world, Record::forget_claim);
        }
    }
    if variant != Variant::LazyFsync {
        world.on_disk = world.job;
    }
    // Neither has an order: states that differ in it alone are one.
    world.outbox.sort_unstable();
    world.queue.sort_unstable();
}

/// A script of the store.
fn write<T>(world: &mut World, script: impl FnOnce(&mut Record) -> T) -> Option<T> {
    world.claim_is_last = false;
    world.job.as_mut().map(script)
}

fn submit(variant: Variant, world: &mut World, answered: bool) {
    if world.job.is_none() {
        world.job = Some(Record::new());
        world.jobs += 1;
    } else if variant == Variant::NoIdempotency {
        world.jobs += 1;
    }
    world.told = answered;
}

fn publish(variant: Variant, world: &mut World, seq: u8, confirmed: bool) {
    if confirmed {
        remove(&mut world.outbox, seq);
        world.queue.push(seq);
    } else if variant == Variant::NoConfirms {
        // The message is gone, and nobody knows.
        remove(&mut world.outbox, seq);
    } else {
        // It arrived, but the relay has to send it again.
        world.queue.push(seq);
    }
}

fn claim(variant: Variant, world: &mut World, executor: usize, answered: bool) {
    let this = &mut world.executors[executor];
    let Some(seq) = this.ticket else { return };
    if this.nonce == 0 {
        world.nonces += 1;
        this.nonce = world.nonces;
    }
    let nonce = this.nonce;
    let own = world.job.is_some_and(|job| job.nonce == nonce);
    let kept = world.lease_is_kept() && !own;
    let Some(claimed) = write(world, |job| job.claim(variant, seq, nonce)) else { return };
    if let Claimed::Yes { .. } = claimed {
        world.lease_taken |= kept;
        world.claim_is_last = true;
    }
    if !answered {
        return;
    }
    let this = &mut world.executors[executor];
    this.nonce = 0;
    match claimed {
        Claimed::Yes { epoch, step } => {
            this.run = Some(Run { epoch, nonce, step, saved: step });
        }
        Claimed::Stale => this.ticket = None,
    }
}

/// A checkpoint or a result, through the fence. Who is fenced stops at once; who has no answer asks again.
fn commit(
    variant: Variant,
    world: &mut World,
    executor: usize,
    answered: bool,
    script: impl FnOnce(&mut Record, &Run),
) {
    let Some(run) = world.executors[executor].run else { return };
    let Some(job) = world.job else { return };
    let last = run.step == crate::record::STEPS;
    let repeated =
        last && job.phase == Phase::Succeeded && job.epoch == run.epoch && job.nonce == run.nonce;
    let admitted = job.admits(variant, &run);
    if admitted && !repeated {
        world.foreign_commit |= !job.is_held_by(&run);
        write(world, |job| script(job, &run));
    }
    if !answered {
        return;
    }
    if last || !admitted {
        world.executors[executor].run = None;
    } else {
        on_run(world, executor, |run| run.saved = run.step);
    }
}

fn give_back(variant: Variant, world: &mut World, executor: usize) {
    let Some(run) = world.executors[executor].run.take() else { return };
    if world.job.is_some_and(|job| job.admits(variant, &run)) {
        write(world, Record::give_back);
    }
}

/// It starts again at once and knows nothing. The broker takes back what it had not acknowledged.
fn crash(variant: Variant, world: &mut World, executor: usize) {
    let before = std::mem::take(&mut world.executors[executor]);
    if let Some(seq) = before.ticket.filter(|_| variant != Variant::AckOnReceive) {
        world.queue.push(seq);
    }
}

fn on_run(world: &mut World, executor: usize, change: impl FnOnce(&mut Run)) {
    if let Some(run) = &mut world.executors[executor].run {
        change(run);
    }
}

fn remove(tickets: &mut Vec<u8>, seq: u8) {
    if let Some(index) = tickets.iter().position(|other| *other == seq) {
        tickets.swap_remove(index);
    }
}
